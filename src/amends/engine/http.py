"""The one HTTP client. It tells "nothing was executed" from "nobody knows" (invariant I4):

`Failure(sent=False)` only where no byte of the request can have reached the party: name not found,
connection refused, TLS not agreed, connect timeout. Everything after that is `sent=True`.
Redirects are not followed: a credential goes to the configured host and nowhere else.
"""

from __future__ import annotations

from typing import Protocol

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector

from amends.gateways.spec import Failure, Request, Response

ANSWER_MAX = 4 * 1024 * 1024  # bytes; a provider's answer is never near it


class Transport(Protocol):
    """Something that carries a request to a party: this client, or a simulated network."""

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure: ...

    async def close(self) -> None: ...


class HttpTransport:
    """aiohttp with keep-alive; opened inside the event loop that uses it."""

    def __init__(self) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=30),
            auto_decompress=True,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
            headers={"User-Agent": "amends"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        """The answer, or what its absence means. Never raises for a network's doing."""
        # A connection that takes half the time is given up while that is still "not sent".
        limits = ClientTimeout(total=timeout_seconds, connect=timeout_seconds * 0.5)
        try:
            async with self._session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body or None,
                timeout=limits,
                allow_redirects=False,
            ) as answer:
                body = await _body(answer)
                if body is None:
                    return Failure(True, "the answer is too long")
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status, headers, body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Failure(False, f"no connection: {type(error).__name__}")
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            return Failure(False, f"not an address: {error}")
        except TimeoutError:
            return Failure(True, "no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return Failure(True, f"connection lost: {type(error).__name__}")

    async def close(self) -> None:
        await self._session.close()


async def _body(answer: ClientResponse) -> bytes | None:
    """All of it, in however many pieces it comes; None if it is longer than any answer is."""
    pieces, length = [], 0
    async for piece in answer.content.iter_any():
        pieces.append(piece)
        length += len(piece)
        if length > ANSWER_MAX:
            return None
    return b"".join(pieces)
