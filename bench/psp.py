"""A bare provider: answers any refund with a valid Stripe refund after 20 ms, and nothing else.

    python -m bench.psp        prints its URL, serves until standard input closes

It keeps nothing and checks nothing, so that what is measured is the caller. Speaks just enough
HTTP/1.1: keep-alive, requests with a Content-Length, one at a time on a connection.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from typing import cast
from urllib.parse import parse_qsl

import uvloop

DELAY_S = 0.020
CREATED = 1_790_000_000

_numbers = itertools.count(1)


class Responder(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            mark = head.find(b"content-length:")
            size = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            self._loop.call_later(DELAY_S, self._answer, body)

    def _answer(self, form: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(response(form))


def response(form: bytes) -> bytes:
    """The whole answer to the form of one refund."""
    fields = dict(parse_qsl(form.decode()))
    number = next(_numbers)
    refund = {
        "id": f"re_{number:016d}",
        "object": "refund",
        "amount": int(fields.get("amount", "0")),
        "balance_transaction": f"txn_{number:016d}",
        "charge": f"ch_{number:016d}",
        "created": CREATED,
        "currency": fields.get("currency", "eur"),
        "metadata": {
            name[9:-1]: value for name, value in fields.items() if name.startswith("metadata[")
        },
        "payment_intent": fields.get("payment_intent", ""),
        "reason": fields.get("reason"),
        "receipt_number": None,
        "status": "succeeded",
    }
    body = json.dumps(refund).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Request-Id: req_{number:014d}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Responder, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
