"""How much may leave now: concurrency, rate, breaker. All on a hand-moved clock."""

from __future__ import annotations

from amends.engine.limits import BREAK_AFTER, Limit
from amends.kernel.time import MINUTE, SECOND
from tests.engine.lab import HandClock


def made(rate: int = 0, concurrency: int = 64) -> tuple[Limit, HandClock]:
    clock = HandClock()
    return Limit(rate, concurrency, clock), clock


def drain(limit: Limit) -> int:
    """Start what may start now and let it end at once; how many."""
    count = 0
    while limit.take():
        limit.ended(True)
        count += 1
    return count


def test_concurrency() -> None:
    limit, _ = made(concurrency=2)
    assert [limit.take() for _ in range(3)] == [True, True, False]
    limit.ended(True)
    assert limit.take()
    limit.give_back()
    assert limit.free() == 1


def test_rate_is_kept_over_any_time() -> None:
    limit, clock = made(rate=5)
    started = drain(limit)
    for _ in range(100):
        clock.forward(SECOND // 10)
        started += drain(limit)
    assert started == 5 + 5 * 10


def test_rate_is_shared_out_over_processes() -> None:
    limits = [made(rate=10) for _ in range(4)]
    started = 0
    for limit, clock in limits:
        limit.processes = 4
        drain(limit)
        for _ in range(40):
            clock.forward(SECOND // 4)
            started += drain(limit)
    assert started == 10 * 10


def test_a_slow_rate_still_lets_one_start() -> None:
    limit, clock = made(rate=1)
    limit.processes = 5
    drain(limit)
    started = 0
    for _ in range(50):
        clock.forward(SECOND)
        started += drain(limit)
    assert started == 10


def test_it_says_when_it_may_go_on() -> None:
    limit, clock = made(rate=2)
    drain(limit)
    assert limit.free() == 0
    clock.forward(limit.wakes_in())
    assert limit.free() == 1


def test_what_is_given_back_costs_nothing() -> None:
    limit, _ = made(rate=3)
    for _ in range(10):
        assert limit.take()
        limit.give_back()
    assert drain(limit) == 3


def fail(limit: Limit, times: int) -> None:
    """So many requests at once, none of them answered."""
    for _ in range(times):
        assert limit.take()
    for _ in range(times):
        limit.ended(False)


def test_the_breaker_opens_after_failures_in_a_row() -> None:
    limit, _ = made()
    fail(limit, BREAK_AFTER - 1)
    assert not limit.open
    limit.take()
    limit.ended(True)
    fail(limit, BREAK_AFTER - 1)
    assert not limit.open
    fail(limit, 1)
    assert limit.open
    assert limit.free() == 0


def test_half_open_lets_one_probe_through() -> None:
    limit, clock = made()
    fail(limit, BREAK_AFTER)
    clock.forward(SECOND)
    assert limit.take()
    assert not limit.take(), "one probe at a time"
    limit.ended(True)
    assert not limit.open
    assert limit.free() == 64


def test_every_failed_probe_waits_longer() -> None:
    limit, clock = made()
    fail(limit, BREAK_AFTER)
    waits = []
    for _ in range(5):
        waits.append(limit.wakes_in())
        clock.forward(limit.wakes_in())
        fail(limit, 1)
    assert waits == [n * SECOND for n in (1, 2, 5, 10, 10)]


def test_what_was_on_the_wire_when_it_opened_is_one_failure() -> None:
    """64 requests that fail together are one outage, not fifty failed probes."""
    limit, clock = made()
    fail(limit, 64)
    assert limit.wakes_in() == SECOND
    clock.forward(SECOND)
    fail(limit, 1)
    assert limit.wakes_in() == 2 * SECOND


def test_retry_after_holds_the_whole_connection_back_within_reason() -> None:
    limit, clock = made()
    limit.pause(7 * SECOND)
    assert limit.free() == 0
    clock.forward(7 * SECOND)
    assert limit.free() == 64
    limit.pause(60 * MINUTE)
    assert limit.wakes_in() == 30 * SECOND
