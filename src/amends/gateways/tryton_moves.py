"""Account moves in Tryton: payments of credit notes, their coming back, and what a day booked.

A payment is what Tryton's wizard makes (`pay_invoice` of trytond-account-invoice 8.2): a posted
move on the receivable account, added to the payments of the credit note and reconciled with it once
they come to the same. Done record by record it can be taken up where it was left, which the wizard
cannot; only the reconciliation is a wizard here too, since no field of REST makes one.
"""

from __future__ import annotations

from collections.abc import Generator
from decimal import Decimal
from typing import Any

from amends.core.outlets import Booked, Books, RefundPaid
from amends.gateways.codecs import Json, text
from amends.gateways.spec import Failure, Request, Response
from amends.gateways.tryton_notes import INVOICE, POSTED
from amends.gateways.tryton_rest import (
    Asks,
    Does,
    Erp,
    Lists,
    account,
    account_name,
    add,
    create,
    currency,
    date,
    declined,
    delete,
    find,
    has_login,
    journal,
    link,
    money,
    number,
    party,
    period,
    press,
    record_id,
    rows,
    through,
    wizard,
    write,
)
from amends.kernel.money import major, proportion
from amends.kernel.outcome import Accepted, Outcome
from amends.kernel.time import day_of

MOVE = "account.move"
LINE = "account.move.line"

_DUE = (
    *("debit", "credit", "amount_second_currency", "second_currency.id", "reconciliation.id"),
    *("account.id", "party.id", "move.origin", "move.description"),
)
_NOTE = (
    *("state", "number", "account.id", "account.party_required", "party.id", "currency.code"),
    *(f"{lines}.{field}" for lines in ("lines_to_pay", "payment_lines") for field in _DUE[:5]),
)


def posted_move(erp: Erp, key: str, values: Json) -> Asks:
    """The move of a key, posted: found, finished, or made. Of several drafts, which an attempt that
    was given up leaves when it arrives late, one is kept."""
    marked = [["description", "=", key], ["company", "=", erp.of.id]]
    found = yield from find(erp, MOVE, marked, "state", "number")
    if not found:
        made = yield from create(erp, MOVE, {**values, "description": key})
        found = [{"id": record_id(made), "state": "draft"}]
    kept = next((move for move in found if text(move, "state") == "posted"), found[0])
    for other in found:
        if other is not kept and text(other, "state") == "draft":
            yield from delete(erp, MOVE, record_id(other))
    if text(kept, "state") != "posted":
        kept = yield from press(erp, MOVE, record_id(kept), "post", "number")
    return kept


# -- payments ----------------------------------------------------------------------------------


def tell_refund_paid(erp: Erp, told: RefundPaid) -> Generator[Request, Response | Failure, Outcome]:
    """The payment, on the credit note; or its coming back, which leaves the credit note open."""
    note = yield from _note(erp, told.note)
    if (code := text(through(note, "currency"), "code")) != told.currency:
        raise declined("currency", f"The credit note is in {code}, the payment in {told.currency}.")
    values = yield from _payment(erp, told, note)
    move = yield from posted_move(erp, told.key, values)
    mine = yield from _line_of(erp, record_id(move), link(note, "account"))
    if told.back:
        yield from _reopen(erp, note, mine, told)
    else:
        yield from _settle(erp, note, mine)
    return Accepted(reference=text(move, "number"))


def _note(erp: Erp, key: str) -> Asks:
    marked = [["reference", "=", key], ["company", "=", erp.of.id], ["type", "=", "out"]]
    found = yield from find(erp, INVOICE, [*marked, ["state", "in", list(POSTED)]], *_NOTE)
    if not found:
        raise declined("credit_note", f"Tryton has no posted credit note with reference {key}.")
    return found[0]


