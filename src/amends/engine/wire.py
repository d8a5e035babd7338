"""One connection to a party: HTTP/1.1, one request at a time, kept open between them.

httptools parses; a general client spends four times the CPU of this on what the house does not use
(redirects, cookies, proxies, compression, streaming). Of the bytes sent nothing is decided here:
`send` gives the answer, or `Failure(sent=True)` for whatever else happens once it was called.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from amends.gateways.spec import Failure, Response

ANSWER_MAX = 4 * 1024 * 1024  # bytes, head included; a provider's answer is never near it


class Line(asyncio.Protocol):
    """Free until `send`, and again once the whole answer is there if the party keeps it open."""

    def __init__(self) -> None:
        self.free_since = 0.0  # of the loop's clock
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._told: asyncio.Future[Response | Failure] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._length = self._status = 0
        self._open_end = False  # the answer ends when the party closes
        self._complete = self._keep = False

    # -- for whoever holds it ------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        transport = self._transport
        return self._told is None and transport is not None and not transport.is_closing()

    def send(self, raw: bytes, until: float) -> asyncio.Future[Response | Failure]:
        """Write a whole request; its answer may take until then (loop's clock)."""
        told = self._told = self._loop.create_future()
        self._timer = self._loop.call_at(until, self._end, "no answer in time")
        if self._transport is None:
            self._end("connection lost: as soon as it was open")
        else:
            self._transport.write(raw)
        return told

    def cut(self) -> None:
        """Close it now, without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    # -- what asyncio tells --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._told is None:
            self.cut()  # nobody asked: never take it for the answer to the next request
            return
        self._length += len(data)
        if self._length > ANSWER_MAX:
            self._end("the answer is too long")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._complete:
                self._end("the answer is not HTTP")
                return
            self.cut()  # it goes on after its end: the answer counts, the connection does not
        if self._complete:
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if exc is None and self._open_end:
            self._answered()
        else:
            self._end(f"connection lost: {type(exc).__name__ if exc else 'closed'}")

    # -- what httptools tells ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        bounded = "content-length" in self._headers or "transfer-encoding" in self._headers
        self._status = self._parser.get_status_code()
        self._open_end = not bounded and self._status >= 200

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status < 200:
            self._headers.clear()  # an interim answer: the real one follows
        else:
            self._complete, self._keep = True, self._parser.should_keep_alive()

    # -- ending --------------------------------------------------------------------------------

    def _answered(self) -> None:
        answer = Response(self._status, self._headers, b"".join(self._body))
        told = self._settled()
        if not self._keep:
            self.cut()
        self._begin()
        if told is not None and not told.done():
            told.set_result(answer)

    def _end(self, why: str) -> None:
        """No answer: the party may have done what was asked all the same."""
        told = self._settled()
        self.cut()
        if told is not None and not told.done():
            told.set_result(Failure(True, why))

    def _settled(self) -> asyncio.Future[Response | Failure] | None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        told, self._told = self._told, None
        return told
