"""The real clock and the real source of ids; a simulation brings its own."""

from __future__ import annotations

import secrets
import time
from typing import Protocol

import uuid_utils

from amends.kernel.ids import encode
from amends.kernel.time import Instant

# A lease runs out while a machine is suspended too: Linux's CLOCK_MONOTONIC stands still then.
_STEADY: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        return time.time_ns() // 1000

    def monotonic(self) -> Instant:
        ticks = time.monotonic_ns() if _STEADY is None else time.clock_gettime_ns(_STEADY)
        return ticks // 1000


class Ids(Protocol):
    """Where ids come from."""

    def new(self) -> str:
        """26 base-32 characters, time-ordered, unique."""
        ...

    def salt(self) -> str:
        """32 hex digits nobody can guess, to hash a text with."""
        ...


class SystemIds:
    """UUIDv7 (RFC 9562)."""

    def new(self) -> str:
        return encode("", uuid_utils.uuid7().bytes)[1:]

    def salt(self) -> str:
        return secrets.token_hex(16)
