"""Parties that break the wire: each a TCP server in the test's loop, doing one thing wrong."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
BODY = b'{"id":"re_1"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Party:
    """What a server saw: `requests` are the bytes it got, one item a connection; `connections`
    counts those that came, whatever they brought."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.requests: list[bytes] = []
        self.release = asyncio.Event()


Answer = Callable[[Party, Reader, Writer], Awaitable[None]]


def reset(writer: Writer) -> None:
    """Close with a RST instead of a FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def whole(party: Party, reader: Reader) -> None:
    """Read one request with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    party.requests.append(head + await reader.readexactly(length))


async def ok(party: Party, reader: Reader, writer: Writer) -> None:
    await whole(party, reader)
    writer.write(HEAD % len(BODY) + BODY)


async def in_pieces(party: Party, reader: Reader, writer: Writer) -> None:
    """A good answer that comes in many segments, as any answer over 64 KiB does."""
    await whole(party, reader)
    body = b"x" * 300_000
    writer.write(HEAD % len(body))
    for start in range(0, len(body), 50_000):
        writer.write(body[start : start + 50_000])
        await writer.drain()
        await asyncio.sleep(0)


async def reset_at_once(party: Party, reader: Reader, writer: Writer) -> None:
    reset(writer)


async def drop_reply(party: Party, reader: Reader, writer: Writer) -> None:
    await whole(party, reader)
    reset(writer)


async def close_reply(party: Party, reader: Reader, writer: Writer) -> None:
    await whole(party, reader)


async def half_reply(party: Party, reader: Reader, writer: Writer) -> None:
    await whole(party, reader)
    writer.write(HEAD % 1000 + b'{"id":')
    await writer.drain()
    reset(writer)


async def half_head(party: Party, reader: Reader, writer: Writer) -> None:
    await whole(party, reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    await writer.drain()


async def no_http(party: Party, reader: Reader, writer: Writer) -> None:
    await whole(party, reader)
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")


async def blackhole(party: Party, reader: Reader, writer: Writer) -> None:
    """Takes everything, says nothing."""
    await whole(party, reader)
    await party.release.wait()


async def slow_body(party: Party, reader: Reader, writer: Writer) -> None:
    await whole(party, reader)
    writer.write(HEAD % 1000 + b"{")
    await writer.drain()
    await party.release.wait()


async def too_long(party: Party, reader: Reader, writer: Writer) -> None:
    await whole(party, reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    for _ in range(100):
        writer.write(piece)
        await writer.drain()
    writer.write(b"0\r\n\r\n")


async def redirect(party: Party, reader: Reader, writer: Writer) -> None:
    await whole(party, reader)
    writer.write(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: %s/elsewhere\r\nContent-Length: 0\r\n\r\n"
        % party.url.encode()
    )


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Party]:
    """A party on a free port that answers every connection in its way."""
    party = Party()

    async def talk(reader: Reader, writer: Writer) -> None:
        party.connections += 1
        try:
            await answer(party, reader, writer)
            if not writer.transport.is_closing():
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    party.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield party
    finally:
        party.release.set()
        server.close()


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """A port whose queue of connections is full: the handshake of TCP never ends."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        address = door.getsockname()
        waiting = []
        for _ in range(3):
            knock = socket.socket()
            knock.setblocking(False)
            knock.connect_ex(address)
            waiting.append(knock)
        try:
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for knock in waiting:
                knock.close()


def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{door.getsockname()[1]}"


def untrusted(folder: Path) -> ssl.SSLContext:
    """A server whose certificate no client trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
