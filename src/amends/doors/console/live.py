"""Server-sent events: told when the queue of reviews changes, so that its page loads it anew.

One look at the database every two seconds serves every open page of a process; it ends with the
last of them. A stream ends by itself after some minutes, and at once when the process will stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import structlog
from litestar.types import Receive, Scope, Send

from amends.core.reasons import Reason, Refused
from amends.doors.console.web import SAFE, Reply, Route, Visit
from amends.engine.wiring import Engine
from amends.store.spec import StoreUnavailable

log = structlog.get_logger()

LOOK_SECONDS = 2
SIGN_SECONDS = 15  # something is said at least so often, so that proxies leave it open
HOLDS_SECONDS = 300  # a browser comes again by itself
EACH = 4  # streams of one session
ALL = 500  # of one process

_HEAD = (*SAFE, ("content-type", "text/event-stream"), ("cache-control", "no-store"))


class Watch:
    """The queue's mark, looked at while anybody listens."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.mark = ""
        self.listeners: dict[str, int] = {}
        self.moved = asyncio.Event()  # set, and another one in its place, with each other mark
        self._task: asyncio.Task[None] | None = None

    def join(self, session: str) -> None:
        """Raises Refused where there are too many."""
        mine = self.listeners.get(session, 0)
        if mine >= EACH or sum(self.listeners.values()) >= ALL:
            raise Refused(Reason.RATE_LIMITED, "Too many pages listen at once; close some.")
        self.listeners[session] = mine + 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="console watch")

    def leave(self, session: str) -> None:
        self.listeners[session] -= 1
        if not self.listeners[session]:
            del self.listeners[session]

    async def _look(self) -> None:
        while self.listeners and not self._engine.hurried.is_set():
            try:
                mark = await self._engine.store.queue_mark()
            except StoreUnavailable as error:
                log.warning("queue not seen", error=str(error))
            else:
                if mark != self.mark:
                    self.mark = mark
                    self.moved.set()
                    self.moved = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._engine.hurried.wait()


class Stream:
    """One open page, as an ASGI application."""

    def __init__(self, watch: Watch, engine: Engine, session: str) -> None:
        self._watch, self._engine, self._session = watch, engine, session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name.encode(), value.encode()) for name, value in _HEAD]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._tell(receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._watch.leave(self._session)

    async def _tell(self, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        until, told = loop.time() + HOLDS_SECONDS, ""
        ends = [_task(_gone(receive)), _task(self._engine.hurried.wait())]
        try:
            while loop.time() < until and not any(task.done() for task in ends):
                mark, other = self._watch.mark, self._watch.moved
                text = f"event: queue\ndata: {mark}\n\n" if mark != told else ": here\n\n"
                told = mark
                body = text.encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
                moved = _task(other.wait())
                await asyncio.wait(
                    [*ends, moved], timeout=SIGN_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                moved.cancel()
        finally:
            for task in ends:
                task.cancel()


def _task(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(work)


async def _gone(receive: Receive) -> None:
    """Until the browser has left."""
    message = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()


async def events(visit: Visit) -> Reply:
    watch = visit.shared.setdefault("watch", Watch(visit.engine))
    session = visit.session.hash if visit.session else ""
    watch.join(session)
    return Stream(watch, visit.engine, session)


ROUTES = (Route("GET", "/console/events", "viewer", events, by_itself=True),)
