"""Policies, caps and stops in a running engine: on both databases, from several processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from amends.core.order import Order
from amends.core.policy import Cap, Document, Row
from amends.core.quote import Quote
from amends.core.reasons import Reason, Refused
from amends.core.requests import CustomerIn, LineIn, OrderIn, OrderKey, RefundIn, TenderIn
from amends.engine import actions, board, policies, review_desk
from amends.engine.actions import Caller
from amends.engine.asks import Ask, Rendered
from amends.engine.fold import Fold
from amends.engine.world import BoardChanged
from amends.kernel.time import DAY, Instant
from tests.core.desk import STRIPE
from tests.engine.lab import Lab, laboratory

LAST = Row("rest", "true", "review")
BOSS = "person:boss"


def document(*rows: Row, name: str = "test", **caps: Cap) -> Document:
    return Document(name, (*rows, LAST), {k.replace("_", "-"): v for k, v in caps.items()})


YES = document(Row("yes", "true", "approve"))
CAPPED = document(
    Row("yes", "true", "approve", caps=("a-day",)), a_day=Cap("customer", amount=3000, count=100)
)


async def order(lab: Lab, number: int, customer: str = "c-1", amount: int = 1000) -> str:
    name = f"pi_{number}"
    lab.control("payment", id=name, amount=amount)
    line = LineIn("1", 1, amount)
    tender = TenderIn(amount, "payment", STRIPE, name, amount)
    report = OrderIn(
        OrderKey("shop-1", str(number)), "EUR", (line,), (tender,), customer=CustomerIn(customer)
    )
    return (await lab.nodes[0].report(report)).id


async def ask(node: Any, order_id: str, **more: Any) -> Any:
    """The refund that was made of a request."""
    told = await actions.request_refund(
        node.engine, Caller("key:support", "prn_1"), RefundIn(order=order_id, **more)
    )
    (result,) = told.results
    assert result.refused is None, result.refused
    return result.order.refund(result.refund)


async def test_a_published_policy_is_in_force_in_every_process_at_once(
    db_url: str, tmp_path: Path
) -> None:
    async with laboratory(db_url, tmp_path) as lab:
        a, b = lab.nodes[0], await lab.node()
        ids = [await order(lab, n) for n in range(3)]
        assert (await ask(a, ids[0])).verdict.rule == "small-and-trusted"
        assert (await ask(b, ids[1])).verdict.rule == "small-and-trusted"
        row = await policies.publish(a.engine, BOSS, document(Row("no", "true", "decline")))
        assert (await ask(b, ids[2])).verdict.rule == "no"
        assert (row.number, row.name) == (1, "test")
        events = await lab.nodes[0].engine.store.events("system:policy", "", 10)
        assert [(e.type, e.actor, e.body["hash"]) for e in events] == [
            ("policy.published", BOSS, row.hash)
        ]


async def test_row_15_a_stop_holds_in_every_process_at_once_and_is_lifted(
    db_url: str, tmp_path: Path
) -> None:
    async with laboratory(db_url, tmp_path) as lab:
        a, b = lab.nodes[0], await lab.node()
        ids = [await order(lab, n) for n in range(3)]
        stop = await policies.set_stop(a.engine, BOSS, "customer", "c-1", "a leaked account")
        assert (await ask(b, ids[0])).verdict.rule == "refund-stop"
        await policies.lift_stop(b.engine, BOSS, stop.id, "it was not")
        assert (await ask(a, ids[1])).verdict.rule == "small-and-trusted"
        with pytest.raises(Refused) as caught:
            await policies.lift_stop(a.engine, BOSS, stop.id, "again")
        assert caught.value.refusal.reason is Reason.UNKNOWN_STOP
        with pytest.raises(Refused):
            await policies.set_stop(a.engine, BOSS, "all", "", "  ")


async def test_row_15_a_turn_that_began_before_a_stop_is_decided_by_it(
    db_url: str, tmp_path: Path
) -> None:
    """Also where somebody who looks at policies has read the board anew for this process, while the
    turn waited for its locks."""
    async with laboratory(db_url, tmp_path) as lab:
        engine = lab.nodes[0].engine
        fold = Fold(engine, [Ask((), BOSS, asyncio.get_running_loop().create_future())])
        await policies.set_stop(engine, BOSS, "all", "", "a leaked account")
        await engine.learn_board()
        async with engine.store.turn() as turn:
            with pytest.raises(BoardChanged):
                await fold.read(turn)


async def test_row_76_two_processes_never_draw_more_than_a_cap_has(
    db_url: str, tmp_path: Path
) -> None:
    """Thirty at once of one customer over two processes: three leave, the rest are a person's."""
    async with laboratory(db_url, tmp_path) as lab:
        a, b = lab.nodes[0], await lab.node()
        await policies.publish(a.engine, BOSS, CAPPED)
        ids = [await order(lab, n) for n in range(30)]
        refunds = await asyncio.gather(*(ask((a, b)[n % 2], name) for n, name in enumerate(ids)))
        outcomes = [refund.verdict.outcome for refund in refunds]
        assert (outcomes.count("approve"), outcomes.count("review")) == (3, 27)
        assert {r.verdict.rule for r in refunds if r.verdict.outcome == "review"} == {"a-day"}
        await lab.settle()
        assert len(lab.movements()) == 3
        assert await lab.wrong() == []


async def test_a_bound_of_one_customer_says_nothing_of_another(db_url: str, tmp_path: Path) -> None:
    async with laboratory(db_url, tmp_path) as lab:
        node = lab.nodes[0]
        await policies.publish(node.engine, BOSS, CAPPED)
        ids = [await order(lab, n, customer=f"c-{n % 4}", amount=2000) for n in range(8)]
        refunds = await asyncio.gather(*(ask(node, name) for name in ids))
        assert [r.verdict.outcome for r in refunds] == ["approve"] * 4 + ["review"] * 4


