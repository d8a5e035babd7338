"""I13, I15 and liveness: what was acknowledged is there, holds no personal data, and ends."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar

from amends.sim.checker.spec import Ask, Journal, Return, Row, Snapshot, Violation
from amends.sim.checker.trail import by_shop
from amends.sim.checker.view import Case

Found = Iterator[Violation]
Told = TypeVar("Told", Ask, Return)
Beginnings = dict[str, dict[str, str]]  # first letters: every spelling with them, and whose it is
BEGINNING = 6  # letters; personal strings share few of these, so a text is searched a few times
OVERDUE_US = 10 * 60 * 1_000_000  # far more than clocks differ and leases last


# -- I13 -------------------------------------------------------------------------------------------


def messages_are_on_disk(
    rows: Mapping[tuple[str, str], int], journal: Journal, shop: str, psps: tuple[str, ...]
) -> Found:
    """Each message that was answered 2xx has exactly one row; `rows` counts them by connection and
    id."""
    for connections, names in (((shop,), journal.messages), (psps, journal.events)):
        for name in dict.fromkeys(names):
            if not any(rows.get((connection, name)) for connection in connections):
                said = f"{name} of {' or '.join(connections)} was taken and is not there"
                yield Violation("I13", "", said)
    for key, count in rows.items():
        if count > 1:
            yield Violation("I9", "", f"{key} is {count} times in the inbox")


def orders_are_on_disk(orders: Collection[str], journal: Journal) -> Found:
    """Each order that was answered 2xx is there, and each that a refund was accepted for."""
    refunded = [ask.number for ask in journal.asks if ask.accepted and ask.door == "api"]
    for number in dict.fromkeys((*journal.orders_acked, *refunded)):
        if number not in orders:
            yield Violation("I13", number, "the order was acknowledged and is not there")


def payments_are_found(case: Case, refs: Mapping[tuple[str, str], str]) -> Found:
    """Each payment leads to its order, so that news of it arrives."""
    for payment in case.order.payments:
        owner = refs.get((payment.connection, payment.psp_payment_id))
        if owner != case.order.id and payment.kind == "payment":
            yield case.wrong("I13", f"{payment.psp_payment_id} leads to {owner}, not here")


def asks_are_on_disk(case: Case, asks: list[Ask], stored: set[str]) -> Found:
    """Each refund that was answered 2xx has its row, or is kept for a parked order (`stored`); the
    same key had the same answer; each message led to a refund or to a recorded refusal."""
    refunds = {row["id"] for row in case.rows["refunds"]}
    answers: dict[str, str] = {}
    for ask in asks:
        name = refund_of(ask)
        if not ask.accepted or ask.door != "api":
            continue
        if name not in refunds and name.removeprefix("rf_") not in stored:
            yield case.wrong(
                "I13", f"{ask.id} was answered {ask.status} with {name!r}: no such row"
            )
        if ask.key and answers.setdefault(ask.key, name) != name:
            yield case.wrong("I9", f"key {ask.key} was answered {answers[ask.key]} and {name}")
    taken = {ask.message for ask in asks if ask.accepted and ask.door == "message"}
    asked, _ = by_shop(case)
    if len(asked) < len(taken) and not case.order.parked:
        what = f"{len(taken)} messages asked for refunds, {len(asked)} were decided"
        yield case.wrong("I13", what)


def fees_are_those_asked(case: Case, asks: list[Ask]) -> Found:
    """A refund keeps back the fees that were asked for, each once, and no other; one of an amount
    may give back some that were kept."""
    refunds = {refund.id: refund for refund in case.order.refunds}
    for ask in asks:
        refund = refunds.get(refund_of(ask))
        if refund is None or not ask.accepted or "quote" in ask.body:
            continue
        wanted = [(fee["kind"], fee["amount"]) for fee in ask.body.get("fees", ())]
        back = "amount" in ask.body
        fees = [fee for fee in refund.breakdown.fees if fee.gross > 0 or not back]
        kept = [(fee.kind, fee.gross) for fee in fees]
        if kept != wanted:
            yield case.wrong("I6", f"{refund.id} keeps back {kept}, {ask.id} said {wanted}")


def refund_of(ask: Ask) -> str:
    """The refund's id its caller was told, "" if it was told none."""
    return str(ask.answer.get("id") or "") if ask.answer else ""


# -- I15 -------------------------------------------------------------------------------------------


def nothing_personal(
    snapshot: Snapshot, known: Beginnings, fresh: Mapping[str, Iterable[Row]]
) -> Found:
    """No personal string in the documents, effects and stored answers, nor in `fresh`: the rows of
    the append-only tables since the last quiet point."""
    places: list[tuple[str, str]] = [
        ("orders.state", json.dumps(snapshot.orders, ensure_ascii=False)),
        ("effects", _text(snapshot.rows["effects"])),
        ("idempotency", _text(snapshot.rows["idempotency"])),
        *((table, _text(rows)) for table, rows in fresh.items()),
    ]
    for place, text in places:
        for secret in dict.fromkeys(_standing(known, text)):
            yield Violation("I15", "", f"{secret!r} stands in {place}")


