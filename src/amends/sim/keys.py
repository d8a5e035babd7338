"""Idempotency keys: who used one first, and what that request was answered.

What a repeat gets, and what a key means that is used for two requests, is each provider's own.
"""

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """What was answered, and the id of the request that was answered so."""

    status: int
    body: bytes
    request_id: str


class Record(msgspec.Struct, eq=False):
    """One key: the request it was first used with, and its answer once there is one.

    `asked` is whatever the provider compares a repeat by; `first_used` is Unix seconds.
    """

    key: str
    path: str
    asked: Any
    first_used: float
    in_use: bool = True
    answer: Answer | None = None


class KeyStore:
    """All keys of one account, oldest first."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def claim(
        self, key: str, path: str, asked: Any, now: float, age_s: float
    ) -> tuple[Record, bool]:
        """The key's record, and whether this request made it: then it is the one to execute."""
        self._prune(now - age_s)
        record = self._records.get(key)
        if record is not None and record.first_used <= now - age_s and not record.in_use:
            del self._records[key]
            record = None
        if record is not None:
            return record, False
        record = self._records[key] = Record(key, path, asked, now)
        return record, True

    def _prune(self, before: float) -> None:
        """Forget keys first used at or before this instant. A key in use stays."""
        while self._records:
            oldest = next(iter(self._records))
            record = self._records[oldest]
            if record.first_used > before or record.in_use:
                return
            del self._records[oldest]

    def forget(self, record: Record) -> None:
        """Drop a record whose execution never began."""
        del self._records[record.key]
