"""An event loop whose time jumps to the next timer as soon as nothing is ready.

Nothing in it may wait for real I/O: what does (the database) runs on a thread of its own and blocks
this one (see `bridge`). So the order in which everything happens follows from the seed alone.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class StandsStill(RuntimeError):
    """Nothing is ready and no timer is set: the world would wait for ever."""


class _Jump(selectors.BaseSelector):
    """A selector that never waits: it moves the clock instead."""

    def __init__(self) -> None:
        self._real = selectors.SelectSelector()  # keeps the loop's own wake-up socket
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = self._real.select(0)
            if not ready:
                raise StandsStill("nothing is ready and nothing will be")
            return ready
        self.now += max(0.0, timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual seconds since the loop was made."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self._clock_resolution = 1e-7

    def time(self) -> float:
        return self._jump.now
