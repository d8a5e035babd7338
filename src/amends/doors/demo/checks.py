"""Our books held against the provider's own truth. Pure: what was gathered in, checks out.

Nothing here asks amends what it did at the provider: movements, payments and their amounts are the
sandbox's own record; orders, refunds and journal entries are what amends shows for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from amends.kernel.money import Money

Json = dict[str, Any]

FINAL = ("succeeded", "declined", "canceled")


class Check(msgspec.Struct, frozen=True):
    """One thing that must hold. `expected` and `found` are short texts for people."""

    name: str
    ok: bool
    expected: str
    found: str


class Truth(msgspec.Struct, frozen=True):
    """The provider's: the items of `GET /control/refunds` and of `GET /control/payments`."""

    movements: Sequence[Json]
    payments: Sequence[Json]


class Ours(msgspec.Struct, frozen=True):
    """What amends shows for the orders of this run.

    `orders` and `entries` as over REST; `keys` are the provider keys each leg was sent under, by
    the audit trail; `accepted` are the refunds whose request was answered 201.
    """

    orders: Sequence[Json]
    entries: Sequence[Json]
    keys: Mapping[str, frozenset[str]]
    accepted: frozenset[str]
    clearing: Mapping[str, str]  # gateway -> the account of the balance there


class Trail(msgspec.Struct, frozen=True):
    """What is on disk: messages answered 2xx and those of them in the inbox, messages that still
    wait for an order, and what the audit found."""

    acknowledged: frozenset[tuple[str, str]]
    stored: frozenset[tuple[str, str]]
    unmatched: int
    findings: Sequence[str]


def judge(truth: Truth, ours: Ours, trail: Trail) -> list[Check]:
    """Every check, in the order in which they are shown."""
    return [
        _refunds_are_movements(truth, ours),
        _movements_are_booked(truth, ours),
        _releases_agree(truth, ours),
        _nothing_twice(truth, ours),
        _within_captured(truth),
        _remaining_agrees(truth, ours),
        *_clearing_agrees(truth, ours),
        _exchange_agrees(truth, ours),
        _payable_explained(ours),
        _entries_balance(ours),
        _nothing_open(ours),
        _accepted_are_there(ours),
        _messages_on_disk(trail),
        _check("No webhook waits for its order", "0", str(trail.unmatched)),
        _audit_verifies(trail),
    ]


def _check(name: str, expected: str, found: str, wrong: Iterable[str] = ()) -> Check:
    """`wrong` names what does not hold; the first of it is shown."""
    problems = list(wrong)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        found = f"{found}: {problems[0]}{more}"
    return Check(name, expected == found and not problems, expected, found)


def _legs(ours: Ours, *kinds: str) -> list[tuple[Json, Json, Json]]:
    """(order, refund, leg) of every leg of these kinds."""
    return [
        (order, refund, leg)
        for order, refund in _refunds(ours)
        for leg in refund["legs"]
        if leg["kind"] in kinds
    ]


def _refunds(ours: Ours) -> list[tuple[Json, Json]]:
    """(order, refund) of every refund."""
    return [(order, refund) for order in ours.orders for refund in order["refunds"]]


def _paid(truth: Truth) -> list[Json]:
    """Movements to a customer, whatever became of them later."""
    return [m for m in truth.movements if m["kind"] == "refund"]


def _stands(movement: Json) -> bool:
    return movement["status"] not in ("failed", "canceled")


def _amount(movement: Json) -> tuple[int, str]:
    return movement["amount"], movement["currency"].upper()


def _refunds_are_movements(truth: Truth, ours: Ours) -> Check:
    by_id: dict[str, list[Json]] = {}
    for movement in _paid(truth):
        by_id.setdefault(movement["psp_refund_id"], []).append(movement)
    wrong, good = [], 0
    done = [item for item in _legs(ours, "refund") if item[2]["state"] == "succeeded"]
    for order, _, leg in done:
        found = [m for m in by_id.get(leg["psp_refund_id"], []) if m["status"] == "succeeded"]
        amounts = [_amount(m) for m in found]
        if amounts == [(leg["amount"], order["currency"])]:
            good += 1
        else:
            shown = " and ".join(str(Money(*amount)) for amount in amounts) or "no movement"
            wrong.append(f"{leg['id']} has {shown}")
    name = "Each paid refund is one movement"
    return _check(name, f"{len(done)} of {len(done)}", f"{good} of {len(done)}", wrong)


