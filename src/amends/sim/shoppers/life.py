"""The life of a shop's customers as a stream of plain dicts, in the order of time.

One seed gives one stream; there is no clock. Nothing here knows how refunds are judged: the bodies
have the shape of `POST /v1/orders` and `POST /v1/refunds`, and what a request truly was (`truth`)
stands beside it.

    {"at", "kind": "order", "body"}            an order, or a newer version of it
    {"at", "kind": "refund", "body", "name", "customer", "actor", "amount", "truth", "shopper"}
    {"at", "kind": "found", "name", "customer", "finding", "abuse"}
                                               a parcel opened, or waited for in vain, or a review
    {"at", "kind": "dispute", "name", "order", "customer", "amount", "abuse"}

`at` is in microseconds since 1970, UTC; amounts are cents; `name` names the refund it is about, ""
if none. A finding is "empty", "swapped", "not_returned" or "reviewed".
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from amends.sim.shoppers.kinds import GOODS, HONEST_REASONS, KINDS, Kind

Event = dict[str, Any]

DAY = 86_400_000_000
START = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SHOP, PROVIDER = "shop-1", "stripe-eu"

LOST = 0.012  # parcels that never arrive
UNTRACKED = 0.2  # parcels of which no carrier says anything
STOLEN = 0.2  # of those that never arrived: delivered, by the carrier's word
REVIEWED = 0.15  # honest requests somebody looked into, and learned the truth of
SUSPECTED = 0.5  # abusive ones: people look where they suspect
MISSED = 0.004  # honest parcels that come back and are called empty by mistake
FORGOTTEN = 0.01  # honest ones that never come back
TIRED = 0.004  # honest refunds that are charged back too


@dataclass(frozen=True)
class Person:
    """One customer: the kind, and what everybody who is the same person has in common."""

    id: str
    kind: Kind
    since: int
    country: str
    card: str
    address: str
    device: str
    random: Random


def stream(seed: int, customers: int, days: int, start: int = START) -> Iterator[Event]:
    """Every event of so many days, in the order of time."""
    people = (person(seed, number, customers, days, start) for number in range(customers))
    lives = [_life(one, days, start) for one in people]
    for _, _, event in heapq.merge(*lives):
        yield event


def person(seed: int, number: int, customers: int, days: int, start: int) -> Person:
    """The customer of that number. Kinds lie one after the other, so rings are neighbours."""
    random = Random(f"{seed}:{number}")
    kind = _kind(number, customers)
    born = random.uniform(0, 45) if random.random() < kind.fresh else random.uniform(45, 1500)
    joins = random.random() < 0.25  # while the stream runs
    since = start + int((random.uniform(0, days) if joins else -born) * DAY)
    own = {what: f"{what}-{seed}-{number}" for what in ("card", "address", "device")}
    with_others = {"card": 0.01, "address": 0.07, "device": 0.02}
    for what, chance in with_others.items():
        if kind.ring and random.random() < 0.6:
            own[what] = f"{what}-{seed}-ring-{number // kind.ring}"
        elif random.random() < chance:  # a flat, a family, an office
            own[what] = f"{what}-{seed}-home-{number // 3}"
    country = random.choice(("DE", "DE", "AT", "FR", "NL"))
    return Person(f"c-{seed}-{number}", kind, since, country, **own, random=random)


def _kind(number: int, customers: int) -> Kind:
    place, total = (number + 0.5) / customers, sum(kind.share for kind in KINDS)
    for kind in KINDS:
        place -= kind.share / total
        if place < 0:
            return kind
    return KINDS[0]


def _life(one: Person, days: int, start: int) -> Iterator[tuple[int, str, Event]]:
    """One customer's events in the order of time; with a key that is nobody else's."""
    waiting: list[tuple[int, int, Event]] = []
    made = 0
    gap = 365 * DAY / one.kind.orders_a_year / one.random.choice((0.5, 0.8, 1.0, 1.3, 2.0))
    at = max(start, one.since) + int(one.random.expovariate(1 / gap))
    end = start + days * DAY
    while at < end:
        for event in _order(one, at, made):
            heapq.heappush(waiting, (event["at"], len(waiting) + 1000 * made, event))
        made += 1
        at += int(one.random.expovariate(1 / gap)) + 1
        while waiting and waiting[0][0] < min(at, end):
            yield _keyed(one, waiting)
    while waiting and waiting[0][0] < end:
        yield _keyed(one, waiting)


def _keyed(one: Person, waiting: list[tuple[int, int, Event]]) -> tuple[int, str, Event]:
    at, place, event = heapq.heappop(waiting)
    return at, f"{one.id}:{place:09}", event


def _order(one: Person, at: int, made: int) -> Iterator[Event]:
    """An order, its delivery, and what is asked back of it."""
    random = one.random
    body = _bought(one, at, f"{one.id}-{made}")
    yield {"at": at, "kind": "order", "body": body}
    arrives = at + int(random.uniform(1.5, 6) * DAY)
    missing = random.random() < LOST * one.kind.unlucky
    delivery: dict[str, str] = {"tracking": "delivered", "delivered_at": moment(arrives)}
    if random.random() < UNTRACKED:
        delivery = {"tracking": "none"} if missing else {"delivered_at": moment(arrives)}
    elif missing and random.random() > STOLEN:
        delivery = {"tracking": random.choice(("in_transit", "lost"))}
    arrived = {**body, "version": 2, "delivery": delivery}
    yield {"at": arrives, "kind": "order", "body": arrived}
    if random.random() < one.kind.abuses:
        yield from _asked(one, body, _abuse(one, arrives), True)
    elif missing:
        when = arrives + int(random.uniform(2, 15) * DAY)
        yield from _asked(one, body, (when, "not_received", 0.0), False)
    elif random.random() < _sent_back(one, body):
        when = arrives + int(random.uniform(1, 27) * DAY)
        reason = _one_of(random, HONEST_REASONS)
        part = random.uniform(0.05, 0.4) if reason == "goodwill" else 0.0
        yield from _asked(one, body, (when, reason, part), False)


def _bought(one: Person, at: int, number: str) -> dict[str, Any]:
    random = one.random
    lines = []
    for place in range(random.choice((1, 1, 1, 2, 2, 3))):
        category = _one_of(random, one.kind.categories)
        price = int(GOODS[category].price * random.lognormvariate(0, 0.5)) + 100
        units = random.choice((1, 1, 1, 1, 2))
        line: dict[str, Any] = {"id": str(place + 1), "quantity": units, "total": price * units}
        lines.append({**line, "category": category, "fulfilled": units})
    total = sum(line["total"] for line in lines)
    signals = {"card": one.card, "address": one.address, "device": one.device}
    mismatch = random.random() < (0.12 if one.kind.honest else 0.25)
    tender = {"connection": PROVIDER, "psp_payment_id": f"pi_{number}", "amount": total}
    return {
        "source": {"connection": SHOP, "order_id": number},
        "version": 1,
        "placed_at": moment(at),
        "currency": "EUR",
        "customer": {"id": one.id, "country": one.country, "since": moment(one.since)},
        "lines": lines,
        "tenders": [{**tender, "captured": total}],
        "signals": {**signals, "address_mismatch": mismatch},
    }


def _sent_back(one: Person, body: dict[str, Any]) -> float:
    rates = [GOODS[line["category"]].sent_back for line in body["lines"]]
    return min(0.9, one.kind.sends_back * max(rates))


def _abuse(one: Person, arrives: int) -> tuple[int, str, float]:
    """When, for which reason, and which part of the value, 0: by lines."""
    random, kind = one.random, one.kind
    reason = _one_of(random, kind.reasons)
    by_amount = kind.part and (reason == "goodwill" or random.random() < 0.5)
    part = kind.part * random.uniform(0.4, 1.4) if by_amount else 0.0
    return arrives + int(random.uniform(*kind.waits) * DAY) + 1, reason, part


def _asked(
    one: Person, body: dict[str, Any], how: tuple[int, str, float], abuse: bool, number: int = 1
) -> Iterator[Event]:
    """The request, and what is found out of it later, if anything is. An amount leaves room for one
    more, which comes from whoever asks twice."""
    random = one.random
    at, reason, part = how
    source, lines = body["source"], body["lines"]
    request: dict[str, Any] = {"order": source, "reason": reason}
    if part:
        amount = max(100, int(sum(line["total"] for line in lines) * min(part, 0.45)))
        request["amount"] = amount
    else:
        picked = lines if abuse or random.random() < 0.45 else [random.choice(lines)]
        request["lines"] = [{"id": line["id"], "quantity": line["quantity"]} for line in picked]
        amount = sum(line["total"] for line in picked)
    agent = random.random() < one.kind.agent
    actor = "agent:shopping-bot" if agent else "key:support"
    name = f"{source['order_id']}/{number}"
    asked = {"at": at, "kind": "refund", "body": request, "name": name, "customer": one.id}
    asked |= {"actor": actor, "amount": amount, "truth": abuse, "shopper": one.kind.name}
    yield asked
    if part and number == 1 and random.random() < (one.kind.again if abuse else 0.05):
        later = at + int(random.uniform(1, 12) * DAY)
        yield from _asked(one, body, (later, reason, part), abuse, 2)
    goods = reason in ("return", "wrong_item") and not part
    yield from _found(one, name, at, goods, abuse)
    if random.random() < (one.kind.disputed if abuse else TIRED):
        when = at + int(random.uniform(5, 50) * DAY)
        about = {"name": name, "order": source["order_id"], "customer": one.id, "abuse": True}
        yield {"at": when, "kind": "dispute", **about, "amount": amount}


def _found(one: Person, name: str, at: int, goods: bool, abuse: bool) -> Iterator[Event]:
    random = one.random
    empty = (one.kind.empty if abuse else MISSED) if goods else 0.0
    kept = (one.kind.kept if abuse else FORGOTTEN) if goods else 0.0
    about = {"kind": "found", "name": name, "customer": one.id}
    chance = random.random()
    if chance < empty:
        when = at + int(random.uniform(4, 16) * DAY)
        finding = random.choice(("empty", "swapped"))
        yield {"at": when, **about, "finding": finding, "abuse": True}
    elif chance < empty + kept:
        yield {"at": at + 30 * DAY, **about, "finding": "not_returned", "abuse": True}
    elif random.random() < (SUSPECTED if abuse else REVIEWED):
        when = at + int(random.uniform(0.1, 4) * DAY)
        yield {"at": when, **about, "finding": "reviewed", "abuse": abuse}


def _one_of(random: Random, weights: dict[str, float]) -> str:
    return random.choices(list(weights), list(weights.values()))[0]


def moment(at: int) -> str:
    """RFC 3339, UTC."""
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    return when.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def fingerprint(seed: int, customers: int, days: int) -> str:
    """The SHA-256 of a whole stream: what one seed gives, everywhere and always."""
    found = hashlib.sha256()
    for event in stream(seed, customers, days):
        found.update(repr(sorted(event.items())).encode())
    return found.hexdigest()
