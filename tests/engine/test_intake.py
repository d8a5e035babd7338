"""Webhooks of the provider in every order of arrival: acted on once, never backwards (I9)."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from amends.core.reasons import Reason, Refused
from amends.engine.intake import receive
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND
from tests.engine.lab import STRIPE, WHSEC, Lab, states


async def counted(lab: Lab) -> int:
    """Events of the trail that say that money moved."""
    (order,) = await lab.orders()
    events = await lab.nodes[0].store.events(order.id, "", 500)
    return sum(1 for e in events if e.type == "leg.moved" and e.body["now"] == "succeeded")


async def test_the_webhook_comes_before_the_answer(lab: Lab) -> None:
    """edge-06: it is attached to the pending intent; one refund, one payout."""
    lab.listen()
    order = await lab.order()
    lab.control("fault", kind="webhook_before_answer", path="/v1/refunds*")
    await lab.nodes[0].refund(order.id)
    await lab.settle(HOUR)
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert len((await lab.one(order.id)).refunds) == 1
    assert await counted(lab) == 1
    assert await lab.wrong() == []


async def test_the_webhook_comes_and_the_answer_never_does(lab: Lab) -> None:
    lab.listen()
    order = await lab.order()
    lab.control("fault", kind="lost_answer", count=1)
    lab.control("fault", kind="unavailable", method="GET")
    await lab.nodes[0].refund(order.id)
    await lab.settle(MINUTE)
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert await counted(lab) == 1
    assert await lab.wrong() == []


@pytest.mark.parametrize("kind", ["duplicate", "delay", "reorder", "bad_signature"])
async def test_disturbed_webhooks(lab: Lab, kind: str) -> None:
    """edge-07: pending, then succeeded, then failed, told twice, late, in any order or once with a
    wrong signature, end as the provider has it."""
    lab.listen()
    lab.control("webhook_fault", kind=kind, probability=0.7)
    orders = [await lab.order(str(n)) for n in range(6)]
    for n, order in enumerate(orders):
        then = ("succeeded", "failed")[n % 2]
        lab.control("refund_outcome", status="pending", then=then, after_s=1 + n, payment=f"pi_{n}")
        await lab.nodes[0].refund(order.id)
    await lab.settle(2 * DAY)
    for n, order in enumerate(orders):
        assert states(await lab.one(order.id)) == [("succeeded", "failed")[n % 2]]
    assert (401 in lab.statuses) == (kind == "bad_signature")
    assert await lab.wrong() == []


async def test_a_lost_webhook_is_made_up_for_by_a_look(lab: Lab) -> None:
    lab.listen()
    lab.control("webhook_fault", kind="lose")
    lab.control("refund_outcome", status="pending", then="failed", after_s=60)
    order = await lab.order()
    await lab.nodes[0].refund(order.id)
    await lab.settle(3 * DAY)
    assert states(await lab.one(order.id)) == ["failed"]
    assert await lab.wrong() == []


async def test_a_message_is_taken_once(lab: Lab) -> None:
    node = lab.nodes[0]
    raw = event("evt_1")
    first = await receive(node.engine, STRIPE, raw, signed(lab, raw))
    again = await receive(node.engine, STRIPE, raw, signed(lab, raw))
    assert (first.duplicate, again.duplicate) == (False, True)


@pytest.mark.parametrize("secret", ["whsec_wrong", "", WHSEC + " "])
async def test_a_signature_of_another_secret(lab: Lab, secret: str) -> None:
    raw = event("evt_1")
    assert await refused(lab, raw, signed(lab, raw, secret)) == Reason.SIGNATURE_INVALID


async def test_a_body_that_was_changed_on_the_way(lab: Lab) -> None:
    raw = event("evt_1")
    headers = signed(lab, raw)
    assert await refused(lab, raw.replace(b"700", b"900"), headers) == Reason.SIGNATURE_INVALID


async def test_an_old_signature_is_no_signature(lab: Lab) -> None:
    raw = event("evt_1")
    headers = signed(lab, raw)
    lab.clock.forward(6 * MINUTE)
    assert await refused(lab, raw, headers) == Reason.SIGNATURE_INVALID


async def test_the_body_is_not_read_before_its_signature_holds(lab: Lab) -> None:
    assert await refused(lab, b"\xff{", signed(lab, b"{}")) == Reason.SIGNATURE_INVALID
    assert await refused(lab, b"\xff{", signed(lab, b"\xff{")) == Reason.MALFORMED


async def test_live_news_on_a_test_connection(lab: Lab) -> None:
    raw = event("evt_1", livemode=True)
    assert await refused(lab, raw, signed(lab, raw)) == Reason.WRONG_MODE


async def test_an_unknown_connection(lab: Lab) -> None:
    with pytest.raises(Refused) as told:
        await receive(lab.nodes[0].engine, "stripe-us", b"{}", {})
    assert told.value.refusal.reason == Reason.UNKNOWN_CONNECTION


async def refused(lab: Lab, raw: bytes, headers: dict[str, str]) -> Reason:
    """Why it is refused; nothing of it is on disk."""
    with pytest.raises(Refused) as told:
        await receive(lab.nodes[0].engine, STRIPE, raw, headers)
    counts = await lab.nodes[0].store.counts(lab.clock.now())
    assert counts["inbox_unmatched"] == 0
    return told.value.refusal.reason


def event(number: str, **changes: Any) -> bytes:
    """A refund of a payment nobody here knows."""
    refund = {
        "id": "re_1",
        "object": "refund",
        "amount": 700,
        "currency": "eur",
        "status": "succeeded",
        "payment_intent": "pi_nobody",
        "charge": "ch_nobody",
        "created": 1_790_000_000,
        "metadata": {},
    }
    whole = {
        "id": number,
        "object": "event",
        "type": "refund.created",
        "created": 1_790_000_000,
        "livemode": False,
        "data": {"object": refund},
    }
    return json.dumps(whole | changes).encode()


def signed(lab: Lab, raw: bytes, secret: str = WHSEC) -> dict[str, str]:
    at = str(lab.clock.now() // SECOND)
    mac = hmac.new(secret.encode(), at.encode() + b"." + raw, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={at},v1={mac}"}
