"""One run: rounds of load, faults and kill -9; then quiet; then the verdict."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from amends.sim.serve import Sandbox, running
from amends.store.open import connect
from tests.chaos.arena import STRIPE_SECRET, Arena, Process
from tests.chaos.load import Shop
from tests.chaos.verdict import judge, settle

ORDERS = 6  # new orders a round, and as many refunds of old ones
SPREAD_S = 1.0
QUIET_S = 700.0  # longer than the longest pause between two look-ups


class Report(msgspec.Struct):
    """What a run did and found."""

    store: str
    seed: int
    rounds: int
    seconds: float
    settled_after: float
    kills: dict[str, int]
    exits: list[int]
    figures: dict[str, int]
    violations: list[str]


async def run(
    store: str,
    folder: Path,
    rounds: int,
    seed: int,
    say: Any = lambda line: None,
    stored_errors: bool = True,
) -> Report:
    """`store` is the URL of an empty database; `folder` takes settings, logs and the audit.
    Without `stored_errors` (errors kept under a key with nothing done, which only time settles) it
    is quiet sooner."""
    prng = Random(seed)
    began = time.monotonic()
    async with running(seed=seed) as sandbox:
        arena = Arena(folder, store, sandbox.url)
        shop: Shop | None = None
        try:
            await arena.open()
            shop = Shop(arena.urls, arena.key, sandbox, Random(seed + 1))
            _listen(sandbox, arena)
            for number in range(1, rounds + 1):
                await _round(arena, sandbox, shop, prng, stored_errors)
                if number % 10 == 0:
                    say(f"round {number}: {dict(shop.notes.figures)}")
            await asyncio.gather(*(_revive(process) for process in arena.processes))
            quiet = await _quiet(arena, sandbox, shop)
            exits = await arena.close()
            found = await judge(arena, sandbox, shop.notes)
        finally:
            await arena.close()
            await arena.nest.close()
            if shop is not None:
                await shop.close()
    found += [f"SIGTERM ended {p.name} with {code}" for p, code in _bad(arena, exits)]
    return Report(
        store=store.partition(":")[0],
        seed=seed,
        rounds=rounds,
        seconds=round(time.monotonic() - began, 1),
        settled_after=round(quiet, 1),
        kills={process.name: process.kills for process in arena.processes},
        exits=exits,
        figures=dict(sorted(shop.notes.figures.items())),
        violations=found,
    )


def _bad(arena: Arena, exits: list[int]) -> list[tuple[Process, int]]:
    return [(p, code) for p, code in zip(arena.processes, exits, strict=True) if code]


def _listen(sandbox: Sandbox, arena: Arena) -> None:
    """Every event goes to every server: duplicates are the rule, not a fault."""
    for url in arena.urls:
        target = {"url": f"{url}/webhooks/stripe-eu", "secret": STRIPE_SECRET}
        sandbox.control({"op": "webhook", **target})
    sandbox.control({"op": "webhook_retries", "retry_after_s": [0.3, 1, 2, 3, *([5] * 30)]})


async def _round(
    arena: Arena, sandbox: Sandbox, shop: Shop, prng: Random, stored_errors: bool
) -> None:
    _faults(sandbox, prng, stored_errors)
    shop.burst(ORDERS, SPREAD_S)
    await asyncio.sleep(prng.uniform(0.05, SPREAD_S))
    victims = prng.choice(_choices(arena.processes))
    for process in victims:
        await process.kill()
    await asyncio.gather(*(process.start() for process in victims))
    if prng.random() < 0.85:  # else the next round may kill it while it starts
        await asyncio.gather(*(_revive(process) for process in arena.processes))


async def _revive(process: Process) -> None:
    if not process.ready:
        await process.wait_ready()


def _choices(processes: list[Process]) -> list[list[Process]]:
    if len(processes) == 1:
        return [processes]
    a, b, worker = processes
    return [[a], [b], [worker], [a, b], [a, worker], [b, worker], [a, b, worker]]


def _faults(sandbox: Sandbox, prng: Random, stored_errors: bool) -> None:
    """Some of everything, drawn anew every round."""
    commands: list[dict[str, Any]] = [{"op": "clear_faults"}, {"op": "clear_webhook_faults"}]

    def fault(kind: str, chance: float, **more: Any) -> None:
        item = {"op": "fault", "kind": kind, "probability": prng.uniform(0, chance), **more}
        commands.append(item)

    fault("lost_answer", 0.25)
    fault("error_500", 0.15, after_work=True)
    fault("error_500", 0.15 if stored_errors else 0, after_work=False)
    fault("rate_limit", 0.15, retry_after=1)
    fault("lock_timeout", 0.1)
    fault("unavailable", 0.1, method="any", retry_after=1)
    fault("refuse", 0.1, method="any")
    fault("latency", 0.3, seconds=prng.uniform(0.1, 1.5))
    fault("latency", 0.1, seconds=prng.uniform(0.1, 2.0), after_work=False)
    fault("webhook_before_answer", 0.3)
    for kind in ("duplicate", "reorder", "delay", "bad_signature"):
        chance = prng.uniform(0, 0.3)
        commands.append({"op": "webhook_fault", "kind": kind, "probability": chance})
    for then in ("succeeded", "failed"):
        later = {"status": "pending", "then": then, "after_s": prng.uniform(0.1, 3), "count": 1}
        commands.append({"op": "refund_outcome", **later})
    for command in commands:
        sandbox.control(command)


async def _quiet(arena: Arena, sandbox: Sandbox, shop: Shop) -> float:
    """No more faults; everybody alive; until nothing is left to do."""
    for op in ("clear_faults", "clear_webhook_faults", "hurry_webhooks"):
        sandbox.control({"op": op})
    await shop.finish(QUIET_S)
    store = connect(arena.store)
    await store.open()
    try:
        return await settle(store, sandbox, QUIET_S)
    except TimeoutError:
        shop.notes.wrong.append(f"not quiet after {QUIET_S} s")
        return QUIET_S
    finally:
        await store.close()


def total(reports: list[Report]) -> dict[str, int]:
    """The figures of several runs, added up."""
    figures: Counter[str] = Counter()
    for report in reports:
        figures.update(report.figures)
    return dict(figures)
