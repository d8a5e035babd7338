"""Run one seed on one database, in this process."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path

import msgspec
import structlog

from amends.sim.play.bridge import Bridge, inline
from amends.sim.play.evidence import fingerprint, kinds, posted_late, states, truth
from amends.sim.play.loop import VirtualLoop
from amends.sim.play.play import World
from amends.sim.play.wish import Report, Wish
from amends.store.open import connect
from amends.store.spec import Store

TRUTH = "providers.json"  # what they say, as `evidence.Truth`, beside a database that stays


@inline()
def play(wish: Wish) -> Report:
    """Play it. The database is migrated if it must be, and has to hold no orders."""
    began = time.monotonic()
    wish.folder.mkdir(parents=True, exist_ok=True)
    together = wish.workers > 1 and wish.store.startswith("postgresql")
    bridge = Bridge(wish.store if together else "")
    store = connect(wish.store)
    try:
        bridge.run(store.migrate())
        bridge.run(store.open())
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            world = runner.run(_world(wish, bridge, store))
            with structlog.testing.capture_logs() as lines:
                _run(runner, world)
            world.logged(lines)
        report = _report(world, bridge.run(fingerprint(store)), bridge.run(states(store)))
        report.legs = bridge.run(kinds(store, "legs"))
        report.entries = bridge.run(kinds(store, "entries"))
        report.posted_late = bridge.run(posted_late(store))
        if wish.keep:
            _keep(wish.folder, world)
    finally:
        bridge.run(store.close())
        bridge.close()
    report.seconds = round(time.monotonic() - began, 2)
    report.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return report


async def _world(wish: Wish, bridge: Bridge, store: Store) -> World:
    return World(wish, bridge, store)


def _run(runner: asyncio.Runner, world: World) -> None:
    """To its end, also when it breaks: then that is a finding like any other."""
    try:
        runner.run(world.run())
    except Exception as error:  # noqa: BLE001 - it is in the report
        world.broke(error)
        runner.run(_rest())


async def _rest() -> None:
    """End what a broken world has left, while its database is still there."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _keep(folder: Path, world: World) -> None:
    """What the providers say, beside the database that stays."""
    told = truth([provider.world for provider in world.providers])
    (folder / TRUTH).write_bytes(msgspec.json.encode(told))


def _report(world: World, hashes: str, found: dict[str, int]) -> Report:
    wish, asks = world.wish, world.journal.asks
    at = world.troubles.at
    moved = {p.name: len(p.world.movements()) for p in world.providers}
    return Report(
        seed=wish.seed,
        store=wish.store.partition(":")[0],
        days=round(world.loop.time() / 86400, 1),
        asks=len(asks),
        touched=sum(1 for ask in asks if ask.faults),
        refunds=sum(found.values()),
        movements=sum(moved.values()),
        quiet_points=world.quiet_points,
        faults=dict(sorted(world.troubles.counts.items())),
        faults_at={name: dict(sorted(found.items())) for name, found in at.items()},
        movements_at=moved,
        states=found,
        violations=world.violations,
        fingerprint=hashes,
        seconds=0.0,
        peak_mb=0,
        met_locks=world.bridge.waited,
        chronicle=world.chronicle,
    )
