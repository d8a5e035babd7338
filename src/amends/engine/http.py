"""The one HTTP client. It tells "nothing was executed" from "nobody knows" (invariant I4):

`Failure(sent=False)` only where no byte of the request can have reached the party: name not found,
connection refused, TLS not agreed, connect timeout. Everything after that is `sent=True`.
Redirects are not followed: a credential goes to the configured host and nowhere else. An address
that came in a message is only reached by TLS, and only on the public network; a subscriber's too,
unless the settings allow others. That is checked for each address that is really connected to,
whatever name it was found by.
"""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector
from aiohttp.connector import AddrInfoType, SocketFactoryType

from amends.gateways.spec import Failure, Request, Response

ANSWER_MAX = 4 * 1024 * 1024  # bytes; a provider's answer is never near it
FETCHED_MAX = 64 * 1024  # bytes of what is fetched because a message said so: certificates

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits
_UNICAST = IPv6Network("2000::/3")  # all that IANA gives out; the rest has ways back to IPv4


class Transport(Protocol):
    """Something that carries a request to a party: this client, or a simulated network."""

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure: ...

    async def close(self) -> None: ...


class HttpTransport:
    """aiohttp with keep-alive; opened inside the event loop that uses it."""

    def __init__(self) -> None:
        self._session = _session(None)
        self._public: ClientSession | None = None  # made when it is first needed

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        """The answer, or what its absence means. Never raises for a network's doing."""
        if request.from_message and not _may_be_fetched(request.url):
            return Failure(False, "an address from a message that is not plain https")
        # A connection that takes half the time is given up while that is still "not sent".
        limits = ClientTimeout(total=timeout_seconds, connect=timeout_seconds * 0.5)
        try:
            async with self._session_for(request).request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body or None,
                timeout=limits,
                allow_redirects=False,
            ) as answer:
                body = await _body(answer, FETCHED_MAX if _guarded(request) else ANSWER_MAX)
                if body is None and not request.public:
                    return Failure(True, "the answer is too long")
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status, headers, body or b"")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Failure(False, f"no connection: {type(error).__name__}")
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            return Failure(False, f"not an address: {error}")
        except TimeoutError:
            return Failure(True, "no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return Failure(True, f"connection lost: {type(error).__name__}")

    def _session_for(self, request: Request) -> ClientSession:
        if not _guarded(request):
            return self._session
        if self._public is None:
            self._public = _session(_public_socket)
        return self._public

    async def close(self) -> None:
        await self._session.close()
        if self._public is not None:
            await self._public.close()


def _session(sockets: SocketFactoryType | None) -> ClientSession:
    return ClientSession(
        connector=TCPConnector(
            limit=0, ttl_dns_cache=60, keepalive_timeout=30, socket_factory=sockets
        ),
        auto_decompress=True,
        skip_auto_headers=("Accept-Encoding", "User-Agent"),
        headers={"User-Agent": "amends"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _public_socket(info: AddrInfoType) -> socket.socket:
    """A socket to connect to `info` with. Raises OSError where that is on a network of our own."""
    family, kind, protocol, _, address = info
    if not _is_public(address[0]):
        raise OSError(errno.EHOSTUNREACH, "not an address of the public network")
    return socket.socket(family, kind, protocol)


def _is_public(address: str) -> bool:
    """Whether an address is on the public network, and so is the IPv4 address in it, if any."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is None and found not in _UNICAST:
            return False
        found = inner or found
    return found.is_global and not found.is_multicast


def _guarded(request: Request) -> bool:
    """Whether it must not lead to an address of our own network."""
    return request.from_message or request.public


def _may_be_fetched(url: str) -> bool:
    """Whether an address that came in a message is https and names no user."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and "@" not in parts.netloc
    except ValueError:
        return False


async def _body(answer: ClientResponse, most: int) -> bytes | None:
    """All of it, in however many pieces it comes; None if it is longer than `most` bytes."""
    pieces, length = [], 0
    async for piece in answer.content.iter_any():
        pieces.append(piece)
        length += len(piece)
        if length > most:
            return None
    return b"".join(pieces)
