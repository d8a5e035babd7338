"""Small worlds in which the guards of the engine are needed often, played until the checker finds
something. The database of a world is SQLite, or PostgreSQL where two workers share it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from amends.sim.play.play import World
from amends.sim.play.run import play
from amends.sim.play.strikes import Strikes
from amends.sim.play.trouble import (
    PARTNER,
    REQUEST,
    SHOP,
    SILENCE,
    STATEMENT,
    WEBHOOK,
    WORLD,
    Profile,
)
from amends.sim.play.wish import Wish

HOUR_S = 3600.0
Mutate = Callable[[pytest.MonkeyPatch], None]
Violation = tuple[float, str, str, str]  # virtual day, invariant, order number, what

RULES = re.compile(r"I\d+|liveness")
EVERY = frozenset((*REQUEST, SILENCE, *WEBHOOK, *SHOP, *STATEMENT, *WORLD))


def _only(*kinds: str, **chances: float) -> Profile:
    none = dict.fromkeys(("request", "webhook", "shop", "statement", "world"), 0.0)
    return Profile(**{**none, **chances}, without=EVERY - set(kinds), only=frozenset(kinds))


PLAIN = ("honest", "impatient", "returner", "racer", "abuser", "bounced")
WORLDS: dict[str, dict[str, Any]] = {
    "quiet": {"profile": _only(), "days": 6.0, "orders": 40},
    "told": {
        "profile": _only(*PARTNER, request=0.4),
        "days": 4.0,
        "orders": 30,
        "partners": True,
    },
    "late requests": {
        "profile": _only("slow_request", "bad_signature", request=0.4, webhook=0.9),
        "personas": PLAIN,
        "days": 6.0,
        "orders": 16,
        "lenient": True,
    },
    "silence": {
        "profile": _only(SILENCE, "bad_signature", request=16.0, webhook=1.0),
        "personas": ("honest", "abuser"),
        "days": 30.0,  # more than a day of silence fits between two quiet points
        "orders": 36,
        "lenient": True,
    },
    "lost answers": {
        "profile": _only("lost_answer", "bad_signature", request=0.6, webhook=1.0),
        "personas": ("impatient",),
        "days": 6.0,
        "orders": 80,
        "lenient": True,
    },
    "errors": {
        "profile": _only("error_500_undone", request=0.035),
        "days": 8.0,
        "orders": 60,
    },
    "others": {
        "profile": _only(),
        "personas": ("disputer",),
        "days": 6.0,
        "orders": 80,
    },
    "given up": {
        "profile": _only(),
        "personas": ("regretful", "waiting", "bounced"),
        "days": 6.0,
        "orders": 120,
    },
    "units": {
        "profile": _only(),
        "personas": ("returner",),
        "days": 6.0,
        "orders": 100,
    },
    "failed captures": {
        "profile": _only(),
        "personas": ("honest", "returner", "waiting", "bounced"),
        "days": 8.0,
        "orders": 60,
        "providers": ("adyen",),
        "lenient": True,
    },
    "held": {
        "profile": _only(),
        "personas": ("canceller",),
        "days": 6.0,
        "orders": 120,
        "providers": ("stripe", "adyen", "paypal"),
    },
    "month's end": {
        "profile": _only("clock_skew", world=0.001),
        "personas": PLAIN,
        "days": 11.0,
        "orders": 60,
    },
    "small amounts": {
        "profile": _only(),
        "personas": ("returner", "honest"),
        "days": 6.0,
        "orders": 60,
        "hold": True,
    },
    "generous": {"profile": _only(), "days": 6.0, "orders": 20, "lenient": True},
    "out of order": {
        "profile": _only("bad_signature", webhook=0.7),
        "personas": ("waiting", "bounced"),
        "days": 10.0,
        "orders": 150,
    },
    "crashes": {
        "profile": _only("crash", "store_retry", statement=0.03),
        "days": 6.0,
        "orders": 24,
    },
    "retries": {
        "profile": _only("store_retry", statement=0.05),
        "personas": ("honest", "impatient", "racer"),
        "days": 5.0,
        "orders": 60,
    },
    "two workers": {
        "profile": _only(),
        "personas": ("racer",),
        "days": 0.1,  # quiet points before anybody asks, and the last
        "orders": 200,
        "workers": 2,
        "lenient": True,
    },
    "sleepers": {
        "profile": _only("sleep", world=400.0),
        "personas": ("honest", "impatient", "abuser"),
        "days": 12.0,
        "orders": 26,
        "lenient": True,
        "workers": 2,
    },
}


def shared(world: str) -> bool:
    """Whether two workers share the database, which only PostgreSQL can do."""
    return "workers" in WORLDS[world]


class Found(Exception):
    """The checker found something: the world need not go on."""


def found(violations: list[Violation]) -> list[Violation]:
    """What the checker itself said of an invariant: not what people saw, nor the engine's own audit
    and log, nor what broke the run, nor the world's complaint that it never becomes quiet."""
    others = ("audit: ", "the world never")
    return [v for v in violations if RULES.fullmatch(v[1]) and not v[3].startswith(others)]


def violations(
    world: str, seed: int, url: str, folder: Path, mutate: Mutate | None = None, by: str = ""
) -> list[Violation]:
    """Play a seed of a world. With a mutation: to the first quiet point at which the checker finds
    something (of the invariant `by`, if one is named), and all it found; without: to the end, and
    all that anybody found."""
    wish = Wish(seed, url, folder, **WORLDS[world])
    if mutate is None:
        return play(wish).violations
    heard: list[Violation] = []
    with pytest.MonkeyPatch.context() as patch:
        _stop_when_found(patch, heard, by)
        _rest_when_parked(patch)
        mutate(patch)
        play(wish)  # `Found` ends it, which is in its report as anything that ends a run
    return heard


def _stop_when_found(patch: pytest.MonkeyPatch, heard: list[Violation], by: str) -> None:
    whole = World._check

    async def check(self: World, final: bool) -> None:
        await whole(self, final)
        said = found(self.violations)
        if any(by in ("", violation[1]) for violation in said):
            heard.extend(said)
            raise Found

    patch.setattr(World, "_check", check)


def _rest_when_parked(patch: pytest.MonkeyPatch) -> None:
    """The due effects of a parked order are claimed every twelve seconds, for nothing. A month of
    that would take hours, so here they rest until a person comes, who never does."""
    whole = Strikes.events

    async def events(self: Strikes) -> None:
        lives = asyncio.ensure_future(whole(self))
        try:
            while True:
                await asyncio.sleep(HOUR_S)
                async with self.world.bridge.writer or nullcontext():
                    self.world.bridge.run(_put_off(self.world.store))
        finally:
            lives.cancel()

    patch.setattr(Strikes, "events", events)


async def _put_off(store: Any) -> None:
    parked = "SELECT id FROM effects WHERE order_id IN (SELECT id FROM orders WHERE parked)"
    async with store.writing() as connection:
        if connection.dialect.name == "postgresql":
            parked += " FOR UPDATE SKIP LOCKED"  # whoever holds a row waits for this world's time
        sql = text(f"UPDATE effects SET ready_at = :never WHERE id IN ({parked})")
        await connection.execute(sql, {"never": 2**60})
