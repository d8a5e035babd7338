"""The machine's clocks, as the lease needs them."""

from __future__ import annotations

import time

import pytest

from amends.engine.clock import SystemClock


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no such clock")
def test_a_suspended_machine_has_let_its_leases_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOCK_MONOTONIC stands still while Linux is suspended; another process goes on meanwhile."""
    day_s = 86_400
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + day_s * 10**9
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: boot)
    assert SystemClock().monotonic() == boot // 1000
