"""What others are told: in order, once with effect, through outages; and the books of a day."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from amends.core.outlets import Books, CreditNote, RefundPaid, Telling, decode_telling
from amends.engine import daybooks, endpoints
from amends.engine import outbox as outbox_module
from amends.engine.config import ConnectionConfig
from amends.engine.notify import Health
from amends.engine.outbox import LEASE, Endpoint, Outbox
from amends.gateways import registry
from amends.gateways.spec import Capabilities, Failure, Request, Response, Settings, Talk
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND, Instant
from tests.engine.lab import Lab, Node, report


class Plain:
    """An outlet that looks for our key, and makes what is not there."""

    CAPABILITIES = Capabilities(
        name="plain",
        provider=False,
        takes=("credit_note", "refund_paid", "goods_returned", "books"),
        one_writer=True,
    )

    def talk(self, telling: Telling, settings: Settings, now: Instant) -> Talk:
        found = yield Request("GET", f"http://erp.test/{telling.key}")
        if isinstance(found, Failure):
            return NotSent(found.reason) if not found.sent else Unknown(found.reason)
        if found.status == 404:
            body = msgspec.json.encode(telling)
            found = yield Request("POST", f"http://erp.test/{telling.key}", body=body)
        if isinstance(found, Failure):
            return Unknown(found.reason)
        if found.status == 400:
            return Declined("refused", found.body.decode())
        return Accepted(reference=found.body.decode())


class Erp:
    """The party: what it made, by key, in order."""

    def __init__(self) -> None:
        self.made: dict[str, Telling] = {}
        self.away = False
        self.refuses = ""
        self.lost = 0  # answers to be lost, after the work
        self.asked = 0

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        self.asked += 1
        key = request.url.rpartition("/")[2]
        if self.away:
            return Failure(False, "no connection: refused")
        if request.method == "POST":
            if self.refuses:
                return Response(400, {}, self.refuses.encode())
            assert key not in self.made, "made twice"
            self.made[key] = decode_telling(request.body)
            if self.lost:
                self.lost -= 1
                return Failure(True, "no answer in time")
        if key not in self.made:
            return Response(404, {}, b"")
        return Response(200, {}, f"E{[*self.made].index(key)}".encode())

    async def close(self) -> None:
        """Nothing is open."""

    def kinds(self) -> list[str]:
        return [type(telling).__name__ for telling in self.made.values()]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> Erp:
    """An ERP, connected to the laboratory's engines from the next one on."""
    monkeypatch.setitem(registry.OUTLETS, "plain", Plain())  # type: ignore[arg-type]
    monkeypatch.setitem(registry.CAPABILITIES, "plain", Plain.CAPABILITIES)  # type: ignore[arg-type]
    erp = ConnectionConfig("erp", Settings(name="erp", gateway="plain"), 0, 64, DAY)
    lab.config = replace(lab.config, connections={**lab.config.connections, "erp": erp})
    return Erp()


async def connected(lab: Lab, erp: Erp) -> Node:
    for old in list(lab.nodes):
        await lab.lose(old)
    node = await lab.node()
    node.engine.outbox._transport = erp
    return node


async def tell(outbox: Outbox) -> None:
    """Until nothing is due."""
    while await outbox.claim():
        await asyncio.gather(*outbox._tasks)
        await outbox._settle()


async def items(node: Node, **filters: str) -> list[dict[str, Any]]:
    return list((await node.store.tells(filters, "", 500)).items)


async def refunded(lab: Lab, node: Node, number: str = "1", **ask: Any) -> str:
    order = await lab.order(number)
    await node.refund(order.id, amount=1000, reason="goodwill", **ask)
    await lab.settle()
    return order.id


