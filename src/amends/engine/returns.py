"""Goods that are to come back, as a person or a program tells of them: what becomes of a return
from its authorization to its inspection. A shop tells the same by its webhooks."""

from __future__ import annotations

from typing import Any

import msgspec

from amends.core.facts import (
    Addressed,
    Fact,
    ReturnAuthorized,
    ReturnCancelled,
    ReturnInspected,
    ReturnReceived,
    ReturnShipped,
)
from amends.core.order import Order
from amends.core.orders import order_id
from amends.core.outlets import Goods
from amends.core.reasons import Reason, Refused
from amends.core.requests import LinePick, OrderKey
from amends.engine.actions import Caller, ask_of
from amends.engine.asks import Told
from amends.engine.views import return_view, returns_of
from amends.engine.wiring import Engine


def named(order: str | OrderKey) -> str:
    """Our id of an order that is named by it, or as its shop does."""
    return order if isinstance(order, str) else order_id(order)


async def authorize(
    engine: Engine, caller: Caller, order: str, return_id: str, lines: tuple[LinePick, ...]
) -> Told:
    """The customer may send these back."""
    plain = {"order": order, "lines": msgspec.to_builtins(lines)}
    return await _submit(engine, caller, order, ReturnAuthorized(return_id, lines), plain)


async def ship(engine: Engine, caller: Caller, order: str, return_id: str) -> Told:
    """A carrier has the parcel. Raises Refused, as all of these do where there is no such
    return."""
    await _check(engine, order, return_id)
    return await _submit(engine, caller, order, ReturnShipped(return_id))


async def receive(
    engine: Engine,
    caller: Caller,
    order: str,
    return_id: str,
    lines: tuple[LinePick, ...] = (),
    inspect: bool = False,
) -> Told:
    """Goods are here: those that are named, also of a return that nobody authorized; or all that
    was authorized."""
    if not lines:
        await _check(engine, order, return_id)
    fact = ReturnReceived(lines, return_id, inspect)
    plain = {"lines": msgspec.to_builtins(lines), "inspect": inspect}
    return await _submit(engine, caller, order, fact, plain)


async def inspect(
    engine: Engine, caller: Caller, order: str, return_id: str, goods: tuple[Goods, ...]
) -> Told:
    """Somebody has looked at them, and says what becomes of each."""
    await _check(engine, order, return_id)
    plain = {"goods": msgspec.to_builtins(goods)}
    return await _submit(engine, caller, order, ReturnInspected(return_id, goods), plain)


async def cancel(engine: Engine, caller: Caller, order: str, return_id: str) -> Told:
    """Nothing of it will come that is not here yet."""
    await _check(engine, order, return_id)
    return await _submit(engine, caller, order, ReturnCancelled(return_id))


async def read(engine: Engine, order: str, return_id: str) -> dict[str, Any]:
    """One return. Raises Refused."""
    return return_view(await _order(engine, order), return_id)


async def page(engine: Engine, order: str) -> dict[str, Any]:
    """All returns of an order, as they were told of. Raises Refused(UNKNOWN_ORDER)."""
    found = await _order(engine, order)
    return {"items": [return_view(found, name) for name in returns_of(found)], "next": None}


async def _order(engine: Engine, order: str) -> Order:
    found = await engine.store.order(order)
    if found is None:
        raise Refused(Reason.UNKNOWN_ORDER)
    return found


async def _check(engine: Engine, order: str, return_id: str) -> None:
    """Returns are never taken away, so that one looked for before the turn is there in it; of a
    parked order what is kept is not known yet."""
    found = await _order(engine, order)
    if not found.parked and return_id not in returns_of(found):
        raise Refused(Reason.UNKNOWN_RETURN)


async def _submit(
    engine: Engine, caller: Caller, order: str, fact: Fact, more: dict[str, Any] | None = None
) -> Told:
    plain = {"order": order, "what": type(fact).__name__, **(more or {})}
    return await engine.turner.submit(ask_of(caller, (Addressed(fact, order=order),), plain))
