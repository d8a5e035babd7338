"""Webhooks in: verify, read, store and decide in one transaction, then say so.

The body is not parsed before its signature holds. A message is on disk, and its facts are decided,
before the 2xx; one whose order is not known yet is kept and folded when the order comes (I9, I13).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from amends.core.reasons import Reason, Refused
from amends.engine.asks import Ask, Told
from amends.engine.wiring import Engine
from amends.gateways.registry import HEARING, PROVIDERS
from amends.gateways.spec import Message, NotGenuine, Settings, Unreadable
from amends.store.spec import Inbound


async def receive(engine: Engine, connection: str, raw: bytes, headers: Mapping[str, str]) -> Told:
    """Take one webhook in. `headers` in lower case. Raises Refused (unknown connection, signature,
    mode, malformed) and StoreUnavailable; nothing is acknowledged then."""
    known = engine.connections.get(connection)
    if known is None:
        raise Refused(Reason.UNKNOWN_CONNECTION)
    settings = known.settings
    gateway = HEARING[settings.gateway]
    verdict = gateway.verify(raw, headers, settings.webhook_secrets, engine.clock.now())
    if isinstance(verdict, NotGenuine):
        raise Refused(Reason.SIGNATURE_INVALID, f"Signature refused: {verdict.reason}.")
    try:
        message = gateway.read(raw, headers, settings)
    except Unreadable as error:
        raise Refused(Reason.MALFORMED, f"The message cannot be read: {error}") from None
    _check_mode(message, settings)
    row = Inbound(
        connection=connection,
        message=message.id,
        at=engine.clock.now(),
        type=message.type,
        state="done",
        actor=f"connection:{connection}",
        raw=raw,
    )
    future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
    told = await engine.turner.submit(Ask(message.facts, row.actor, future, message=row))
    for result in told.results:
        if result.refused is not None and result.order is None:
            raise Refused(result.refused.reason, result.refused.detail, **result.refused.extra)
    return told


def _check_mode(message: Message, settings: Settings) -> None:
    provider = PROVIDERS.get(settings.gateway)
    expected = provider.live(settings) if provider else None
    if None not in (expected, message.live) and expected != message.live:
        raise Refused(Reason.WRONG_MODE)
