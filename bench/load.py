"""Requests over REST: so many connections, each with one request at a time (a closed loop)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Posted:
    """What a run of requests took. `bodies` are the answers, in the order of the requests."""

    seconds: float = 0.0
    bodies: list[bytes] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


def request(path: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """The bytes of one POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return "\r\n".join(lines).encode() + body


async def post_all(
    urls: Sequence[str], requests: Sequence[bytes], connections: int, pace: float = 0.0
) -> Posted:
    """Send them all over `connections` kept connections, spread over the servers; with `pace` each
    waits until so many seconds after the one before began, or until it has ended. Raises
    RuntimeError at an answer that is not 2xx."""
    posted = Posted(bodies=[b""] * len(requests))
    start = time.perf_counter()
    lanes = [
        _lane(urls[n % len(urls)], list(enumerate(requests))[n::connections], posted, pace)
        for n in range(connections)
    ]
    await asyncio.gather(*lanes)
    posted.seconds = time.perf_counter() - start
    posted.latencies.sort()
    return posted


async def _lane(
    url: str, requests: Sequence[tuple[int, bytes]], posted: Posted, pace: float
) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        for number, raw in requests:
            begun = time.perf_counter()
            writer.write(raw)
            posted.bodies[number] = await _answer(reader)
            posted.latencies.append(time.perf_counter() - begun)
            if pace:
                await asyncio.sleep(max(0.0, begun + pace - time.perf_counter()))
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    mark = lower.find(b"content-length:")
    size = int(lower[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
    body = await reader.readexactly(size)
    if not head.split(b" ", 2)[1].startswith(b"2"):
        raise RuntimeError(f"{head.splitlines()[0].decode()}: {body[:300].decode()}")
    return body
