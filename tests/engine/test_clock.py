"""The machine's clocks, as the lease needs them."""

from __future__ import annotations

import time

import pytest

from amends.engine import clock


def test_a_suspended_machine_has_let_its_leases_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOCK_MONOTONIC stands still while Linux is suspended; another process goes on meanwhile. On
    a system without the other clock this tests what would be done with it."""
    boottime, awake, day_s = 7, time.monotonic_ns(), 86_400
    ticks = {boottime: awake + day_s * 10**9}
    monkeypatch.setattr(clock, "_STEADY", boottime)
    monkeypatch.setattr(time, "clock_gettime_ns", ticks.__getitem__, raising=False)
    monkeypatch.setattr(time, "monotonic_ns", lambda: awake)
    assert clock.SystemClock().monotonic() == (awake + day_s * 10**9) // 1000


def test_a_system_without_that_clock_has_the_monotonic_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_STEADY", None)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 5_000)
    assert clock.SystemClock().monotonic() == 5


def test_the_clock_that_goes_on_is_used_where_there_is_one() -> None:
    assert getattr(time, "CLOCK_BOOTTIME", None) == clock._STEADY
