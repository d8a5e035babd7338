"""I10 and I9: the audit trail by hand, and what it says about the order in which things went."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

from amends.sim.checker.small import combining
from amends.sim.checker.spec import Ask, Row, Violation
from amends.sim.checker.view import BY_HAND, GONE, OPEN, Case, Entry, Event, Leg, Refund, surfaced

Found = Iterator[Violation]
GENESIS = "0" * 64
NO_FUNDS = "balance_insufficient"
SHOP_NEWS = ("order.cancelled", "inventory.unavailable")

# Where a leg may go. Open states may change among themselves, since a provider may say "pending",
# "requires action" and "pending" again; an end that was paid may only be taken back, and one that
# was not leads on only where the provider made it live again: see `revived`.
_ASKED = ("pending", "requires_action", "awaiting_funds", "succeeded", "failed", "canceled")
NEXT: dict[str, tuple[str, ...]] = {
    "planned": ("sending", "canceled"),  # or paid by hand, which no provider tells
    "sending": ("unknown", *_ASKED),
    "unknown": ("sending", *_ASKED),  # to sending: settled as not executed, a new attempt
    "pending": _ASKED,
    "requires_action": _ASKED,
    "awaiting_funds": ("sending", *_ASKED),
    "succeeded": ("failed", "canceled", "requires_action", "pending", "awaiting_funds"),
    # see `_taken_back`; and `_by_their_word` for a release that was pending and refused
    "failed": (),
    "canceled": (),
}


def canonical(value: Any) -> bytes:
    """Sorted keys, no blanks, UTF-8: what the chain hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def chain_holds(stream: str, events: Sequence[Event], seq: int, previous: str) -> Found:
    """Every event after (`seq`, `previous`) follows the one before: no gap, and its hash covers the
    previous hash and its own nine fields."""
    for event in events:
        row = event.row
        seq += 1
        sealed = [stream, row["seq"], row["at"], row["type"], row["actor"], row["fact"]]
        sealed += [row["ctx"], event.body, json.loads(row["entries"])]
        expected = sha256(previous.encode() + canonical(sealed)).hexdigest()
        if (row["seq"], row["previous"], row["hash"]) != (seq, previous, expected):
            yield Violation("I10", "", f"event {row['seq']} of {stream} does not follow {seq - 1}")
        previous = row["hash"]


def head_is_the_last_event(case: Case) -> Found:
    """What the order's document says its trail ends with."""
    last = case.events[-1].row if case.events else {"seq": 0, "hash": GENESIS}
    if (case.order.head_seq, case.order.head_hash) != (last["seq"], last["hash"]):
        yield case.wrong("I10", f"the head is {case.order.head_seq}, the trail ends {last['seq']}")


def entries_are_sealed(case: Case) -> Found:
    """Every entry's hash stands in exactly one event, so that the trail seals the books too."""
    sealed = Counter(name for e in case.events for name in json.loads(e.row["entries"]))
    booked = Counter(_entry_hash(entry) for entry in case.entries)
    if sealed != booked:
        extra, missing = (sealed - booked).total(), (booked - sealed).total()
        yield case.wrong("I10", f"{missing} entries in no event, {extra} sealed but not there")


def _entry_hash(entry: Entry) -> str:
    row = entry.row
    names = ("number", "at", "kind", "entity", "currency", "functional_currency", "psp_refund_id")
    lines = [{"account": a, "amount": n, "functional": f} for a, n, f in entry.lines]
    value = {name: row[name] for name in names} | {
        "order": row["order_id"],
        "refund": row["refund_id"],
        "leg": row["leg_id"],
        "postings": lines,
    }
    value |= {name: row[name] for name in ("posted_on", "holder") if row.get(name)}
    if row["worth"]:
        value["worth"] = json.loads(row["worth"])
    return sha256(canonical(value)).hexdigest()


def events_name_who_and_what(case: Case) -> Found:
    """Actor, fact and instant always; a reason where money was asked for; the original payment
    where a request leaves; the provider's reference and instant where it answered."""
    kinds: dict[str, str] = {}
    at = 0
    for event in case.events:
        row, body = event.row, event.body
        name = f"event {row['seq']} ({event.type})"
        if not (row["actor"] and row["fact"] and row["at"] > 0):
            yield case.wrong("I10", f"{name} lacks its actor, fact or instant")
        if row["at"] < at:
            yield case.wrong("I10", f"{name} is before the event before it")
        at = row["at"]
        if event.type == "leg.sending":
            kinds[str(body.get("leg"))] = str(body.get("kind"))
        for needed in _needed(event, kinds):
            if not body.get(needed):
                yield case.wrong("I10", f"{name} does not say {needed}")


