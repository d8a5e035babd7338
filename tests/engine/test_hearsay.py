"""What a shop asks for by webhook is what a caller asks for by REST: nothing more is kept of
people, nothing less is done."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from amends.core.order import Order
from amends.core.orders import order_id
from amends.core.quote import Quote
from amends.core.reasons import Reason, Refused
from amends.core.requests import OrderIn, RefundIn
from amends.engine import actions
from amends.engine.actions import Caller
from amends.engine.asks import Rendered, Told
from amends.engine.intake import receive
from amends.kernel.time import SECOND, Instant
from tests.engine.lab import WHSEC, Lab, report, states


async def hear(lab: Lab, name: str, kind: str, data: dict[str, Any]) -> Told:
    """One message of the shop to the first node, signed as the standard says."""
    body = json.dumps({"type": kind, "timestamp": "", "data": data}).encode()
    stamp = str(lab.clock.now() // SECOND)
    secret = base64.b64decode(WHSEC.removeprefix("whsec_") + "==")
    signed = hmac.new(secret, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "webhook-id": name,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    return await receive(lab.nodes[0].engine, "shop-1", body, headers)


async def quoted(lab: Lab, order: Order, amount: int) -> str:
    def show(order: Order, quote: Quote, quote_id: str, ends: Instant) -> Rendered:
        return Rendered(201, quote_id.encode())

    caller = Caller("key:support", "key:support", "POST /v1/quotes", "q")
    request = RefundIn(order=order.id, amount=amount)
    told = await actions.make_quote(lab.nodes[0].engine, caller, request, show)
    assert told.rendered is not None
    return told.rendered.body.decode()


async def test_a_quote_is_committed(lab: Lab) -> None:
    order = await lab.order()
    quote = await quoted(lab, order, 700)
    await hear(lab, "msg_1", "refund.requested", {"quote": quote, "reason": "goodwill"})
    await lab.settle()
    after = await lab.one(order.id)
    assert [(r.amount, *states(after)) for r in after.refunds] == [(700, "succeeded")]


async def test_a_quote_nobody_made_is_not_acknowledged(lab: Lab) -> None:
    await lab.order()
    with pytest.raises(Refused) as refused:
        await hear(lab, "msg_1", "refund.requested", {"quote": "qt_none"})
    assert refused.value.refusal.reason == Reason.UNKNOWN_QUOTE


async def test_an_order_of_ours_that_is_not_there_is_not_acknowledged(lab: Lab) -> None:
    """No order can come to have that id, so its message would wait for ever."""
    data = {"order": "ord_00000000000000000000000000", "amount": 500}
    with pytest.raises(Refused) as caught:
        await hear(lab, "m1", "refund.requested", data)
    assert caught.value.refusal.reason is Reason.UNKNOWN_ORDER
    assert (await lab.nodes[0].store.counts(lab.clock.now()))["inbox_unmatched"] == 0


async def test_a_note_is_kept_beside_its_hash(lab: Lab) -> None:
    """Known order, order not known yet: the text is in `notes` and nowhere else (I15)."""
    order = await lab.order()
    await hear(
        lab,
        "msg_1",
        "refund.requested",
        {"order": {"order_id": "1"}, "amount": 100, "note": "Sehr"},
    )
    (note,) = await lab.nodes[0].store.notes(order.id)
    assert note.text == "Sehr"
    assert (await lab.one(order.id)).refunds[0].note == note.id
    await hear(
        lab,
        "msg_2",
        "refund.requested",
        {"order": {"order_id": "2"}, "amount": 100, "note": "Sehr"},
    )
    assert "Sehr" not in await outside_of_people(lab)
    later = await lab.order("2")
    (note,) = await lab.nodes[0].store.notes(later.id)
    assert (note.text, (await lab.one(later.id)).refunds[0].note) == ("Sehr", note.id)


async def test_a_customer_is_kept_beside_the_order(lab: Lab) -> None:
    lab.control("payment", id="pi_1", amount=10_000)
    told = msgspec.to_builtins(report("1"))
    told["customer"] = {"id": "c-1", "email": "ada@example.com", "name": "Ada", "country": "DE"}
    await hear(lab, "msg_1", "order.created", told)
    person = await lab.nodes[0].store.person("main", "c-1")
    assert person is not None and person.email == "ada@example.com"
    assert "ada@example.com" not in await outside_of_people(lab)


async def test_of_fingerprints_only_hashes_are_kept(lab: Lab) -> None:
    lab.control("payment", id="pi_1", amount=10_000)
    told = msgspec.to_builtins(report("1"))
    told["signals"] = {"card": "4242-Ada", "address": "Ada Street 1", "address_mismatch": True}
    await hear(lab, "msg_1", "order.created", told)
    by_call = msgspec.convert({**told, "version": 2}, type=OrderIn)
    answer = Caller("key:support", "prn", "orders", "k-1", lambda _: Rendered(200, b"{}"))
    await actions.report_order(lab.nodes[0].engine, answer, by_call)
    signals = (await lab.one(order_id(by_call.source))).signals
    assert signals.card == hashlib.sha256(b"4242-Ada").hexdigest()
    assert (signals.device, signals.address_mismatch) == ("", True)
    assert "Ada" not in await outside_of_people(lab)


async def outside_of_people(lab: Lab) -> str:
    """Every text of the tables that no erasure touches."""
    found = []
    store: Any = lab.nodes[0].store
    async with store.engine.connect() as connection:
        for table, column in (
            ("orders", "state"),
            ("events", "body"),
            ("inbox", "facts"),
            ("effects", "doc"),
            ("idempotency", "request"),
        ):
            rows = await connection.execute(text(f"SELECT {column} FROM {table}"))
            found += [bytes(c).decode() if isinstance(c, bytes) else str(c) for (c,) in rows]
    return "\n".join(found)


async def test_a_nul_fails_alone(lab: Lab) -> None:
    """A shop's message with a character no database keeps is refused before it is in a batch."""
    order = await lab.order()
    with pytest.raises(Refused) as refused:
        await hear(lab, "msg_1", "refund.requested", {"order": "ord_\0", "amount": 100})
    assert refused.value.refusal.reason == Reason.MALFORMED
    await lab.nodes[0].refund(order.id, amount=100)
    await lab.settle()
    assert states(await lab.one(order.id)) == ["succeeded"]
