"""One key, one answer: in one batch, in two processes, after a refusal, with another body."""

from __future__ import annotations

import asyncio

from amends.core.requests import RefundIn
from amends.engine import actions
from amends.engine.actions import Caller
from amends.engine.asks import Rendered, Result
from tests.engine.lab import Lab, states


async def test_twice_in_one_batch(lab: Lab) -> None:
    node = lab.nodes[0]
    order = await lab.order()
    first, second = await asyncio.gather(
        node.refund(order.id, key="k", amount=100), node.refund(order.id, key="k", amount=100)
    )
    assert first.answer == second.answer
    assert (first.replayed, second.replayed) == (False, True)
    await lab.settle()
    assert states(await lab.one(order.id)) == ["succeeded"]
    assert await lab.wrong() == []


async def test_another_body_names_the_field(lab: Lab) -> None:
    node = lab.nodes[0]
    order, other = await lab.order(), await lab.order("2")
    await node.refund(order.id, key="k", amount=100, note="seal broken")
    for named, ask in (
        ("amount", {"amount": 101, "note": "seal broken"}),
        ("note", {"amount": 100, "note": "another"}),
        ("reason", {"amount": 100, "note": "seal broken", "reason": "damaged"}),
    ):
        assert (await node.refund(order.id, key="k", **ask)).mismatch == named
    told = await node.refund(other.id, key="k", amount=100, note="seal broken")
    assert told.mismatch == "order"
    assert (await lab.one(other.id)).refunds == ()
    assert len((await lab.one(order.id)).refunds) == 1


async def test_keys_belong_to_their_principal_and_route(lab: Lab) -> None:
    node = lab.nodes[0]
    order = await lab.order()
    for actor in ("key:support", "key:shop"):
        await node.refund(order.id, key="k", amount=100, actor=actor)
    assert len((await lab.one(order.id)).refunds) == 2


async def test_a_refusal_is_repeated_too(lab: Lab) -> None:
    """Even when it would no longer be refused: the key's answer is the first one."""
    node = lab.nodes[0]
    order = await lab.order()
    lab.control("refund_outcome", status="failed", count=1)
    node.transport.gate = asyncio.Event()
    await node.refund(order.id, amount=10_000)
    first = await node.refund(order.id, key="k", amount=1)
    assert first.answer is not None and first.answer.status == 409
    node.transport.gate.set()
    await lab.settle()
    again = await node.refund(order.id, key="k", amount=1)
    assert again.replayed
    assert again.answer == first.answer


async def test_what_is_not_kept_is_asked_anew(lab: Lab) -> None:
    """A 422 is not stored: the caller mends the request and sends it under the same key."""
    order = await lab.order()

    def invalid(result: Result) -> Rendered:
        return Rendered(422, b"no", keep=False)

    caller = Caller("key:support", "key:support", "POST /v1/refunds", "k", invalid)
    request = RefundIn(order=order.id, amount=10_001)
    told = await actions.request_refund(lab.nodes[0].engine, caller, request)
    assert told.answer is None and told.rendered is not None
    assert not (await lab.nodes[0].refund(order.id, key="k", amount=100)).replayed
