"""The tools of a stranger: a place on the line, and a body with another body's checksum."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from amends.doors.demo.parties import Json

HOST = "127.0.0.1"
FREE = 64  # letters that may be chosen; 32 that turn over different bits are enough


class Heard:
    """What was heard on the line: of each message what PayPal put in its head, and its body."""

    def __init__(self) -> None:
        self.messages: list[tuple[Mapping[str, str], bytes]] = []

    async def hears(self, request: web.BaseRequest) -> web.Response:
        own = {n: v for n, v in request.headers.items() if n.lower().startswith("paypal-")}
        self.messages.append((own, await request.read()))
        return web.Response()

    async def count(self) -> int:
        return len(self.messages)


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, Heard]]:
    """An address that messages can be sent to, and what came there."""
    heard = Heard()
    runner = web.ServerRunner(web.Server(heard.hears))
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}", heard
    finally:
        await runner.cleanup()


def with_crc_of(wanted: bytes, message: Json) -> bytes:
    """`message` as JSON, with a field of letters added such that its CRC-32 is that of `wanted`.

    A CRC is linear: turning one letter from a to b always turns over the same of its bits, so the
    letters to turn are the solution of 32 equations over bits.
    """
    first = msgspec.json.encode({**message, "x": "a" * FREE})
    at = len(first) - FREE - 2
    turns: dict[int, tuple[int, int]] = {}  # leading bit -> bits that turn over, letters that do it
    for place in range(FREE):
        bits, letters = zlib.crc32(_turned(first, at, 1 << place)) ^ zlib.crc32(first), 1 << place
        while bits and bits.bit_length() in turns:
            known = turns[bits.bit_length()]
            bits, letters = bits ^ known[0], letters ^ known[1]
        if bits:
            turns[bits.bit_length()] = bits, letters
    missing, chosen = zlib.crc32(wanted) ^ zlib.crc32(first), 0
    while missing:
        bits, letters = turns[missing.bit_length()]
        missing, chosen = missing ^ bits, chosen ^ letters
    return _turned(first, at, chosen)


def _turned(body: bytes, at: int, letters: int) -> bytes:
    """`body` with the letters from `at` on that are set in `letters` turned from a to b."""
    run = bytes(ord("b") if letters >> place & 1 else ord("a") for place in range(FREE))
    return body[:at] + run + body[at + FREE :]