def by_beginning(secrets: Iterable[str]) -> Beginnings:
    """Every spelling of every personal string and whose it is, by how it begins."""
    found: Beginnings = {}
    for secret in dict.fromkeys(secrets):
        spellings = {secret, json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(secret)[1:-1]}
        for spelling in spellings if secret else ():
            found.setdefault(spelling[:BEGINNING], {})[spelling] = secret
    return found


def _standing(known: Beginnings, text: str) -> Iterator[str]:
    """The personal strings that stand in a text; the time does not grow with how many there are
    times how long it is."""
    for beginning, spellings in known.items():
        at = text.find(beginning)
        lengths = sorted({len(written) for written in spellings}) if at >= 0 else []
        while at >= 0:
            for length in lengths:
                if secret := spellings.get(text[at : at + length]):
                    yield secret
            at = text.find(beginning, at + 1)


def _text(rows: Iterable[Row]) -> str:
    return "\n".join(
        bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else value
        for row in rows
        for value in row.values()
        if isinstance(value, bytes | memoryview | str)
    )


# -- liveness --------------------------------------------------------------------------------------


def nothing_is_left_lying(snapshot: Snapshot, parked: set[str]) -> Found:
    """At a quiet point whatever was due has been done, except for parked orders."""
    for row in snapshot.rows["effects"]:
        late = snapshot.at - row["ready_at"]
        if late > OVERDUE_US and row["order_id"] not in parked:
            said = f"effect {row['id']} is due for {late // 1_000_000} s"
            yield Violation("liveness", "", said)


def everything_ended(case: Case) -> Found:
    """At the end no refund is still being sent or looked for, no order is parked, and what is
    pending is pending at the provider too. Reviews wait for people; for money none waits any more,
    since the balances are full again."""
    if case.order.parked:
        yield case.wrong("liveness", f"the order is parked: {case.order.parked}")
        return
    for refund in case.order.refunds:
        for leg in refund.legs:
            movement = case.movement_of(leg)
            if leg.state in ("sending", "unknown", "awaiting_funds"):
                yield case.wrong("liveness", f"{leg.id} is still {leg.state}")
            elif leg.kind == "void" and leg.state == "pending":
                yield case.wrong(
                    "liveness", f"{leg.id} is pending, whether it was released was never said"
                )
            elif leg.state in ("pending", "requires_action") and leg.kind == "refund":
                status = movement.status if movement else "nowhere"
                if status not in ("pending", "requires_action"):
                    yield case.wrong("liveness", f"{leg.id} is {leg.state}, there it is {status}")


def messages_are_matched(waiting: Iterable[Row], known: Collection[str]) -> Found:
    """At the end no message waits for an order that is there, or for a person."""
    for row in waiting:
        waits = row["state"] == "unmatched" and any(x in known for x in json.loads(row["refs"]))
        if waits or row["state"] == "parked":
            yield Violation("liveness", "", f"message {row['message']} is still {row['state']}")


def references(case: Case) -> set[str]:
    """What an unmatched message may wait for, as its row spells it: "connection/id"."""
    found = {f"{p.connection}/{p.psp_payment_id}" for p in case.order.payments}
    return found | {f"{case.order.source.connection}/{case.order.source.order_id}"}


def most_succeeded(paid: Mapping[str, int], asks: Mapping[str, list[Ask]], share: int) -> Found:
    """At least `share` percent of the requests that could succeed did; repeats count once. Both are
    by the shop's order number, `paid` is how many did."""
    could = {number: len(_could(own)) for number, own in asks.items()}
    wanted, done = sum(could.values()), sum(paid.get(number, 0) for number in asks)
    if done * 100 < wanted * share:
        short = [number for number, most in could.items() if paid.get(number, 0) < most]
        said = f"{done} of {wanted} refunds that could succeed did; not all of {short[:5]}"
        yield Violation("liveness", "", said)


def _could(asks: list[Ask]) -> dict[str, Ask]:
    return {ask.message or ask.key or ask.id: ask for ask in asks if ask.should_succeed}


def succeeded(case: Case, asks: list[Ask]) -> int:
    """How many of the requests that could succeed ended paid. A request by message is told no id,
    so those of one order are counted against the refunds its shop asked for."""
    could = _could(asks)
    if not could:
        return 0
    paid = {
        row["id"]
        for row in case.rows["refunds"]
        if row["state"] == "succeeded" and row["amount_succeeded"] >= row["amount"]
    }
    for refund in case.order.refunds:
        if refund.stage == "held" or refund.combined_in in paid:  # as far as it can come
            paid.add(refund.id)
    told = {a.key or a.id: refund_of(a) for a in asks if refund_of(a)}
    by_call = [name for name, ask in could.items() if ask.door == "api"]
    asked, _ = by_shop(case)
    by_message = sum(1 for event in asked if event.body.get("refund") in paid)
    messages = len(could) - len(by_call)
    return sum(1 for name in by_call if told.get(name) in paid) + min(messages, by_message)


def by_number(told: list[Told]) -> dict[str, list[Told]]:
    """Requests, or what came back, by the shop's order number."""
    found: dict[str, list[Told]] = {}
    for one in told:
        found.setdefault(one.number, []).append(one)
    return found