async def test_a_credit_note_is_told_before_its_payment_and_each_once(lab: Lab, plain: Erp) -> None:
    node = await connected(lab, plain)
    order = await refunded(lab, node)
    await tell(node.engine.outbox)
    assert plain.kinds() == ["CreditNote", "RefundPaid"]
    note, paid = plain.made.values()
    assert isinstance(note, CreditNote)
    assert isinstance(paid, RefundPaid)
    assert paid.note == note.key
    assert (note.document.gross, paid.amount) == (1000, 1000)
    done = [(i["state"], i["reference"]) for i in reversed(await items(node, order=order))]
    assert done == [("done", "E0"), ("done", "E1")]


async def test_an_erp_that_is_down_for_a_day_holds_nothing_up_and_catches_up_in_order(
    lab: Lab, plain: Erp
) -> None:
    node = await connected(lab, plain)
    plain.away = True
    orders = []
    for number in range(5):
        orders.append(await refunded(lab, node, str(number)))
        for _ in range(3):
            await tell(node.engine.outbox)
            lab.clock.forward(4 * HOUR)
    assert [r.legs[0].state for o in orders for r in (await lab.one(o)).refunds] == [
        "succeeded"
    ] * 5
    assert plain.made == {}
    assert {i["state"] for i in await items(node)} == {"open"}
    plain.away = False
    lab.clock.forward(MINUTE)
    await tell(node.engine.outbox)
    assert [t.order for t in plain.made.values()] == [o for o in orders for _ in range(2)]
    assert plain.kinds() == ["CreditNote", "RefundPaid"] * 5
    assert await lab.wrong() == []


async def test_while_it_is_away_it_is_asked_now_and_then_not_all_the_time(
    lab: Lab, plain: Erp
) -> None:
    node = await connected(lab, plain)
    plain.away = True
    for number in range(3):
        await refunded(lab, node, str(number))
    asked = plain.asked
    for _ in range(600):
        await tell(node.engine.outbox)
        lab.clock.forward(SECOND)
    assert 15 < plain.asked - asked < 40, "one at a time, at last every half minute"
    asked = plain.asked
    for _ in range(1440):
        await tell(node.engine.outbox)
        lab.clock.forward(MINUTE)
    assert 288 <= plain.asked - asked < 360, "… of the first half hour, then every five"