def _needed(event: Event, kinds: dict[str, str]) -> tuple[str, ...]:
    if event.type == "refund.requested":
        return ("refund", "reason", "amount")
    if event.type == "leg.sending":
        return ("leg", "refund", "key", "amount", "connection", "psp_payment_id")
    if event.type == "refund.adopted":
        return ("refund", "psp_refund_id", "amount")
    if event.type == "leg.moved" and event.body.get("was") == "planned":
        return ("leg", "bank_reference")
    answered = event.type == "leg.moved" and event.body.get("now") in (
        *("succeeded", "pending", "requires_action"),
    )
    # A released authorization has no reference of its own; its leg.sending names the payment. Nor
    # has a reversal, before it is known what it did.
    kind = kinds.get(str(event.body.get("leg")), "refund")
    if answered and kind not in ("void", "reversal"):
        return ("leg", "psp_refund_id", "psp_at")
    return ()


def legs_never_go_back(case: Case) -> Found:
    """I9 by the trail: each recorded move is one the lattice has, and the document agrees with the
    last of them."""
    legs = {leg.id: leg for leg in case.order.legs}
    last: dict[str, str] = {}
    for event in case.events:
        if event.type != "leg.moved":
            continue
        name, was, now = (str(event.body.get(key)) for key in ("leg", "was", "now"))
        last[name] = now
        if name not in legs:
            yield case.wrong("I10", f"event {event.row['seq']} is of {name}, which is no leg")
        elif _by_their_word(case, legs[name], event):
            continue
        elif now not in _next(legs[name], was):
            yield case.wrong("I9", f"{name} went from {was} back to {now}")
        elif was == "succeeded" and not _taken_back(case, legs[name]):
            yield case.wrong("I9", f"{name} went from succeeded to {now}; it is still paid")
    told = ("succeeded", "pending", "requires_action", "failed")
    for leg in legs.values():
        if leg.state in told and leg.id in last and last[leg.id] != leg.state:
            yield case.wrong("I10", f"{leg.id} is {leg.state}, the trail says {last[leg.id]}")


def _next(leg: Leg, was: str) -> tuple[str, ...]:
    """Where it may go from there; what a person pays goes straight to its end."""
    paid = ("succeeded",) if was == "planned" and leg.kind in BY_HAND else ()
    return (*NEXT.get(was, ()), *paid)


def _by_their_word(case: Case, leg: Leg, event: Event) -> bool:
    """The provider said what the lattice does not have: that it is alive after all; or that it did
    not release what was to be released, and whether that was captured before is open."""
    was, now = event.body.get("was"), event.body.get("now")
    if (was, now) == ("pending", "unknown"):
        return event.body.get("psp_release_id") in case.told.refused
    return was in GONE and now not in GONE and revived(case, leg)


def _taken_back(case: Case, leg: Leg) -> bool:
    """The provider itself undid it: it says so now, or the world did it."""
    movement = case.movement_of(leg)
    if movement is None:
        return leg.kind == "credit" and case.takes_over(leg)
    return movement.status != "succeeded" or movement.psp_refund_id in case.bounced


def revived(case: Case, leg: Leg) -> bool:
    """The provider itself had said that the leg's refund failed, and now it is live there: what it
    never spoke of, or once said no to, does not come back to life."""
    movement = case.movement_of(leg)
    ended = any(
        e.type == "leg.moved"
        and e.body.get("leg") == leg.id
        and e.body.get("now") in GONE
        and e.body.get("psp_refund_id") == leg.psp_refund_id
        for e in case.events
    )
    return ended and movement is not None and movement.live


def unpaid_has_a_cause(case: Case) -> Found:
    """A leg that rests failed or canceled was undone or declined by the provider, taken back or
    declined by people, overtaken by what others took, or paid by another attempt. Anything else is
    a refund that somebody was promised and that was lost without a word."""
    if case.order.parked:
        return
    for refund in case.order.refunds:
        for leg in refund.legs:
            movement = case.movement_of(leg)
            undone = movement is not None and movement.status in GONE
            caused = undone or _said_no(case, refund, leg) or _paid_otherwise(case, refund, leg)
            caused = caused or case.takes_over(leg) or refund.stage == "combined"
            if leg.state in GONE and not caused:
                yield case.wrong("liveness", f"{leg.id} rests {leg.state} and nobody said no")


def _said_no(case: Case, refund: Refund, leg: Leg) -> bool:
    """Since the leg was sent last the trail has a decline with its code, which want of money at the
    provider is not, or tells that others left too little, in all or of each capture; or people gave
    it up since it moved."""
    no = dropped = others = False
    for event in case.events:
        body, what = event.body, event.body.get("what")
        others = others or _by_others(case, leg, event)
        if event.type in ("refund.declined", "refund.canceled"):
            dropped = dropped or body.get("refund") == refund.id
        if body.get("leg") != leg.id:
            continue
        if event.type == "leg.sending":
            no = dropped = False
        elif event.type == "leg.moved":
            dropped = False
        if event.type in ("leg.moved", "leg.news"):
            no = no or body.get("code", "") not in ("", NO_FUNDS)
        elif event.type == "exception.raised":
            no = no or (what in ("taken_by_others", "no_such_capture") and others)
            no = no or (what == "exceeds_captured" and _captured(case, leg))
    return no or dropped