async def test_what_is_taken_back_can_be_drawn_again(db_url: str, tmp_path: Path) -> None:
    async with laboratory(db_url, tmp_path) as lab:
        node = lab.nodes[0]
        node.transport.gate = asyncio.Event()
        await policies.publish(node.engine, BOSS, CAPPED)
        ids = [await order(lab, n, amount=3000) for n in range(2)]
        stop = await policies.set_stop(node.engine, BOSS, "all", "", "hold on")
        first = await ask(node, ids[0])
        await policies.lift_stop(node.engine, BOSS, stop.id, "go on")
        assert first.verdict.outcome == "review"
        await review_desk.decline(node.engine, Caller(BOSS, "p"), first.id)
        assert (await ask(node, ids[1])).verdict.outcome == "approve"
        node.transport.gate.set()
        await lab.settle()


async def test_history_counts_what_was_asked_before_and_not_this(
    db_url: str, tmp_path: Path
) -> None:
    often = Row("often", "customer.refunds_30d >= 2", "review")
    async with laboratory(db_url, tmp_path) as lab:
        node = lab.nodes[0]
        await policies.publish(node.engine, BOSS, document(often, Row("yes", "true", "approve")))
        ids = [await order(lab, n) for n in range(4)]
        rules = [(await ask(node, name)).verdict.rule for name in ids]
        assert rules == ["yes", "yes", "often", "often"]
        other = await order(lab, 9, customer="c-2")
        assert (await ask(node, other)).verdict.rule == "yes"


async def test_a_draft_runs_beside_and_never_acts(db_url: str, tmp_path: Path) -> None:
    async with laboratory(db_url, tmp_path) as lab:
        node = lab.nodes[0]
        draft = document(Row("never", "true", "decline"), name="strict")
        row = await policies.put_draft(node.engine, BOSS, draft, shadow=True)
        refund = await ask(node, await order(lab, 1))
        assert refund.verdict.outcome == "approve"
        (judged,) = await node.engine.store.decisions(0, 2**62, None, 10)
        assert judged.shadows == f'[["{row.hash}","never","decline"]]'
        await policies.drop_draft(node.engine, BOSS, "strict")
        await ask(node, await order(lab, 2))
        shadows = [d.shadows for d in await node.engine.store.decisions(0, 2**62, None, 10)]
        assert set(shadows) == {"[]", judged.shadows}


async def test_a_later_policy_is_in_force_when_its_time_comes(db_url: str, tmp_path: Path) -> None:
    async with laboratory(db_url, tmp_path) as lab:
        node = lab.nodes[0]
        at = lab.clock.now() + 3_600_000_000
        await policies.publish(node.engine, BOSS, document(Row("no", "true", "decline")), at)
        assert (await ask(node, await order(lab, 1))).verdict.outcome == "approve"
        lab.clock.forward(3_600_000_000)
        assert (await ask(node, await order(lab, 2))).verdict.outcome == "decline"
        with pytest.raises(Refused, match="before it is published"):
            await policies.publish(node.engine, BOSS, YES, at - 1)


def rows(row: str) -> bytes:
    return f'{{"name": "a", "rows": [{{"id": "a", {row}}}]}}'.encode()


@pytest.mark.parametrize(
    ("raw", "kind", "pointer"),
    [
        (b"{", "json", ""),
        (b"x" * (1024 * 1024 + 1), "json", ""),
        (b"[" * 100_000, "json", ""),
        (rows('"when": 3, "outcome": "review"'), "json", "/rows/0/when"),
        (rows('"when": "true", "outcome": "maybe"'), "json", "/rows/0/outcome"),
        (rows('"when": "true", "outcome": "review", "no": 1'), "json", "/rows/0"),
        (b"name = 'a'\nrows = []", "toml", "/rows"),
        (b"\xff", "toml", ""),
    ],
)
def test_what_is_no_policy_is_said_with_its_place(raw: bytes, kind: Any, pointer: str) -> None:
    with pytest.raises(Refused) as caught:
        policies.parse(raw, kind)
    assert caught.value.refusal.reason is Reason.BAD_POLICY
    assert caught.value.refusal.extra["errors"][0]["pointer"] == pointer


def test_a_stored_policy_that_cannot_be_used_any_more_sends_all_to_a_person() -> None:
    """It was checked when it was saved; a field it names may be gone in a newer version."""
    row = '{"id":"a","when":"gone.field","outcome":"approve"}'
    table = board.usable(f'{{"name":"a","rows":[{row}]}}', "sha256:1")
    assert [row.outcome for row, _ in table.rows] == ["review"]


async def test_a_quote_knows_how_long_a_customer_is_known(db_url: str, tmp_path: Path) -> None:
    """It is made of the same history as the request that commits it."""
    half = Row("long", "customer.known_days > 400", "approve", partial_bp=5000)
    async with laboratory(db_url, tmp_path) as lab:
        await policies.publish(lab.nodes[0].engine, "cli:lead", document(half))
        await order(lab, 1)
        lab.clock.forward(401 * DAY)
        last = await order(lab, 2)
        amounts: list[int] = []

        def show(order: Order, quote: Quote, quote_id: str, ends: Instant) -> Rendered:
            amounts.append(quote.amount)
            return Rendered(201, quote_id.encode())

        caller = Caller("key:support", "key:support", "POST /v1/quotes", "q")
        told = await actions.make_quote(lab.nodes[0].engine, caller, RefundIn(order=last), show)
        assert told.rendered is not None and amounts == [500]
        made = await ask(lab.nodes[0], last, quote=told.rendered.body.decode())
        assert made.amount == 500
