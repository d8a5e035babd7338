"""Requests of providers that sign in: one token per connection, in memory only.

A token is asked for once, however many requests wait for it, renewed before its lifetime ends, and
taken anew when a request is answered 401: that executed nothing, so the same bytes leave once more.
The token is put on last; what was decided to be sent is the same with any token (I3).
"""

from __future__ import annotations

from collections import Counter

import structlog
from msgspec import Struct

from amends.engine.config import ConnectionConfig
from amends.engine.http import Transport
from amends.engine.once import Once
from amends.gateways.registry import SIGNS_IN
from amends.gateways.spec import Failure, Request, Response, Token, Unwritable
from amends.kernel.outcome import NotSent
from amends.kernel.time import MINUTE, SECOND, Clock, Instant

log = structlog.get_logger()

LOGIN_SECONDS = 3  # login and request together stay inside the lease
MARGIN = 1 * MINUTE  # a token that ends sooner is not sent: it must still hold when it arrives


class Unauthorized(Struct, frozen=True):
    """There is no token, so nothing was sent; `answered`: the party said so itself."""

    outcome: NotSent
    answered: bool


class _Kept(Struct, frozen=True):
    token: Token
    until: Instant  # of the monotonic clock


class Logins:
    """The tokens of one process."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport, self._clock = transport, clock
        self._kept: dict[str, _Kept] = {}
        self._once: Once[str, Token | Unauthorized] = Once()
        # By connection: tokens "taken", logins "refused" or unanswered ("away"), and tokens
        # "revoked": given up because a request with them was answered 401.
        self.counted: Counter[tuple[str, str]] = Counter()

    async def send(
        self, connection: ConnectionConfig, request: Request, timeout_seconds: float, until: Instant
    ) -> Response | Failure | Unauthorized:
        """The answer to `request`, which leaves with a token. No byte of it leaves, the first time
        or again, once its timeout would reach beyond `until` (monotonic)."""
        gateway = SIGNS_IN[connection.settings.gateway]
        token = self._valid(connection.name)
        for last in (False, True):
            if token is None:
                found = await self._once.do(connection.name, lambda: self._login(connection))
                if isinstance(found, Unauthorized):
                    return found
                token = found
            if self._clock.monotonic() + int(timeout_seconds * SECOND) > until:
                return Unauthorized(NotSent("the login left no time for the request"), True)
            result = await self._transport.send(gateway.authorize(request, token), timeout_seconds)
            if last or not isinstance(result, Response) or result.status != 401:
                return result
            token = self._other_than(connection.name, token)
        raise AssertionError("the second answer is the last")

    def _valid(self, connection: str) -> Token | None:
        kept = self._kept.get(connection)
        return kept.token if kept and self._clock.monotonic() < kept.until else None

    def _other_than(self, connection: str, refused: Token) -> Token | None:
        """A token somebody else took meanwhile; the refused one is forgotten."""
        kept = self._kept.get(connection)
        if kept is not None and kept.token is refused:
            del self._kept[connection]
            self.counted[connection, "revoked"] += 1
        return self._valid(connection)

    async def _login(self, connection: ConnectionConfig) -> Token | Unauthorized:
        gateway = SIGNS_IN[connection.settings.gateway]
        try:
            request = gateway.login(connection.settings)
        except Unwritable as error:
            self.counted[connection.name, "refused"] += 1
            return Unauthorized(NotSent(f"no login: {error}", alert=True), True)
        result = await self._transport.send(request, LOGIN_SECONDS)
        token = gateway.token(result)
        if isinstance(token, NotSent):
            log.warning("login failed", connection=connection.name, reason=token.reason)
            answered = isinstance(result, Response)
            self.counted[connection.name, "refused" if answered else "away"] += 1
            return Unauthorized(token, answered)
        self.counted[connection.name, "taken"] += 1
        margin = min(MARGIN, token.lifetime // 4)
        until = self._clock.monotonic() + token.lifetime - margin
        self._kept[connection.name] = _Kept(token, until)
        return token