def _by_others(case: Case, leg: Leg, event: Event) -> bool:
    """The event tells that others took money from the leg's payment."""
    body = event.body
    if event.type == "dispute.updated":
        return body.get("payment") == leg.payment and int(body.get("withdrawn") or 0) > 0
    if event.type == "payment.updated":
        return body.get("payment") == leg.payment and int(body.get("uncaptured") or 0) > 0
    if event.type != "refund.adopted":
        return False
    found = (refund for refund in case.order.refunds if refund.id == body.get("refund"))
    return any(other.payment == leg.payment for refund in found for other in refund.legs)


def _captured(case: Case, leg: Leg) -> bool:
    return any(p.id == leg.payment and p.captured_peak for p in case.order.payments)


def _paid_otherwise(case: Case, refund: Refund, leg: Leg) -> bool:
    """An attempt of the leg that was closed has paid, or the leg whose place this one took pays
    after all."""
    if any(m.live or m.psp_refund_id in case.bounced for m in surfaced(case, leg)):
        return True
    before = refund.legs[: refund.legs.index(leg)]
    return any(
        (first.payment, first.amount) == (leg.payment, leg.amount)
        and movement is not None
        and movement.live
        for first, movement in ((first, case.movement_of(first)) for first in before)
    )


def reachable(case: Case, leg: Leg, was: str) -> bool:
    """Whether a leg may be where it is at a quiet point if it `was` elsewhere at an earlier one.
    What was once paid or taken back does not become unsent again."""
    now = leg.state
    if was == now:
        return True
    if was in GONE:
        return revived(case, leg) and now not in ("planned", "sending", "unknown")
    if was == "succeeded":
        return now in NEXT["succeeded"]
    return now != "planned" and (was in OPEN)


def asked_once_made_once(case: Case, asks: list[Ask], inbox: list[Row]) -> Found:
    """I9: each refund is of a request of its own, and a request that was refused excuses none.
    What pays for one that failed, or for what was held, was not asked for, nor what came in after
    the order was cancelled."""
    late = _came_too_late(case)
    asked = [e for e in case.events if _was_asked(e, combining(case))]
    requested = [e for e in asked if e.row["fact"] not in late]
    by_call = {
        str(e.body.get("refund")) for e in requested if not e.row["actor"].startswith("connection:")
    }
    yield from _made_by_call(case, by_call, [ask for ask in asks if ask.door == "api"])
    yield from _made_by_shop(case, [ask for ask in asks if ask.door == "message"], inbox)


def _made_by_call(case: Case, made: set[str], asks: list[Ask]) -> Found:
    """Those that callers were told of, and for each key that was never answered one at most. A
    repeat under the same key is the same request."""
    told = {str(ask.answer["id"]) for ask in asks if ask.accepted and ask.answer}
    answered = {ask.key or ask.id for ask in asks if _is_answered(ask)}
    waiting = {ask.key or ask.id for ask in asks} - answered
    if len(made - told) > len(waiting):
        what = f"{sorted(made - told)} were made and no caller was told"
        yield case.wrong("I9", f"{what}, {len(waiting)} have no answer")


def _is_answered(ask: Ask) -> bool:
    """An error of ours leaves open what was done."""
    return 0 < ask.status < 500


def _made_by_shop(case: Case, asks: list[Ask], inbox: list[Row]) -> Found:
    """Each message that asks for a refund leads to one refund or one refusal; a repeat under the
    same id is the same message. So does a shop's cancellation or what it cannot deliver, at most:
    neither of them excuses the other."""
    asked, by_news = by_shop(case)
    messages = len({ask.message or ask.id for ask in asks})
    news = sum(1 for row in inbox if row["type"] in SHOP_NEWS)
    for found, most in ((asked, messages), (by_news, news)):
        if len(found) > most:
            refused = sum(1 for event in found if event.type == "refund.refused")
            what = f"{len(found) - refused} refunds by message and {refused} refused"
            yield case.wrong("I9", f"{what}, {most} were asked for")


def by_shop(case: Case) -> tuple[list[Event], list[Event]]:
    """What became of messages: of those that asked for a refund, and of a shop's cancellation or
    what it cannot deliver, which stand on the trail under the same fact."""
    told = ("order.cancelled", "lines.unavailable")
    news = {event.row["fact"] for event in case.events if event.type in told}
    together, late = combining(case), _came_too_late(case)
    asked: list[Event] = []
    by_news: list[Event] = []
    for event in case.events:
        if not event.row["actor"].startswith("connection:") or event.row["fact"] in late:
            continue
        refused = event.type == "refund.refused" and event.body.get("asked") == "RefundRequested"
        if refused or _was_asked(event, together):
            (by_news if event.row["fact"] in news else asked).append(event)
    return asked, by_news


def _came_too_late(case: Case) -> set[str]:
    """The facts that told of more captured after the order was cancelled, which is given back by
    itself. What somebody asked for is no such fact."""
    late, cancelled = set(), False
    for event in case.events:
        if cancelled and event.type == "payment.updated":
            late.add(str(event.row["fact"]))
        cancelled = cancelled or event.type == "order.cancelled"
    return late


def _was_asked(event: Event, together: set[str]) -> bool:
    made = event.type == "refund.requested" and not event.body.get("fallback_of")
    return made and event.body.get("refund") not in together
