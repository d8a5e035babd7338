"""The one HTTP client. It tells "nothing was executed" from "nobody knows" (invariant I4):

`Failure(sent=False)` only where no byte of the request can have reached the party: name not found,
connection refused, TLS not agreed, connect timeout. Everything after that is `sent=True`.
Redirects are not followed: a credential goes to the configured host and nowhere else. Nothing is
sent twice: a kept connection that turns out to be closed is an unknown outcome like any other.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from functools import cached_property, lru_cache
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from amends.engine.wire import Line
from amends.gateways.spec import Failure, Request, Response

KEPT_S = 30.0  # how long an idle connection is kept
_PLAIN = re.compile(r"[!-~]+")  # what may stand in an address


class Transport(Protocol):
    """Something that carries a request to a party: this client, or a simulated network."""

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure: ...

    async def close(self) -> None: ...


class Address(NamedTuple):
    """Where a URL leads, and what is asked for there."""

    secure: bool
    host: str
    port: int
    shown: str  # as the Host header names it
    path: str


@lru_cache(maxsize=1024)
def address(url: str) -> Address:
    """Raises ValueError for what is not an http(s) URL, or holds a credential."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not an http or https URL")
    if not _PLAIN.fullmatch(url):
        raise ValueError("it holds characters that an address cannot have")
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    port = parts.port or (443 if secure else 80)
    return Address(secure, parts.hostname, port, parts.netloc, path)


def written(request: Request, to: Address) -> bytes:
    """The bytes of a request. Raises ValueError if a header would break out of its line."""
    lines = [
        f"{request.method} {to.path} HTTP/1.1",
        f"Host: {to.shown}",
        "User-Agent: amends",
        "Accept: */*",
        "Accept-Encoding: identity",
        *[f"{name}: {value}" for name, value in request.headers],
    ]
    if request.body or request.method == "POST":
        lines.append(f"Content-Length: {len(request.body)}")
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError("a header holds a line break")
    return "\r\n".join([*lines, "", ""]).encode() + request.body


class HttpTransport:
    """Keeps connections open; used inside one event loop."""

    def __init__(self) -> None:
        self._idle: dict[tuple[bool, str, int], list[Line]] = {}  # the last used at the end
        self._lines: set[Line] = set()

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        """The answer, or what its absence means. Never raises for a network's doing."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_seconds
        try:
            to = address(request.url)
            raw = written(request, to)
        except ValueError as error:
            return Failure(False, f"not an address: {error}")
        line = self._kept(to, loop.time())
        if line is None:
            # A connection that takes half the time is given up while that is still "not sent".
            try:
                async with asyncio.timeout(timeout_seconds * 0.5):
                    line = await self._connected(to)
            except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
                return Failure(False, f"no connection: {type(error).__name__}")
        try:
            return await line.send(raw, until)
        except BaseException:
            line.cut()
            raise
        finally:
            self._give_back(line, to, loop.time())

    async def close(self) -> None:
        for line in self._lines:
            line.cut()
        self._idle.clear()
        self._lines.clear()
        await asyncio.sleep(0)  # the loop closes them in its next round

    async def _connected(self, to: Address) -> Line:
        loop = asyncio.get_running_loop()
        secure = self._tls if to.secure else None
        _, line = await loop.create_connection(Line, to.host, to.port, ssl=secure)
        self._lines.add(line)
        return line

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def _kept(self, to: Address, now: float) -> Line | None:
        """A connection that is still open, the one used last."""
        kept = self._idle.get(to[:3], [])
        while kept:
            line = kept.pop()
            if line.usable and now - line.free_since < KEPT_S:
                return line
            self._drop(line)
        return None

    def _give_back(self, line: Line, to: Address, now: float) -> None:
        if not line.usable:
            self._drop(line)
            return
        kept = self._idle.setdefault(to[:3], [])
        line.free_since = now
        kept.append(line)
        while now - kept[0].free_since > KEPT_S:
            self._drop(kept.pop(0))

    def _drop(self, line: Line) -> None:
        line.cut()
        self._lines.discard(line)