def _booked(ours: Ours) -> dict[str, int]:
    """What is on the providers' clearing accounts, by the provider's refund id."""
    booked: dict[str, int] = {}
    for entry in ours.entries:
        accounts = ours.clearing.values()
        on_clearing = [p["amount"] for p in entry["postings"] if p["account"] in accounts]
        if on_clearing:
            name = entry["psp_refund_id"]
            booked[name] = booked.get(name, 0) + sum(on_clearing)
    return booked


def _movements_are_booked(truth: Truth, ours: Ours) -> Check:
    booked, paid, wrong = _booked(ours), _paid(truth), []
    for movement in paid:
        name = movement["psp_refund_id"]
        wanted = -movement["amount"] if _stands(movement) else 0
        if name not in booked:
            wrong.append(f"{Money(*_amount(movement))} ({name}) is not on our books")
        elif booked[name] != wanted:
            currency = movement["currency"].upper()
            wrong.append(f"{name} is booked as {Money(booked[name], currency)}")
    known = {movement["psp_refund_id"] for movement in paid}
    wrong += [f"{name} is booked and never happened" for name in booked if name not in known]
    good = len(paid) - sum(1 for text in wrong if "never happened" not in text)
    name = "Each movement is on our books"
    return _check(name, f"{len(paid)} of {len(paid)}", f"{good} of {len(paid)}", wrong)


def _releases_agree(truth: Truth, ours: Ours) -> Check:
    """A release is a void of the whole authorization, or a capture of the rest of it."""
    there: Counter[tuple[str, int]] = Counter()
    authorized = {p["psp_payment_id"]: p["authorized"] for p in truth.payments}
    for movement in truth.movements:
        payment, amount = movement["psp_payment_id"], movement["amount"]
        if movement["kind"] == "void":
            there[(payment, amount)] += 1
        elif movement["kind"] == "capture":
            there[(payment, authorized[payment] - amount)] += 1
    here = Counter(
        (leg["psp_payment_id"], leg["amount"])
        for _, _, leg in _legs(ours, "void")
        if leg["state"] == "succeeded"
    )
    wrong = [
        f"{name[0]}: {name[1]} here {here[name]}, there {there[name]} times"
        for name in sorted(here | there)
        if here[name] != there[name]
    ]
    name = "Each release here is a release there"
    return _check(name, str(here.total()), str(there.total()), wrong)


def _nothing_twice(truth: Truth, ours: Ours) -> Check:
    owner = {key: leg for leg, keys in ours.keys.items() for key in keys}
    standing = Counter(
        owner.get(m["key"], m["key"]) for m in truth.movements if m["key"] and _stands(m)
    )
    wrong = [f"{leg} was paid {times} times" for leg, times in standing.items() if times > 1]
    wrong += [f"nobody here asked under key {key}" for key in standing if key not in ours.keys]
    return _check("No leg was paid twice", "0", str(len(wrong)), wrong)


def _within_captured(truth: Truth) -> Check:
    wrong = [
        f"{p['psp_payment_id']} gave back {p['refunded']} of {p['captured']}"
        for p in truth.payments
        if p["refunded"] > p["captured"]
    ]
    name = "No payment gave back more than it took"
    return _check(name, "0", str(len(wrong)), wrong)


def _remaining_agrees(truth: Truth, ours: Ours) -> Check:
    """What a person paid by other means (`credited`) is still there, and no longer to be given."""
    there = {p["psp_payment_id"]: p["captured"] - p["refunded"] for p in truth.payments}
    payments = [payment for order in ours.orders for payment in order["payments"]]
    wrong = [
        f"{p['psp_payment_id']}: {p['remaining']} here, {there.get(p['psp_payment_id'])} there"
        for p in payments
        if p["remaining"] + p["credited"] != there.get(p["psp_payment_id"])
    ]
    good, all_ = len(payments) - len(wrong), len(payments)
    name = "What is left here is what is left there"
    return _check(name, f"{all_} of {all_}", f"{good} of {all_}", wrong)


def _sums(ours: Ours, account: str) -> dict[str, int]:
    """The balance of an account by currency."""
    sums: dict[str, int] = {}
    for entry in ours.entries:
        for posting in entry["postings"]:
            if posting["account"] == account:
                sums[entry["currency"]] = sums.get(entry["currency"], 0) + posting["amount"]
    return sums


