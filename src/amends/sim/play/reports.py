"""What shops reported, kept small: a month has many orders."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import msgspec


class Reports(MutableMapping[str, dict[str, Any]]):
    """Reports by the shop's order number, each as JSON; what is read is a copy."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def __setitem__(self, number: str, report: dict[str, Any]) -> None:
        self._kept[number] = msgspec.json.encode(report)

    def __getitem__(self, number: str) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self._kept[number])
        return found

    def __delitem__(self, number: str) -> None:
        del self._kept[number]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)
