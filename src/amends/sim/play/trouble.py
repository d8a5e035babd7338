"""What goes wrong, drawn from the seed. Every order has a source of its own, so that a story keeps
its troubles when others are left out; what strikes whole processes has another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from random import Random

import msgspec

from amends.sim.play.node import prng_of

# On a request to the provider: what the caller sees, and whether the work was done.
REQUEST = (
    "lost_request",  # never arrives; the connection breaks after the bytes left
    "refused",  # no connection: nothing was sent
    "lost_answer",  # the work is done, the connection breaks
    "slow_answer",  # the work is done, the answer comes after we stopped to listen
    "slow_request",  # the work begins after we stopped to listen
    "rate_limit",
    "lock_timeout",
    "unavailable",
    "error_500_undone",  # kept under the key by the provider, nothing done
    "error_500_done",  # kept under the key, the work is done
    "webhook_before_answer",
)
SILENCE = (
    "silence"  # the answer is lost, and no other comes for longer than the provider keeps keys
)
WEBHOOK = ("duplicate", "delay", "reorder", "bad_signature", "lose", "late_duplicate")
SHOP = ("shop_repeat", "shop_delay", "shop_reorder")
STATEMENT = ("crash", "store_error", "commit_unknown", "store_retry")
WORLD = ("outage", "database_away", "two_workers", "clock_skew", "key_pruned", "sleep")
STORY = (  # what people and banks do; part of an order's story, counted when it happens
    "late_failure",
    "refund_fails",
    "refund_pending",
    "insufficient_balance",
    "dashboard_refund",
    "dispute",
    "fraud_warning",
    "capture_race",
)
OWN = (  # what only some providers have; see `Party.own`
    "several_captures",  # the payment is captured in parts
    "capture_failed",  # what was captured comes undone, after refunds or while they are out
    "captured_again",  # … and is captured again, under another id
    "unsaid_capture",  # what the shop believes only authorized is captured, and nobody says so
    "token_revoked",  # a request meets a 401: what we signed in with is void
    "certificate_away",  # of the webhooks' signatures: it cannot be fetched for a while
    "foreign_item",  # another account's item in one message with ours, signed by the same key
    "bad_item",  # an item that nobody signed in one message with ours
)
PARTNER = (  # on a message to whoever is told of refunds and goods
    "partner_lost_request",
    "partner_lost_answer",  # it was taken, the connection breaks
    "partner_slow",  # it is taken after we stopped to listen
    "partner_twice",  # it arrives twice
    "partner_locked",  # 500: whoever was first holds the lock
    "partner_away",  # 503 for a while
    "partner_down",  # the day as a month ends
    "period_closed",  # refused, until somebody there opens the period again
)
GROUPS: dict[str, tuple[str, ...]] = {
    "request": (*REQUEST, SILENCE),
    "webhook": WEBHOOK,
    "shop": SHOP,
    "statement": STATEMENT,
    "world": WORLD,
    "story": STORY,
    "own": OWN,
    "partner": PARTNER,
}
KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)


def kinds_of(words: Iterable[str]) -> frozenset[str]:
    """Kinds by their names and those of groups. Raises ValueError for another word."""
    found: set[str] = set()
    for word in words:
        if word not in KINDS and word not in GROUPS:
            raise ValueError(f"{word} is no kind of fault and no group of them")
        found.update(GROUPS.get(word, (word,)))
    return frozenset(found)


def named(kinds: Collection[str]) -> str:
    """The shortest list of names for these kinds: a group's own where all of it is meant."""
    names = [name for name, group in GROUPS.items() if set(group) <= set(kinds)]
    return ",".join([*names, *sorted(set(kinds) - kinds_of(names))])


class Profile(msgspec.Struct, frozen=True):
    """How much of each goes wrong: the chance for one request, webhook, shop message, statement;
    `world` is how often in a month something strikes everybody. `without` names kinds to leave
    out, which moves no other; `only`, if it names any, those that take the place of all others."""

    request: float = 0.22
    webhook: float = 0.22
    shop: float = 0.20
    statement: float = 0.003
    world: float = 6.0
    without: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()

    def of(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `kinds` that are drawn from; "" stands for none."""
        left = tuple(kind for kind in kinds if kind in self.only)
        return left or ("",) if self.only else kinds


PROFILES: dict[str, Profile] = {
    "none": Profile(0, 0, 0, 0, 0),
    "calm": Profile(0.03, 0.05, 0.05, 0.0002, 1.0),
    "default": Profile(),
    "storm": Profile(0.35, 0.4, 0.4, 0.006, 12.0),
}


class Troubles:
    """Draws what goes wrong and counts it. `on` False: nothing does (a quiet point)."""

    def __init__(self, seed: int, profile: Profile) -> None:
        self.seed, self.profile = seed, profile
        self.on = True
        self.counts: Counter[str] = Counter()
        self.at: dict[str, Counter[str]] = {}  # the same, by the provider it happened at
        self.touched: dict[str, list[tuple[float, str]]] = {}  # by order number
        self.now: Callable[[], float] = lambda: 0.0  # virtual seconds
        self._of: dict[str, dict[str, Random]] = {}

    def prng(self, number: str, what: str) -> Random:
        """The source of one order for one thing."""
        mine = self._of.setdefault(number, {})
        if what not in mine:
            mine[what] = prng_of(self.seed, number, what)
        return mine[what]

    def forget(self, number: str) -> None:
        """Nothing more is to happen to this order. What still does draws from sources as they were
        in the beginning."""
        self._of.pop(number, None)

    def request(self, number: str, may_fall_silent: bool) -> str:
        """What strikes this request of an order, "" for nothing."""
        found = self._draw(number, "request", self.profile.request, REQUEST)
        silent = self._draw(number, "silence", self.profile.request / 30, (SILENCE,))
        return silent if silent and may_fall_silent else found

    def webhook(self, number: str) -> str:
        return self._draw(number, "webhook", self.profile.webhook, WEBHOOK)

    def shop(self, number: str) -> str:
        return self._draw(number, "shop", self.profile.shop, SHOP)

    def partner(self, message: str) -> str:
        """What strikes a message to somebody who is told, "" for nothing."""
        return self._draw(message, "partner", self.profile.request, PARTNER[:-2] + PARTNER[-1:])

    def own(self, number: str, kinds: tuple[str, ...], share: float = 1.0) -> str:
        """Which of the kinds that are a provider's own strikes, "" for nothing; `share` of the
        chance that a request is struck."""
        if not kinds:
            return ""
        return self._draw(number, f"own {kinds[0]}", self.profile.request * share, kinds)

    def _draw(self, number: str, what: str, chance: float, kinds: tuple[str, ...]) -> str:
        prng = self.prng(number, what)
        # Always two draws, so that leaving one kind out moves no other.
        strikes, kind = prng.random() < chance, prng.choice(self.profile.of(kinds))
        if not strikes or not self.on or kind in self.profile.without:
            return ""
        return kind

    def struck(self, kind: str, number: str = "", provider: str = "") -> None:
        """It happened, to an order or to all, at a provider or elsewhere."""
        self.counts[kind] += 1
        if provider:
            self.at.setdefault(provider, Counter())[kind] += 1
        if number:
            self.touch(number, kind)

    def touch(self, number: str, kind: str) -> None:
        """What happened reached this order."""
        self.touched.setdefault(number, []).append((self.now(), kind))

    def since(self, number: str, at: float) -> list[str]:
        """What reached an order since then."""
        return sorted({kind for when, kind in self.touched.get(number, ()) if when >= at})