def _payment(erp: Erp, told: RefundPaid, note: Json) -> Asks:
    """The move: debit receivable, credit where it was paid from; the other way if it came back."""
    said = account_name(erp, told.account)
    if not said:
        raise declined(
            "account", f'No account for {told.account}: accounts = {{ "{told.account}" = "code" }}.'
        )
    other = yield from account(erp, said)
    if other.get("party_required"):
        raise declined("account", f"Payments are booked on {said!r}, which asks for a party.")
    amount = -told.amount if told.back else told.amount
    in_books = _in_books(note, amount)
    second: Json = {}
    if told.currency != erp.of.currency:
        second = {"second_currency": (yield from currency(erp, told.currency))}
    receivable = {"account": link(note, "account")}
    if through(note, "account").get("party_required"):
        receivable["party"] = link(note, "party")
    words = " ".join(filter(None, (told.refund, told.reference)))
    lines = []
    for its, sign in ((receivable, 1), ({"account": record_id(other)}, -1)):
        sides = _sides(erp, sign * in_books)
        if second:
            sides |= second
            sides["amount_second_currency"] = money(sign * amount, told.currency)
        lines.append({**its, **sides, "description": words})
    day = day_of(told.at)
    return {
        "company": erp.of.id,
        "journal": (yield from journal(erp, "payment_journal", "cash")),
        "period": (yield from period(erp, day)),
        "date": date(day),
        "origin": f"{INVOICE},{record_id(note)}",
        "lines": [["create", lines]],
    }


def _in_books(note: Json, amount: int) -> int:
    """An amount of the credit note in the company's currency: at the rate the credit note has, so
    that the two settle each other; what another rate cost since is booked with the day."""
    due = rows(note, "lines_to_pay")
    foreign = sum(_minor(line, "amount_second_currency") for line in due)
    if not foreign or not any(link(line, "second_currency") for line in due):
        return amount
    own = sum(_minor(line, "debit") - _minor(line, "credit") for line in due)
    worth = proportion(abs(own), abs(amount), abs(foreign))
    return worth if amount >= 0 else -worth


def _sides(erp: Erp, minor: int) -> Json:
    code = erp.of.currency
    return {"debit": money(max(0, minor), code), "credit": money(max(0, -minor), code)}


def _minor(line: Json, field: str) -> int:
    """For proportions only: both of them have the same number of decimals, six is more than any."""
    return int(number(line, field) * 10**6)


def _line_of(erp: Erp, move: int, on: int) -> Asks:
    """The line of our move on the receivable account."""
    domain = [["move", "=", move], ["account", "=", on]]
    found = yield from find(erp, LINE, domain, *_DUE)
    if not found:
        raise declined("move", "The move of the payment has no line on the receivable account.")
    return found[0]


def _balance(lines: list[Json]) -> Decimal:
    return sum((number(line, "debit") - number(line, "credit") for line in lines), Decimal(0))


def _settle(erp: Erp, note: Json, mine: Json) -> Does:
    """Our line among the payments of the credit note, all of them reconciled if that is all.
    Without a login Tryton or a person reconciles: that is a wizard, and no field of REST."""
    if link(mine, "reconciliation"):
        return
    paying = rows(note, "payment_lines")
    if record_id(mine) not in [record_id(line) for line in paying]:
        yield from write(erp, INVOICE, record_id(note), {"payment_lines": add([record_id(mine)])})
    others = [
        line
        for line in (*rows(note, "lines_to_pay"), *paying)
        if not link(line, "reconciliation") and record_id(line) != record_id(mine)
    ]
    if not _balance([*others, mine]) and has_login(erp):
        yield from _reconcile(erp, [*others, mine])


def _reconcile(erp: Erp, lines: list[Json]) -> Does:
    ids = [record_id(line) for line in lines]
    yield from wizard(erp, "account.move.reconcile_lines", LINE, ids)


