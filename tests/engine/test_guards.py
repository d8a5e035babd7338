"""Guards seen to fail: each rule that keeps money safe has a story, and without the rule the
independent check finds a violation in that very story."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from amends.core import legs, news
from amends.engine import deliver
from amends.gateways import registry, stripe
from amends.kernel.time import HOUR, SECOND
from tests.engine.hooked import HookedStore
from tests.engine.lab import Lab, laboratory, states
from tests.sim.mutations import no_key

Mutation = Callable[[pytest.MonkeyPatch], None]


# -- stories: each gives what was wrong --------------------------------------------------------


async def resent_while_hidden(lab: Lab) -> list[str]:
    """The answer is lost and the list does not show the refund yet: the same bytes go again."""
    lab.control("settings", list_delay_s=20)
    lab.control("fault", kind="lost_answer", count=1)
    order = await lab.order()
    await lab.nodes[0].refund(order.id, amount=4000)
    await lab.settle(HOUR)
    return await lab.wrong()


async def down_for_a_day(lab: Lab) -> list[str]:
    """A resend is scheduled when everything goes down for longer than the provider keeps keys."""
    lab.control("settings", list_delay_s=30)
    lab.control("fault", kind="lost_answer", count=1)
    order = await lab.order()
    await lab.nodes[0].refund(order.id, amount=4000)
    await lab.nodes[0].quiet()
    lab.clock.forward(SECOND)
    await lab.step()
    (refund,) = (await lab.one(order.id)).refunds
    assert refund.legs[0].resend, "the next round would send the same bytes"
    await lab.lose(lab.nodes[0])
    lab.clock.forward(25 * HOUR)
    await lab.node()
    await lab.settle(HOUR)
    return await lab.wrong()


async def already_refunded(lab: Lab) -> list[str]:
    """The first request did it and its answer is lost; the second is told "already refunded"."""
    lab.control("settings", list_delay_s=20, key_age_s=0)
    lab.control("fault", kind="lost_answer", count=1)
    order = await lab.order()
    await lab.nodes[0].refund(order.id)
    await lab.settle(HOUR)
    return await lab.wrong()


async def executed_late(lab: Lab) -> list[str]:
    """The request is executed seconds after we stopped to listen, and after we were told that the
    attempt may be closed."""
    lab.control("fault", kind="latency", seconds=8, after_work=False, count=1)
    order = await lab.order()
    await lab.nodes[0].refund(order.id, amount=4000)
    await lab.settle(HOUR)
    return await lab.wrong()


async def asleep_before_sending(lab: Lab) -> list[str]:
    """A process falls asleep between commit and send; another takes over and sends meanwhile."""
    lab.control("settings", list_delay_s=20)
    order = await lab.order()
    await lab.lose(lab.nodes[0])
    asleep: list[int] = []

    def oversleep(point: str) -> None:
        if point == "committed" and not asleep:
            asleep.append(1)
            lab.clock.forward(deliver.LEASE_US - SECOND)

    def wrap(store: Any) -> Any:
        return HookedStore(store, oversleep)

    node = await lab.node(wrap)
    await node.refund(order.id)
    await node.quiet()
    found = ["bytes left under a lease that was nearly over"] if node.transport.sent else []
    await lab.settle(HOUR)
    return found + await lab.wrong()


# -- mutations: each takes one rule away -------------------------------------------------------


def without_retention(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(legs, "key_may_be_gone", lambda work, leg: False)


def without_doubt(patch: pytest.MonkeyPatch) -> None:
    whole = news._declined

    def declined(work: Any, leg: Any, *more: Any) -> None:
        whole(work, work.put_leg(leg.id, doubt=False), *more)

    patch.setattr(news, "_declined", declined)


def without_delay(patch: pytest.MonkeyPatch) -> None:
    hasty = replace(stripe.CAPABILITIES, lookup_delay=0)
    patch.setitem(registry.CAPABILITIES, "stripe", hasty)  # type: ignore[arg-type]


def without_lease_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(deliver, "TIMEOUT_SECONDS", 0)


GUARDS: dict[str, tuple[Callable[[Lab], Awaitable[list[str]]], Mutation, str]] = {
    "idempotency key": (resent_while_hidden, no_key, "24h"),
    "look-up past key retention": (down_for_a_day, without_retention, "24h"),
    "declined after unknown stays unknown": (already_refunded, without_doubt, "24h"),
    "not found counts after lookup_delay": (executed_late, without_delay, "5s"),
    "lease before the first byte": (asleep_before_sending, without_lease_check, "24h"),
}


async def play(name: str, url: str, folder: Path) -> list[str]:
    story, _, after = GUARDS[name]
    async with laboratory(url, folder, indeterminate_after=after) as lab:
        return await story(lab)


@pytest.mark.parametrize("name", GUARDS)
async def test_with_the_guard_nothing_is_wrong(name: str, db_url: str, tmp_path: Path) -> None:
    assert await play(name, db_url, tmp_path) == []


@pytest.mark.parametrize("name", GUARDS)
async def test_without_the_guard_something_is(
    name: str, pg_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, mutate, _ = GUARDS[name]
    mutate(monkeypatch)
    assert await play(name, pg_url, tmp_path) != [], f"nobody would notice that {name} is gone"


async def test_two_processes_decide_about_one_payment_at_once(db_url: str, tmp_path: Path) -> None:
    """One of them is refused. Without the order lock the key of the trail still refuses the second
    writer, who tries again and sees the first: what is left without both of them is a world of
    tests/sim ("no order lock")."""
    async with laboratory(db_url, tmp_path) as lab:
        order = await lab.order()
        other = await lab.node()
        asks = [node.refund(order.id, amount=6000) for node in (lab.nodes[0], other)]
        told = await asyncio.gather(*asks)
        assert sorted(bool(t.results[0].refused) for t in told) == [False, True]
        await lab.settle()
        after = await lab.one(order.id)
        assert (await lab.wrong(), after.parked, len(after.refunds)) == ([], "", 1)


async def test_the_check_itself_knows_a_plain_refund(pg_url: str, tmp_path: Path) -> None:
    async with laboratory(pg_url, tmp_path) as lab:
        order = await lab.order()
        await lab.nodes[0].refund(order.id)
        await lab.settle()
        assert states(await lab.one(order.id)) == ["succeeded"]
        lab.world.books.movements.clear()
        assert await lab.wrong() != [], "a refund nobody made is noticed"
