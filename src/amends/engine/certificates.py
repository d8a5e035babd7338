"""Certificates of parties that sign by one: fetched where a message names it, kept by address.

Addresses come from strangers. The gateway says which may be fetched at all (its party's own host);
here each is fetched by the one HTTP client without a credential or a redirect, in little time, a
few new ones a minute and connection, and kept for an hour. A copy that is older still serves while
no newer one can be had: whether it is valid is checked with every message.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from functools import cache, partial

import certifi
import structlog
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from msgspec import Struct

from amends.engine.config import ConnectionConfig
from amends.engine.http import FETCHED_MAX, Transport
from amends.engine.once import Once
from amends.gateways.spec import Failure, Request, Response, Trust
from amends.kernel.time import HOUR, MINUTE, Clock, Instant

log = structlog.get_logger()

FETCH_SECONDS = 4  # senders wait about ten for our answer
FRESH = 1 * HOUR
KEPT_MAX = 32  # addresses; PayPal uses one at a time
NEW_A_MINUTE = 6  # addresses not seen before, per connection

_PEM = b"-----BEGIN CERTIFICATE-----"
_BLOCK = re.compile(_PEM + b".+?-----END CERTIFICATE-----", re.DOTALL)


class CertificateAway(Exception):
    """A certificate cannot be had now, by no fault of the message; the sentence says why."""


class _Kept(Struct, frozen=True):
    chain: bytes
    since: Instant  # of the monotonic clock


class Certificates:
    """What one process has fetched."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport, self._clock = transport, clock
        self._kept: dict[str, _Kept] = {}  # the longest fetched first
        self._new: dict[str, list[Instant]] = {}  # per connection: when, in the last minute
        self._once: Once[str, _Kept | str | None] = Once()
        # By connection: "fetched", "absent" (none at that address), "away" (not to be had now).
        self.counted: Counter[tuple[str, str]] = Counter()

    async def trust(self, connection: ConnectionConfig, url: str) -> Trust | None:
        """The chain at `url` and the roots it must lead to; None if there is no certificate at that
        address. Raises CertificateAway."""
        kept = self._kept.get(url)
        if kept is None or self._clock.monotonic() - kept.since > FRESH:
            found = await self._once.do(url, partial(self._renew, connection, url, kept))
            if isinstance(found, str):
                raise CertificateAway(found)
            kept = found
        return Trust(url, kept.chain, anchors(connection)) if kept else None

    async def _renew(
        self, connection: ConnectionConfig, url: str, old: _Kept | None
    ) -> _Kept | str | None:
        """The chain as it is now, or why it cannot be had (told to all who wait), or None."""
        now = self._clock.monotonic()
        try:
            if old is None:
                self._count(connection.name, now)
            chain = await self._fetch(connection, url)
        except CertificateAway as error:
            self.counted[connection.name, "away"] += 1
            if old is None:
                return str(error)
            log.warning("an older certificate serves on", url=url, reason=str(error))
            return self._keep(url, _Kept(old.chain, now - FRESH + MINUTE))
        self.counted[connection.name, "fetched" if chain else "absent"] += 1
        if not chain:
            self._kept.pop(url, None)
            return None
        return self._keep(url, _Kept(chain, now))

    def _keep(self, url: str, kept: _Kept) -> _Kept:
        self._kept.pop(url, None)
        if len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[url] = kept
        return kept

    def _count(self, connection: str, now: Instant) -> None:
        """Raises CertificateAway where strangers name more addresses than the party ever uses."""
        recent = [at for at in self._new.get(connection, ()) if now - at < MINUTE]
        if len(recent) >= NEW_A_MINUTE:
            raise CertificateAway("too many new addresses of certificates within a minute")
        self._new[connection] = [*recent, now]

    async def _fetch(self, connection: ConnectionConfig, url: str) -> bytes:
        """The PEM at `url`, b"" if its party says that there is none. Raises CertificateAway."""
        base = connection.settings.base_url  # a look-alike's may be on this machine
        configured = bool(base) and url.startswith(f"{base}/")
        request = Request("GET", url, from_message=not configured)
        result = await self._transport.send(request, FETCH_SECONDS)
        if isinstance(result, Failure):
            raise CertificateAway(result.reason)
        if result.status in (400, 404, 410):
            return b""
        return _pem(result)


def _pem(result: Response) -> bytes:
    if result.status != 200:
        raise CertificateAway(f"HTTP {result.status}")
    if len(result.body) > FETCHED_MAX or _PEM not in result.body:
        raise CertificateAway("the answer is no certificate")
    return result.body


def anchors(connection: ConnectionConfig) -> bytes:
    """The PEM of the roots a certificate must lead to: those of certifi, which is Mozilla's list,
    unless the connection names its own."""
    return connection.trust_anchors or _roots()


@cache
def _roots() -> bytes:
    """Without those the library cannot read: a later one will refuse a few with old-fashioned
    serial numbers, and one of them would make the whole list unreadable."""
    return b"\n\n".join(pem for pem in _BLOCK.findall(certifi.contents().encode()) if _is_read(pem))


def _is_read(pem: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            x509.load_pem_x509_certificate(pem)
        except ValueError:
            return False
    return True