async def test_a_process_that_starts_meanwhile_does_not_ask_more_often(
    lab: Lab, plain: Erp
) -> None:
    node = await connected(lab, plain)
    plain.away = True
    await refunded(lab, node)
    for _ in range(2 * HOUR // MINUTE):
        await tell(node.engine.outbox)
        lab.clock.forward(MINUTE)
    node = await connected(lab, plain)
    asked = plain.asked
    for _ in range(HOUR // MINUTE):
        await tell(node.engine.outbox)
        lab.clock.forward(MINUTE)
    assert 12 <= plain.asked - asked <= 14, "every five minutes"


async def test_an_answer_that_was_lost_makes_nothing_twice(lab: Lab, plain: Erp) -> None:
    node = await connected(lab, plain)
    plain.lost = 2
    await refunded(lab, node)
    for _ in range(4):
        await tell(node.engine.outbox)
        lab.clock.forward(MINUTE)
    assert plain.kinds() == ["CreditNote", "RefundPaid"]
    assert {i["state"] for i in await items(node)} == {"done"}


async def test_a_process_that_ends_in_the_middle_leaves_it_to_the_next(
    lab: Lab, plain: Erp
) -> None:
    node = await connected(lab, plain)
    await refunded(lab, node)
    outbox = node.engine.outbox
    assert await outbox.claim()
    await asyncio.gather(*outbox._tasks)  # it was told, and the process ends before it is stored
    node = await connected(lab, plain)
    await tell(node.engine.outbox)
    assert plain.kinds() == ["CreditNote"], "its lease still holds"
    lab.clock.forward(LEASE)
    await tell(node.engine.outbox)
    assert plain.kinds() == ["CreditNote", "RefundPaid"]


async def test_what_it_refuses_waits_for_a_person_with_its_own_sentence(
    lab: Lab, plain: Erp
) -> None:
    node = await connected(lab, plain)
    plain.refuses = "The period is closed."
    order = await refunded(lab, node)
    await refunded(lab, node, "2")
    await tell(node.engine.outbox)
    stuck = await items(node, state="stuck")
    assert [i["detail"] for i in stuck] == ["refused: The period is closed."] * 2
    assert [i["kind"] for i in await items(node, state="open")] == ["refund_paid"] * 2
    plain.refuses = ""
    await tell(node.engine.outbox)
    assert plain.made == {}, "nobody has looked yet"
    (mine,) = (i for i in stuck if i["order"] == order)
    assert await node.store.move_tell(order, mine["number"], "open", lab.clock.now())
    await tell(node.engine.outbox)
    assert {t.order for t in plain.made.values()} == {order}
    assert plain.kinds() == ["CreditNote", "RefundPaid"]


async def test_what_a_party_says_can_be_stored_and_names_nobody(lab: Lab, plain: Erp) -> None:
    """A character that databases end text at would end the outbox; ids alone are kept (I15)."""
    node = await connected(lab, plain)
    plain.refuses = "No\0 such customer:\n jo@example.com, 4242 4242 4242 4242 " + "x" * 9999
    await refunded(lab, node)
    await tell(node.engine.outbox)
    (stuck,) = await items(node, state="stuck")
    said = "refused: No such customer: [address], [card] x"
    assert stuck["detail"].startswith(said)
    assert len(stuck["detail"]) <= 520


async def test_the_books_of_a_day_and_what_was_told_of_it_come_to_the_ledger(
    lab: Lab, plain: Erp
) -> None:
    """Compensation is on no credit note: it is told with the day."""
    node = await connected(lab, plain)
    engine = node.engine
    await engine.tell_days()
    await tell(engine.outbox)
    order = await lab.order("1")
    for goodwill in ("price_reduction", "compensation"):
        await node.refund(order.id, amount=700, reason="goodwill", goodwill=goodwill)
    await lab.settle(HOUR)
    await engine.tell_days()
    assert len(await items(node, kind="books")) == 1, "the day is not over"
    lab.clock.at = (lab.clock.now() // DAY + 1) * DAY + daybooks.SETTLED + 1
    await engine.tell_days()
    await engine.tell_days()
    await tell(engine.outbox)
    days = [t for t in plain.made.values() if isinstance(t, Books)]
    assert [bool(t.lines) for t in days] == [False, True]
    assert "goodwill" in {line.account for line in days[1].lines}
    assert sum(line.functional for line in days[1].lines) == 0
    told = Counter[tuple[str, str]]()
    for telling in plain.made.values():
        lines = telling.lines if isinstance(telling, Books) else getattr(telling, "booked", ())
        for line in lines:
            told[line.account, line.currency] += line.functional
    ledger = {(a, c): ours for a, c, _, ours in await node.store.balances(None) if ours}
    assert {key: n for key, n in told.items() if n} == ledger


async def test_without_outlets_nothing_is_stored(lab: Lab) -> None:
    node = lab.nodes[0]
    await refunded(lab, node)
    assert await items(node) == []
    (order,) = await lab.orders()
    assert (order.told, order.refunds[0].notes_told) == (0, ())


async def test_two_processes_tell_each_thing_once(lab: Lab, plain: Erp) -> None:
    one = await connected(lab, plain)
    two = await lab.node()
    two.engine.outbox._transport = plain
    for number in range(6):
        await one.report(report(f"x{number}"))
        await refunded(lab, one, str(number))
    for _ in range(20):
        for node in (one, two):
            await node.engine.outbox.claim()
        await asyncio.gather(*one.engine.outbox._tasks, *two.engine.outbox._tasks)
        for node in (one, two):
            await node.engine.outbox._settle()
    assert len(plain.made) == 12


async def test_a_lease_counts_from_before_it_was_asked_for(lab: Lab, plain: Erp) -> None:
    """A database that takes its time with a claim leaves less of the lease to talk in."""
    node = await connected(lab, plain)
    await refunded(lab, node)
    outbox = node.engine.outbox
    claim = outbox._store.claim_tells

    async def slow(*args: Any) -> Any:
        found = await claim(*args)
        lab.clock.at += LEASE
        return found

    outbox._store.claim_tells = slow  # type: ignore[method-assign]
    assert await outbox.claim()
    await asyncio.gather(*outbox._tasks)
    assert not plain.asked


async def test_who_keeps_books_from_later_on_has_them_whole_too(lab: Lab, plain: Erp) -> None:
    """Two ERPs of one legal entity: each day adds up by what each was told, not by what either."""
    node = await connected(lab, plain)
    await node.engine.tell_days()
    await refunded(lab, node)
    one = lab.config.connections["erp"]
    other = replace(one, settings=Settings(name="erp-2", gateway="plain"), name="erp-2")
    lab.config = replace(lab.config, connections={**lab.config.connections, "erp-2": other})
    node = await connected(lab, plain)
    await node.engine.tell_days()
    await refunded(lab, node, "2")
    lab.clock.at = (lab.clock.now() // DAY + 1) * DAY + daybooks.SETTLED + 1
    await node.engine.tell_days()
    ledger = {(a, c): ours for a, c, _, ours in await node.store.balances(None) if ours}
    for name, notes in (("erp", 2), ("erp-2", 1)):
        told, kinds = Counter[tuple[str, str]](), Counter[str]()
        for item in await items(node, connection=name):
            telling = await node.store.tell_doc(item["order"], item["number"])
            kinds[type(telling).__name__] += 1
            lines = telling.lines if isinstance(telling, Books) else getattr(telling, "booked", ())
            for line in lines:
                told[line.account, line.currency] += line.functional
        assert (kinds["CreditNote"], kinds["RefundPaid"]) == (notes, notes)
        assert {key: n for key, n in told.items() if n} == ledger


async def test_a_sender_that_does_not_end_is_given_up_within_its_lease(
    lab: Lab, plain: Erp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next process sends the same mail beside it."""

    class Silent:
        async def send(self, telling: Telling, settings: Settings) -> Outcome:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

    monkeypatch.setattr(outbox_module, "SPARE", LEASE - SECOND // 50)
    node = await connected(lab, plain)
    await refunded(lab, node)
    outbox = node.engine.outbox
    outbox._senders = {"plain": Silent()}
    assert await outbox.claim()
    await asyncio.gather(*outbox._tasks)
    await outbox._settle()
    (item,) = (i for i in await items(node) if i["attempts"])
    assert (item["state"], item["detail"]) == (
        "open",
        "the conversation took longer than its lease",
    )


async def test_a_defect_does_not_end_the_outbox(
    lab: Lab, plain: Erp, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await connected(lab, plain)
    outbox = node.engine.outbox
    await refunded(lab, node)
    settle, failed, went_on = outbox._settle, asyncio.Event(), asyncio.Event()

    async def once() -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("a defect")
        await settle()
        went_on.set()

    monkeypatch.setattr(outbox, "_settle", once)
    monkeypatch.setattr(outbox, "period", SECOND // 100)
    life = asyncio.create_task(outbox.run())
    try:
        async with asyncio.timeout(30):
            await asyncio.wait(
                (life, asyncio.create_task(went_on.wait())), return_when=asyncio.FIRST_COMPLETED
            )
        assert not life.done()
    finally:
        outbox.stop()
        await life


async def test_an_endpoint_that_another_process_disabled_is_told_nothing(
    lab: Lab, plain: Erp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings are looked at as something is to be told, and not before."""
    node = await connected(lab, plain)
    outbox, store = node.engine.outbox, node.engine.store
    outbox._endpoints = {"erp": Endpoint(Settings(name="erp", gateway="webhook"))}
    settings = store.settings
    monkeypatch.setattr(store, "settings", None)
    assert not await outbox.claim()
    monkeypatch.setattr(store, "settings", settings)
    await refunded(lab, node)
    await endpoints.disable(store, node.engine.new_id, Health("erp", disabled_at=1, why="gone"))
    assert not await outbox.claim()
    assert not plain.asked
