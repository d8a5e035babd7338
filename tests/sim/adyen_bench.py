"""An Adyen look-alike under a clock of its own, and short ways to ask it things."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from amends.sim.adyen import AdyenWorld
from amends.sim.wire import Delivery, Plan, Request, Response

START = 1_790_000_000.0
ACCOUNT = "TestMerchant"
HMAC_KEY = "5F" * 31 + "A1"
PSP = "PAYMENT0BENCH001"


class AdyenBench:
    """A world, its clock, and a merchant who hears its webhooks."""

    def __init__(self, seed: int = 1) -> None:
        self.now = START
        self.world = AdyenWorld(lambda: self.now, Random(seed))

    def request(
        self,
        path: str,
        body: Any = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> Plan:
        """Hand a request in; the key stays in use until the plan is released."""
        sent = {"x-api-key": "sk_test_sandbox", "content-type": "application/json"}
        sent |= headers or {}
        if key is not None:
            sent["idempotency-key"] = key
        raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return self.world.handle(Request(method, path, "", sent, raw))

    def send(self, *args: Any, **kwargs: Any) -> Response:
        """Hand a request in and take the answer."""
        plan = self.request(*args, **kwargs)
        self.world.release(plan)
        assert plan.response is not None
        return plan.response

    def ask(self, *args: Any, status: int = 201, **kwargs: Any) -> dict[str, Any]:
        """The JSON of an answer that must have this status."""
        response = self.send(*args, **kwargs)
        assert response.status == status, response.body
        parsed: dict[str, Any] = json.loads(response.body)
        return parsed

    def modify(
        self, action: str, value: int | None = None, payment: str = PSP, **more: Any
    ) -> dict[str, Any]:
        """A modification of a payment; `value` is its amount in EUR, `fields` what else it says."""
        body: dict[str, Any] = {"merchantAccount": ACCOUNT, "reference": "ours-1"}
        if value is not None:
            body["amount"] = {"currency": "EUR", "value": value}
        body |= more.pop("fields", {})
        return self.ask(f"/v72/payments/{payment}/{action}", body, **more)

    def control(self, op: str, **command: Any) -> dict[str, Any]:
        """Run a control command."""
        return self.world.control({"op": op, **command})

    def payment(self, payment_id: str = PSP, amount: int = 10_000, **more: Any) -> str:
        """Make a payment."""
        self.control("payment", id=payment_id, amount=amount, **more)
        return payment_id

    def row(self, payment_id: str = PSP) -> dict[str, Any]:
        """What the world itself says of a payment."""
        (found,) = [p for p in self.world.payments() if p["psp_payment_id"] == payment_id]
        return found

    def listen(self, types: tuple[str, ...] = ("*",)) -> None:
        """Configure a webhook target."""
        self.control("webhook", url="http://shop.test/hook", secret=HMAC_KEY, types=list(types))

    def due(self, wait_s: float = 0.0) -> list[Delivery]:
        """Webhook attempts due so many seconds later."""
        self.now += wait_s
        return self.world.due(self.now)

    def items(self, wait_s: float = 1.0) -> list[dict[str, Any]]:
        """What is due so much later, delivered with success, as notification items."""
        deliveries = self.due(wait_s)
        for delivery in deliveries:
            self.world.delivered(delivery, 200)
        return [item_of(delivery) for delivery in deliveries]

    def told(self, wait_s: float = 1.0) -> list[tuple[str, str, int]]:
        """(event, success, amount) of what is due so much later."""
        found = self.items(wait_s)
        return [(i["eventCode"], i["success"], i["amount"]["value"]) for i in found]


def item_of(delivery: Delivery) -> dict[str, Any]:
    """The one item of a webhook."""
    body = json.loads(delivery.body)
    assert body["live"] == "false"
    (entry,) = body["notificationItems"]
    item: dict[str, Any] = entry["NotificationRequestItem"]
    return item
