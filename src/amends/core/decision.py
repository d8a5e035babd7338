"""What one fact leads to, and everything the decision saw besides the order and the fact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import msgspec

from amends.core.documents import DueDocument
from amends.core.effects import Effect
from amends.core.events import Event
from amends.core.history import Draw, History, Judged, Label, Sight, Stop, Tally
from amends.core.order import Order
from amends.core.outlets import Moved, Outlet, Tell
from amends.core.parties import Split
from amends.core.policy import Policy
from amends.core.postings import Entry
from amends.core.reasons import Refusal
from amends.core.risk import UNHEARD, Card, Scorer, Shop
from amends.kernel.canon import digest
from amends.kernel.money import Rate
from amends.kernel.time import Instant


class Method(msgspec.Struct, frozen=True, omit_defaults=True):
    """What payment methods whose name there starts with `prefix` allow, where it differs.

    `refunds`: at all; `partial`: less than all; `count`: the most refunds of one payment; `within`:
    so many microseconds after the capture (0: no limit known). `lines`: a refund must say what of
    the order it is for. `per_capture`: it is of one capture, by that capture's id.
    """

    prefix: str = ""
    refunds: bool = True
    partial: bool = True
    count: int = 0
    within: int = 0
    lines: bool = False
    per_capture: bool = False


ANY_METHOD = Method()


class Arrival(msgspec.Struct, frozen=True, omit_defaults=True):
    """Between how many days a customer sees a refund that took one of these ways: its destination
    where the provider told it, else the payment's method; no way named: whatever it took."""

    earliest: int
    latest: int
    business: bool
    ways: tuple[str, ...] = ()


class Terms(msgspec.Struct, frozen=True):
    """How one connection's provider behaves, as far as a decision needs it; microseconds.

    `key_ttl`: how long it keeps an idempotency key. `lookup_delay`: "not found" counts only this
    long after the last byte. `indeterminate_after`: see invariant I3. `lookup`: it can be asked.
    `void`: an authorization can be released whole; `release_part`: in part, by capturing the rest.
    `reversal`: it can be asked to give all of a payment back, by release or refund as it finds it.
    """

    key_ttl: int
    lookup_delay: int
    indeterminate_after: int
    lookup: bool = True
    void: bool = True
    release_part: bool = True
    reversal: bool = False
    multiple_of: tuple[tuple[str, int], ...] = ()
    methods: tuple[Method, ...] = ()  # the first whose prefix fits counts
    arrivals: tuple[Arrival, ...] = ()  # the first whose way fits counts

    def arrival(self, way: str) -> Arrival | None:
        """None where nobody says when."""
        return next((a for a in self.arrivals if not a.ways or way in a.ways), None)

    def method(self, name: str) -> Method:
        for method in self.methods:
            if name.startswith(method.prefix):
                return method
        return ANY_METHOD


CARD = Card()

Daily = Callable[[str, str], Rate | None]  # a currency, a day (YYYY-MM-DD): the rate of that day


class Ctx(msgspec.Struct, frozen=True, dict=True):
    """The rest of the world, as one decision saw it. `now` is the recorded instant of the turn;
    `closed` the last closed period of each legal entity's books, `captures` whether captures are
    booked here, `splits` how the providers that pay sellers with a payment take it back. Where
    `daily` knows no rate of a currency on a day, the one in `rates` counts. `write_off_up_to`: the
    largest difference that may be written off, functional.

    `earlier` policies come newest first; `shadows` are drafts that are judged beside and never act.
    `history` is by order id, of those whose refunds are asked for; `caps` are the locked buckets
    with what was drawn of them (amount, count), None for a quote, which reserves nothing. What a
    judgement saw of these stands in its event. `outlets` are told what happened, and have no say.
    """

    now: Instant
    policy: Policy
    functional: str
    terms: Mapping[str, Terms] = {}
    rates: Mapping[str, Rate] = {}
    closed: Mapping[str, str] = {}
    captures: bool = False
    splits: Mapping[str, Split] = {}
    daily: Daily | None = None
    write_off_up_to: int = 0
    earlier: tuple[Policy, ...] = ()
    shadows: tuple[Policy, ...] = ()
    stops: tuple[Stop, ...] = ()
    history: Mapping[str, History] = {}
    caps: Mapping[str, tuple[int, int]] | None = None
    scorer: Scorer = CARD
    shops: Mapping[str, Shop] = {}
    outlets: tuple[Outlet, ...] = ()

    def policy_for(self, placed_at: Instant) -> Policy:
        """The policy that judges an order: the one in force now, or, where that says so, the one
        that was when the order was placed."""
        if not self.policy.table.document.at_purchase or not placed_at:
            return self.policy
        return next((p for p in (self.policy, *self.earlier) if p.since <= placed_at), self.policy)

    def shop(self, connection: str) -> Shop:
        return self.shops.get(connection, UNHEARD)

    @cached_property
    def digest(self) -> str:
        """Hash of what decisions may depend on; goes into every event (a decision is replayable).

        A rate is not in it: the one used is written into the event that records the order, or into
        the entry it was used for. Nor is a closed period: an entry that met one says on which day
        it was posted instead. What is taken of sellers is written into the event of what is sent.
        """
        seen = [self.now, self.policy.version, self.functional, dict(self.terms)]
        if self.stops:
            seen.append([stop.id for stop in self.stops])
        if self.outlets:  # one that is told once may be told to a person later
            seen.append([[outlet.name, sorted(outlet.takes)] for outlet in self.outlets])
        return digest([*seen, "captures"] if self.captures else seen)


class Beside(msgspec.Struct, frozen=True):
    """What a decision leaves beside its order: of its customer's history, of caps, and for
    replay and training."""

    tallies: tuple[Tally, ...] = ()
    sights: tuple[Sight, ...] = ()
    judged: tuple[Judged, ...] = ()
    labels: tuple[Label, ...] = ()
    draws: tuple[Draw, ...] = ()


NOTHING = Beside()


class Decision(msgspec.Struct, frozen=True):
    """New state, events, balanced entries and the documents they call for, effects. `done` names
    effects no longer wanted.

    `refused`: nothing was done, and why. `refund`: id of the refund made or acted on.
    """

    order: Order
    events: tuple[Event, ...] = ()
    entries: tuple[Entry, ...] = ()
    effects: tuple[Effect, ...] = ()
    done: tuple[str, ...] = ()
    refused: Refusal | None = None
    refund: str = ""
    documents: tuple[DueDocument, ...] = ()
    beside: Beside = NOTHING
    tells: tuple[Tell, ...] = ()
    moved: tuple[Moved, ...] = ()
