"""Webhooks in: verify, read, store and decide in one transaction, then say so.

The body is not parsed before its signature holds. A message is on disk, and its facts are decided,
before the 2xx; one whose order is not known yet is kept and folded when the order comes (I9, I13).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from amends.core.facts import Addressed, OrderReported, RefundRequested
from amends.core.reasons import Reason, Refused
from amends.engine.actions import note_apart, person_apart, quoted_fact
from amends.engine.asks import Ask, Told
from amends.engine.certificates import CertificateAway
from amends.engine.config import ConnectionConfig
from amends.engine.wiring import Engine
from amends.gateways.registry import CERTIFIED, COMPLETES, HEARING, PINGS, PROVIDERS
from amends.gateways.spec import (
    Failure,
    Genuine,
    Message,
    NotGenuine,
    Response,
    Settings,
    Unreadable,
)
from amends.kernel.outcome import NotSent
from amends.store.spec import Inbound, NoteText, Person

COMPLETE_SECONDS = 3  # Shopify waits five for our answer
COMPLETE_REQUESTS = 3  # of one message


async def receive(engine: Engine, connection: str, raw: bytes, headers: Mapping[str, str]) -> Told:
    """Take one webhook in. `headers` in lower case. Raises Refused (unknown connection, signature,
    certificate, what it leaves out, mode, malformed) and StoreUnavailable; then nothing is
    acknowledged."""
    known = engine.connections.get(connection)
    if known is None:
        raise Refused(Reason.UNKNOWN_CONNECTION)
    settings = known.settings
    pings = PINGS.get(settings.gateway)
    if pings is not None and pings.ping(raw, headers):
        return Told()  # nothing is believed and nothing stored
    verdict = await _verify(engine, known, raw, headers)
    if isinstance(verdict, NotGenuine):
        raise Refused(Reason.SIGNATURE_INVALID, f"Signature refused: {verdict.reason}.")
    whole = await _completed(engine, settings, raw, headers)
    try:
        message = HEARING[settings.gateway].read(whole, headers, settings)
    except Unreadable as error:
        raise Refused(Reason.MALFORMED, f"The message cannot be read: {error}") from None
    _check_mode(message, settings)
    _check_texts(message, raw)
    row = Inbound(
        connection=connection,
        message=message.id,
        at=engine.clock.now(),
        type=message.type,
        state="done",
        actor=f"connection:{connection}",
        raw=raw,
    )
    facts, people, notes = await _apart(engine, message.facts)
    future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
    ask = Ask(facts, row.actor, future, message=row, people=people, notes=notes)
    told = await engine.turner.submit(ask)
    for result in told.results:
        if result.refused is not None and result.order is None:
            raise Refused(result.refused.reason, result.refused.detail, **result.refused.extra)
    return told


async def _verify(
    engine: Engine, connection: ConnectionConfig, raw: bytes, headers: Mapping[str, str]
) -> Genuine | NotGenuine:
    """The verdict of the connection's gateway, with the certificate the message names if its party
    signs by one. Raises Refused(CERTIFICATE_AWAY): it cannot be said now."""
    settings, now = connection.settings, engine.clock.now()
    certified = CERTIFIED.get(settings.gateway)
    if certified is None:
        gateway = HEARING.get(settings.gateway)
        if gateway is None:
            return NotGenuine("this connection sends no webhooks")
        return gateway.verify(raw, headers, settings.webhook_secrets, now)
    url = certified.certificate_url(headers, settings)
    try:
        trust = await engine.certificates.trust(connection, url) if url else None
    except CertificateAway as error:
        detail = f"The certificate of the message cannot be had now: {error}. Send it again later."
        raise Refused(Reason.CERTIFICATE_AWAY, detail) from None
    return certified.verify(raw, headers, settings.webhook_secrets, now, trust)


async def _completed(
    engine: Engine, settings: Settings, raw: bytes, headers: Mapping[str, str]
) -> bytes:
    """The message with what it leaves out, asked of its sender. Raises Refused(SENDER_AWAY)."""
    completes = COMPLETES.get(settings.gateway)
    if completes is None:
        return raw
    talk = completes.complete(raw, headers, settings)
    answer: Response | Failure | None = None
    for _ in range(COMPLETE_REQUESTS):
        try:
            request = next(talk) if answer is None else talk.send(answer)
        except StopIteration as end:
            found: bytes | NotSent = end.value
            if isinstance(found, bytes):
                return found
            raise Refused(Reason.SENDER_AWAY, f"{found.reason}. Send it again later.") from None
        answer = await engine.transport.send(request, COMPLETE_SECONDS)
    talk.close()
    raise Refused(Reason.SENDER_AWAY)


async def _apart(
    engine: Engine, facts: tuple[Addressed, ...]
) -> tuple[tuple[Addressed, ...], tuple[Person, ...], tuple[NoteText, ...]]:
    """The facts without what must not be in them (I15), and with the order of a quote they name.
    Raises Refused(UNKNOWN_QUOTE)."""
    kept: list[Addressed] = []
    people: tuple[Person, ...] = ()
    notes: tuple[NoteText, ...] = ()
    for item in facts:
        fact = item.fact
        if isinstance(fact, OrderReported):
            bare, found = person_apart(engine, fact)
            item, people = replace(item, fact=bare), (*people, *found)
        elif isinstance(fact, RefundRequested):
            if fact.request.quote is not None:
                order, fact = await quoted_fact(engine, fact.request)
                item = replace(item, order=order)
            item, texts = note_apart(engine, item, fact)
            notes = (*notes, *texts)
        kept.append(item)
    return tuple(kept), people, notes


def _check_texts(message: Message, raw: bytes) -> None:
    """Databases end text at U+0000, and the whole batch would hear of it."""
    if b"\\u0000" in raw:
        said = msgspec.json.encode([message.id, message.type, message.facts])
        if "\0" in "".join(_texts(msgspec.json.decode(said))):
            raise Refused(Reason.MALFORMED, "The message holds the character U+0000.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in value.items() for text in _texts(item))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in _texts(item))


def _check_mode(message: Message, settings: Settings) -> None:
    provider = PROVIDERS.get(settings.gateway)
    expected = provider.live(settings) if provider else None
    if None not in (expected, message.live) and expected != message.live:
        raise Refused(Reason.WRONG_MODE)
