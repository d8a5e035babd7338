"""A store that calls back around everything it does, so that a test can break it at any point."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from amends.store.spec import Store, Turn

Hook = Callable[[str], None]


class HookedTurn:
    """One transaction; the hook is told `lock`, `lock.done`, `write`, `write.done` and so on."""

    def __init__(self, turn: Turn, on: Hook) -> None:
        self._turn, self._on = turn, on

    def __getattr__(self, name: str) -> Any:
        return told(getattr(self._turn, name), name, self._on)


class HookedStore:
    """The store itself. `begin`, `commit` and `committed` are told of every turn."""

    def __init__(self, store: Store, on: Hook) -> None:
        self._store, self.on = store, on

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return told(found, name, self.on) if callable(found) else found

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Any]:
        self.on("begin")
        async with self._store.turn() as turn:
            yield HookedTurn(turn, self.on)
            self.on("commit")
        self.on("committed")


def told(method: Callable[..., Any], name: str, on: Hook) -> Callable[..., Any]:
    async def call(*arguments: Any, **named: Any) -> Any:
        on(name)
        result = await method(*arguments, **named)
        on(f"{name}.done")
        return result

    return call


class Faults:
    """A hook that raises what is planned for a point, one item each time it is passed (None: let
    it pass)."""

    def __init__(self) -> None:
        self.plan: list[tuple[str, BaseException | None]] = []
        self.seen: list[str] = []
        self.always: tuple[str, BaseException] | None = None

    def __call__(self, point: str) -> None:
        self.seen.append(point)
        if self.always is not None and self.always[0] == point:
            raise self.always[1]
        for item in self.plan:
            if item[0] == point:
                self.plan.remove(item)
                if item[1] is not None:
                    raise item[1]
                return
