"""Faults on request: what goes wrong, how often, and for which requests."""

from fnmatch import fnmatchcase
from random import Random
from typing import Literal

import msgspec

FaultKind = Literal[
    "refuse",
    "rate_limit",
    "lock_timeout",
    "unavailable",
    "error_500",
    "lost_answer",
    "latency",
    "webhook_before_answer",
]


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One fault to inject.

    `count` is how many times it still strikes (None: for ever), after letting `skip` matching
    requests pass; `probability` is asked each time it could. `method` is an HTTP method or `any`;
    `path` is a shell-style pattern on the path (`/v1/refunds*`); `payment` is the provider's
    payment id. `seconds` belongs to `latency`, `retry_after` to `rate_limit` and `unavailable`,
    `after_work` to `error_500` and `latency` (False: the work starts only after the wait).
    """

    kind: FaultKind
    count: int | None = None
    skip: int = 0
    probability: float = 1.0
    method: str = "POST"
    path: str = "*"
    payment: str | None = None
    seconds: float = 1.0
    retry_after: int = 1
    after_work: bool = True


class Target(msgspec.Struct, frozen=True):
    """The request a fault is matched against."""

    method: str
    path: str
    payment: str | None


class FaultBook:
    """The faults in force, in the order they were added; the first that matches strikes."""

    def __init__(self, prng: Random) -> None:
        self._prng = prng
        self._faults: list[Fault] = []

    @property
    def active(self) -> bool:
        """Whether any fault is left, so that a caller can skip describing its request."""
        return bool(self._faults)

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        self._faults.append(fault)

    def clear(self, kind: str | None = None) -> int:
        """Remove all faults, or those of one kind; gives how many were removed."""
        before = len(self._faults)
        self._faults = [f for f in self._faults if kind is not None and f.kind != kind]
        return before - len(self._faults)

    def take(
        self, kind: FaultKind, target: Target, *, after_work: bool | None = None
    ) -> Fault | None:
        """The fault of this kind that strikes this request, counted down, or None."""
        for fault in self._faults:
            if fault.kind != kind or not _matches(fault, target):
                continue
            if after_work is not None and fault.after_work != after_work:
                continue
            if self._strikes(fault):
                return fault
        return None

    def _strikes(self, fault: Fault) -> bool:
        if fault.skip > 0:
            fault.skip -= 1
            return False
        if fault.probability < 1.0 and self._prng.random() >= fault.probability:
            return False
        if fault.count is not None:
            fault.count -= 1
            if fault.count <= 0:
                self._faults.remove(fault)
        return True


def _matches(fault: Fault, target: Target) -> bool:
    if fault.method not in ("any", target.method):
        return False
    if fault.payment is not None and fault.payment != target.payment:
        return False
    return fnmatchcase(target.path, fault.path)
