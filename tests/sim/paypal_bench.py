"""A PayPal world under a clock of its own; what crosses its wire is held to PayPal's documents."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from openapi_schema_validator import OAS30Validator

from amends.sim.paypal import PayPalWorld
from amends.sim.wire import Delivery, Plan, Request, Response

START = 1_790_000_000.0
SPECS = Path(__file__).resolve().parents[3] / "shared" / "psp" / "openapi"
FULL = {"prefer": "return=representation"}
LOGIN = {
    "authorization": f"Basic {base64.b64encode(b'sandbox:sandbox_secret').decode()}",
    "content-type": "application/x-www-form-urlencoded",
}


@cache
def documents() -> tuple[dict[str, Any], ...]:
    """PayPal's own OpenAPI files; none where they are not beside the project."""
    names = ("payments-v2", "orders-v2", "disputes-v1")
    paths = [SPECS / f"paypal-{name}.json" for name in names]
    return tuple(_own_words(json.loads(path.read_text())) for path in paths if path.exists())


def _own_words(node: Any) -> Any:
    """Without the sentences, which PayPal asks nobody to depend on."""
    if isinstance(node, list):
        return [_own_words(item) for item in node]
    if not isinstance(node, dict):
        return node
    words = {"description", "message"}
    return {
        name: {"type": "string"} if name in words and isinstance(item, dict) else _own_words(item)
        for name, item in node.items()
    }


def published(method: str, path: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The document and the operation in it, or None."""
    for document in documents():
        for template, operations in document["paths"].items():
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
            if re.fullmatch(pattern, path) and method.lower() in operations:
                return document, operations[method.lower()]
    return None


def check(document: dict[str, Any], schema: dict[str, Any], subject: Any) -> None:
    """Valid by a schema of the document."""
    OAS30Validator({**schema, "components": document["components"]}).validate(subject)


class Checked:
    """Counts what was held to the documents."""

    requests = 0
    answers = 0


def hold_to_documents(request: Request, response: Response) -> None:
    """A request that was accepted, and any answer, are as PayPal publishes them."""
    found = published(request.method, request.path)
    if found is None or response.status == 401:
        return
    document, operation = found
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if response.status < 300 and content is not None and request.body:
        check(document, content["schema"], json.loads(request.body))
        Checked.requests += 1
    known = operation["responses"]
    answer = known.get(str(response.status), known["default"])
    if "application/json" in answer.get("content", {}):
        check(document, answer["content"]["application/json"]["schema"], json.loads(response.body))
        Checked.answers += 1
    elif response.status < 300:
        assert response.body == b""


class PayPalBench:
    """A world, its clock, and short ways to ask it things. Amounts are minor units."""

    def __init__(self, seed: int = 1) -> None:
        self.now = START
        self.world = PayPalWorld(lambda: self.now, Random(seed))
        self._token = ""

    def login(self) -> str:
        """A token."""
        body = b"grant_type=client_credentials"
        response = self.send("POST", "/v1/oauth2/token", body, headers=LOGIN)
        assert response.status == 200, response.body
        return str(json.loads(response.body)["access_token"])

    def make(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        """A request as a client sends it; a body of bytes goes as it is."""
        sent: dict[str, str] = {"content-type": "application/json"}
        if not (headers and "authorization" in headers):
            self._token = self._token or self.login()
            sent["authorization"] = f"Bearer {self._token}"
        if key is not None:
            sent["paypal-request-id"] = key
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        path, _, query = path.partition("?")
        return Request(method, path, query, sent | dict(headers or {}), raw)

    def request(self, *args: Any, **kwargs: Any) -> Plan:
        """Hand a request in; the key stays in use until the plan is released."""
        return self.world.handle(self.make(*args, **kwargs))

    def send(self, *args: Any, **kwargs: Any) -> Response:
        """Hand a request in and take the answer."""
        request = self.make(*args, **kwargs)
        plan = self.world.handle(request)
        self.world.release(plan)
        assert plan.response is not None
        hold_to_documents(request, plan.response)
        return plan.response

    def ask(self, *args: Any, status: int = 200, **kwargs: Any) -> dict[str, Any]:
        """The JSON of an answer that must have this status."""
        response = self.send(*args, **kwargs)
        assert response.status == status, response.body
        parsed: dict[str, Any] = json.loads(response.body)
        return parsed

    def get(self, path: str) -> dict[str, Any]:
        """The JSON of something that is there."""
        return self.ask("GET", path)

    def issue(self, *args: Any, status: int = 422, **kwargs: Any) -> str:
        """The issue of a refusal."""
        error = self.ask(*args, status=status, **kwargs)
        assert error["debug_id"]
        return str(error["details"][0]["issue"])

    def refund(
        self, value: str | None = None, capture: str = "CAP1", currency: str = "EUR", **kwargs: Any
    ) -> dict[str, Any]:
        """Refund over the API; all of it without a value."""
        kwargs = {"status": 201, "headers": FULL, **kwargs}
        return self.ask("POST", refund_path(capture), amount(value, currency), **kwargs)

    def control(self, op: str, **command: Any) -> dict[str, Any]:
        """Run a control command."""
        return self.world.control({"op": op, **command})

    def captured(self, amount: int = 10_000, **more: Any) -> None:
        """A payment whose capture is CAP1, of order OCAP1."""
        self.control("payment", **{"id": "CAP1", "amount": amount, **more})

    def authorized(self, amount: int = 10_000, **more: Any) -> None:
        """A payment whose authorization is AUTH1, of order OAUTH1."""
        self.control("payment", **{"id": "AUTH1", "amount": amount, "capture": "manual", **more})

    def listen(self, **more: Any) -> None:
        """Configure a webhook target."""
        self.control("webhook", **{"url": "http://shop.test/hook", "secret": "WEBHOOK1", **more})

    def due(self) -> list[Delivery]:
        """Webhook attempts due now."""
        return self.world.due(self.now)

    def events(self) -> list[dict[str, Any]]:
        """What is due now, delivered with success, as parsed events."""
        deliveries = self.due()
        for delivery in deliveries:
            self.world.delivered(delivery, 200)
        return [json.loads(delivery.body) for delivery in deliveries]

    def types(self) -> list[str]:
        """The types of what is due now."""
        return [event["event_type"] for event in self.events()]

    def row(self) -> dict[str, Any]:
        """The only payment's own truth."""
        (row,) = self.world.payments()
        return row


def refund_path(capture: str = "CAP1") -> str:
    return f"/v2/payments/captures/{capture}/refund"


def held_path(action: str = "", authorization: str = "AUTH1") -> str:
    return f"/v2/payments/authorizations/{authorization}{action and '/'}{action}"


def amount(value: str | None, currency: str = "EUR") -> dict[str, Any]:
    """The body of a request for this amount."""
    return {} if value is None else {"amount": {"currency_code": currency, "value": value}}
