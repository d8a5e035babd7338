"""One of a kind at a time: whoever wants the same meanwhile takes what the first one gets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Once(Generic[K, T]):
    """Work by key; no task of its own, so that nothing outlives whoever asked."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Future[T]] = {}

    async def do(self, key: K, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, or what the work under way for `key` gives. If that one ends without
        a result (it was cancelled, or raised), the next in line does it itself."""
        while (other := self._running.get(key)) is not None:
            await asyncio.wait([other])
            if not other.cancelled():
                return other.result()
        mine = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            found = await work()
            mine.set_result(found)
            return found
        finally:
            del self._running[key]
            mine.cancel()  # has no effect on one with a result