def _clearing_agrees(truth: Truth, ours: Ours) -> Iterable[Check]:
    for gateway, account in ours.clearing.items():
        there: dict[str, int] = {}
        for movement in _paid(truth):
            if movement["gateway"] == gateway:
                amount, currency = _amount(movement)
                there[currency] = there.get(currency, 0) - (amount if _stands(movement) else 0)
        here = _sums(ours, account)
        for currency in sorted(here.keys() | there.keys()):
            yield _check(
                f"{account} in {currency} is theirs",
                str(Money(there.get(currency, 0), currency)),
                str(Money(here.get(currency, 0), currency)),
            )


def _exchange_agrees(truth: Truth, ours: Ours) -> Check:
    """What refunds took off balances that are kept in the books' currency, where it was exchanged,
    is what left by our books, to the cent."""
    there = {
        str(m["psp_refund_id"]): m["settled"]
        for m in _paid(truth)
        if m["settled"] and m["settled_currency"] != _amount(m)[1] and _stands(m)
    }
    entries = [entry for entry in ours.entries if entry["psp_refund_id"] in there]
    accounts = frozenset(ours.clearing.values())
    here = -sum(
        line["functional"]
        for entry in entries
        for line in entry["postings"]
        if line["account"] in accounts and entry["kind"] != "provider_fee"
    )
    ours_in = next((entry["functional_currency"] for entry in entries), "EUR")
    told = str(Money(sum(there.values()), ours_in))
    return _check("What was exchanged is booked as taken", told, str(Money(here, ours_in)))


def _payable_explained(ours: Ours) -> Check:
    """What customers are owed by the books is what refunds say is still to be paid."""
    owed: dict[str, int] = {}
    for order, refund, leg in _legs(ours, "refund"):
        waits = leg["state"] in ("sending", "unknown", "pending", "awaiting_funds", "failed")
        if waits and refund["reason"] != "external":
            owed[order["currency"]] = owed.get(order["currency"], 0) + leg["amount"]
    for order, refund in _refunds(ours):
        if refund["fallback_of"]:
            owed[order["currency"]] -= refund["amount_succeeded"]
    owed = {currency: amount for currency, amount in owed.items() if amount}
    booked = {code: -amount for code, amount in _sums(ours, "refunds_payable").items() if amount}
    name = "Refunds payable is explained"
    return _check(name, _amounts(owed), _amounts(booked))


def _amounts(sums: Mapping[str, int]) -> str:
    return ", ".join(str(Money(sums[code], code)) for code in sorted(sums)) or "nothing owed"


def _entries_balance(ours: Ours) -> Check:
    wrong = [
        f"entry {entry['number']} of {entry['order']}"
        for entry in ours.entries
        for column in ("amount", "functional")
        if sum(posting[column] for posting in entry["postings"])
    ]
    good, all_ = len(ours.entries) - len(set(wrong)), len(ours.entries)
    name = "Each journal entry balances"
    return _check(name, f"{all_} of {all_}", f"{good} of {all_}", wrong)


def _nothing_open(ours: Ours) -> Check:
    done = (refund for _, refund in _refunds(ours) if refund["state"] == "succeeded")
    paid = {refund["fallback_of"] for refund in done}  # what failed of them
    wrong = [f"{order['id']} is parked" for order in ours.orders if order["parked"]]
    wrong += [
        f"{refund['id']} is {refund['state']}"
        for order in ours.orders
        for refund in order["refunds"]
        if refund["state"] not in FINAL and refund["id"] not in paid
    ]
    return _check("No refund is open, no order parked", "0", str(len(wrong)), wrong)


def _accepted_are_there(ours: Ours) -> Check:
    there = {refund["id"] for order in ours.orders for refund in order["refunds"]}
    lost = sorted(ours.accepted - there)
    kept, all_ = len(ours.accepted) - len(lost), len(ours.accepted)
    wrong = [f"{name} is lost" for name in lost]
    return _check("Each accepted request is there", f"{all_} of {all_}", f"{kept} of {all_}", wrong)


def _messages_on_disk(trail: Trail) -> Check:
    lost = sorted(trail.acknowledged - trail.stored)
    kept, all_ = len(trail.acknowledged) - len(lost), len(trail.acknowledged)
    name = "Each acknowledged webhook is on disk"
    wrong = [f"{connection}/{message} is lost" for connection, message in lost]
    return _check(name, f"{all_} of {all_}", f"{kept} of {all_}", wrong)


def _audit_verifies(trail: Trail) -> Check:
    found = f"{len(trail.findings)} findings"
    return _check("The audit trail verifies", "0 findings", found, trail.findings)