def _reopen(erp: Erp, note: Json, mine: Json, told: RefundPaid) -> Does:
    """The payment that came back and what takes it back settle each other, no longer the note."""
    if link(mine, "reconciliation"):
        return
    paid = yield from _came_back(erp, note, mine, told)
    if link(paid, "reconciliation"):
        if not has_login(erp):
            raise declined(
                "login",
                f"The payment of credit note {text(note, 'number')} is reconciled: set rpc_user "
                "and rpc_password, or unreconcile it in Tryton.",
            )
        yield from wizard(erp, "account.move.unreconcile_lines", LINE, [record_id(paid)])
    remove: list[Any] = [["remove", [record_id(paid)]]]
    yield from write(erp, INVOICE, record_id(note), {"payment_lines": remove})
    if has_login(erp):
        yield from _reconcile(erp, [paid, mine])


def _came_back(erp: Erp, note: Json, mine: Json, told: RefundPaid) -> Asks:
    """The line of the payment of the same refund and amount."""
    paid = yield from _payments(erp, note)
    same = [line for line in paid if not _balance([line, mine])]
    own = [line for line in same if told.refund in text(line, "description").split()]
    known = [line for line in own if told.reference in text(line, "description").split()]
    for some in (known, own, same):
        if some:
            return some[0]
    raise declined(
        "payment",
        f"{major(told.amount, told.currency)} {told.currency} came back and is booked, but no such "
        f"payment stands on credit note {text(note, 'number')}: reconcile it by hand.",
    )


def _payments(erp: Erp, note: Json) -> Lists:
    """The payments of a credit note that nothing took back yet, as lines."""
    domain = [
        ["move.origin", "=", f"{INVOICE},{record_id(note)}"],
        ["account", "=", link(note, "account")],
        ["debit", ">", money(0, erp.of.currency)],
    ]
    found = yield from find(erp, LINE, domain, *_DUE, "description")
    notes = [link(line, "reconciliation") for line in rows(note, "lines_to_pay")]
    return [one for one in found if link(one, "reconciliation") in (0, *notes)]


# -- books -------------------------------------------------------------------------------------


def tell_books(erp: Erp, told: Books) -> Generator[Request, Response | Failure, Outcome]:
    """What a day booked, as one move."""
    if told.currency != erp.of.currency:
        raise declined(
            "currency",
            f"The books are in {told.currency}, the company in Tryton is in {erp.of.currency}.",
        )
    lines: list[Json] = []
    for booked in _kept(erp, told.lines):
        lines += yield from _booked(erp, booked)
    if not lines:
        return Accepted()
    values: Json = {
        "company": erp.of.id,
        "journal": (yield from journal(erp, "journal", "general")),
        "period": (yield from period(erp, told.day)),
        "date": date(told.day),
        "lines": [["create", lines]],
    }
    move = yield from posted_move(erp, told.key, values)
    return Accepted(reference=text(move, "number"))


def _kept(erp: Erp, lines: tuple[Booked, ...]) -> list[Booked]:
    """Without zeros, and without what is off the balance if the settings do not ask for it: that
    balances by itself."""
    memo = [one for one in lines if one.account.startswith("memo_")]
    silent = not sum(one.functional for one in memo) and not any(
        account_name(erp, one.account) for one in memo
    )
    return [one for one in lines if (one.functional or one.amount) and not (silent and one in memo)]


def _booked(erp: Erp, booked: Booked) -> Lists:
    said = account_name(erp, booked.account)
    if not said:
        name = booked.account
        raise declined("account", f'No account for {name}: accounts = {{ "{name}" = "code" }}.')
    its = yield from account(erp, said)
    line: Json = {"account": record_id(its), "description": booked.account}
    if its.get("party_required"):
        line["party"] = record_id((yield from party(erp)))
    plain = {**line, **_sides(erp, booked.functional)}
    if booked.currency == erp.of.currency or not booked.amount:
        return [plain]
    second = {
        "second_currency": (yield from currency(erp, booked.currency)),
        "amount_second_currency": money(booked.amount, booked.currency),
    }
    if booked.functional * booked.amount >= 0:
        return [{**plain, **second}]
    # Tryton wants both on the same side; a day whose rates moved may have them on two.
    return [plain, {**line, **_sides(erp, 0), **second}]
