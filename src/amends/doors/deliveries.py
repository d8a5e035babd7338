"""What others are told, over REST: the list, telling again, giving up."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from amends.core.outlets import KINDS
from amends.core.reasons import Reason, Refused
from amends.doors import shapes, shapes_goods
from amends.doors.calls import Asked, Call, Query, fine
from amends.doors.pages import (
    FILTER,
    PAGE,
    cursor,
    cursor_of_this_list,
    filters,
    identifier,
    limit,
)
from amends.engine import tellings
from amends.engine.asks import Rendered
from amends.store.outbox_spec import State

STATES = ("open", "done", "stuck", "dropped")


async def page(asked: Asked) -> Rendered:
    wanted = filters(asked.query)
    for name, allowed in (("state", STATES), ("kind", KINDS)):
        if wanted.get(name, allowed[0]) not in allowed:
            detail = f"{name} is one of {', '.join(allowed)}."
            raise Refused(Reason.VALIDATION, detail, parameter=name)
    at, many = cursor(asked.query), limit(asked.query)
    with cursor_of_this_list():
        return fine(await tellings.page(asked.engine, wanted, at, many))


def number_of(text: str) -> int:
    """The number of a delivery. Raises Refused for what cannot be one."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise Refused(Reason.NOT_FOUND, "There is no such delivery.")
    return int(text)


def _moving(to: State) -> Callable[[Asked], Awaitable[Rendered]]:
    async def run(asked: Asked) -> Rendered:
        order = identifier(asked.path["order"], Reason.NOT_FOUND)
        number = number_of(asked.path["number"])
        return fine(await tellings.move(asked.engine, asked.actor, order, number, to))

    return run


def _move(name: str, words: str, to: State) -> Call:
    return Call(
        f"{name}Delivery",
        "POST",
        f"/v1/deliveries/{{order}}/{{number}}/{name}",
        words,
        _moving(to),
        scopes=("refunds:approve",),
        answers={200: shapes_goods.Told},
        refusals=(Reason.NOT_FOUND, Reason.WRONG_STATE),
    )


CALLS = (
    Call(
        "listDeliveries",
        "GET",
        "/v1/deliveries",
        "What others are told, newest first: a page.",
        page,
        scopes=shapes.READ,
        query=(
            *PAGE,
            Query("order", "Only of this order.", FILTER),
            Query("connection", "Only to this connection.", FILTER),
            Query("state", "Only in this state.", {"type": "string", "enum": list(STATES)}),
            Query("kind", "Only of this kind.", {"type": "string", "enum": list(KINDS)}),
        ),
        answers={200: shapes_goods.ToldPage},
        refusals=(Reason.NOT_FOUND,),
    ),
    _move("retry", "Tell it again: one that is stuck, given up, or done.", "open"),
    _move("drop", "Give up one that is open or stuck; what comes after it goes on.", "dropped"),
)
