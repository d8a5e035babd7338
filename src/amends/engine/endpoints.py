"""Which subscribers' endpoints are disabled: a setting each, so that all processes stop sending to
one that is gone, a restart does not begin again, and a person says when it goes on."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from amends.core.events import Event, EventType, link
from amends.engine.notify import Health
from amends.kernel.time import Instant
from amends.store.records import Head
from amends.store.spec import Store

PREFIX = "endpoint."
BY = "system:outbox"
_HEALTH = msgspec.json.Decoder(Health)


async def disabled(store: Store) -> dict[str, Health]:
    """Those that are, by name."""
    said = await store.settings()
    names = [key for key in said if key.startswith(PREFIX) and said[key]]
    return {key.removeprefix(PREFIX): _HEALTH.decode(said[key]) for key in names}


async def disable(store: Store, new_id: Callable[[], str], health: Health) -> None:
    """It was disabled here."""
    value = msgspec.json.encode(health).decode()
    await _set(store, new_id, health.connection, value, "disabled", health.disabled_at, BY)


async def enable(
    store: Store, new_id: Callable[[], str], name: str, now: Instant, actor: str
) -> bool:
    """Whether it was disabled."""
    if name not in await disabled(store):
        return False
    return await _set(store, new_id, name, "", "enabled", now, actor)


async def _set(
    store: Store,
    new_id: Callable[[], str],
    name: str,
    value: str,
    state: str,
    now: Instant,
    actor: str,
) -> bool:
    key, body = PREFIX + name, {"key": PREFIX + name, "value": state}

    def make(head: Head) -> Event:
        what: EventType = "setting.changed"
        return link(head.stream, head.seq + 1, head.hash, now, what, actor, new_id(), "", body)

    return await store.set_setting(key, value, now, actor, make) is not None
