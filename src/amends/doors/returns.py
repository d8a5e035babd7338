"""Returns over REST: goods that are to come back, from their authorization to their inspection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from amends.core.outlets import Goods
from amends.core.reasons import Reason, Refused
from amends.doors import shapes, shapes_goods
from amends.doors.calls import Asked, Call, Query, decode, fine, finish
from amends.doors.pages import FILTER, filters, identifier
from amends.doors.problems import problem, refuse
from amends.engine import returns
from amends.engine.asks import Rendered, Result
from amends.engine.views import parked_return_view, return_view

_NEW = msgspec.json.Decoder(shapes_goods.ReturnIn)
_OF_ORDER = msgspec.json.Decoder(shapes_goods.OfOrderIn)
_RECEIVE = msgspec.json.Decoder(shapes_goods.ReceiveIn)
_INSPECT = msgspec.json.Decoder(shapes_goods.InspectIn)


def _render(
    return_id: str, status: int, never: tuple[str, ...] = ()
) -> Callable[[Result], Rendered]:
    """Makes the answer; in a state of `never` what was asked has not been done."""

    def render(result: Result) -> Rendered:
        if result.refused is not None:
            return problem(result.refused)
        if result.order is None:
            return refuse(Reason.UNKNOWN_ORDER)
        if result.parked:
            return fine(parked_return_view(result.order, return_id), status)
        view = return_view(result.order, return_id)
        if view["state"] in never:
            return refuse(Reason.WRONG_STATE, f"The return is {view['state']}.")
        return fine(view, status)

    return render


async def authorize(asked: Asked) -> Rendered:
    said = decode(_NEW, asked.body)
    name = said.return_id or f"ret_{asked.engine.new_id()}"
    caller, order = asked.caller(_render(name, 201)), returns.named(said.order)
    return finish(await returns.authorize(asked.engine, caller, order, name, said.lines))


async def ship(asked: Asked) -> Rendered:
    name, said = _name(asked), decode(_OF_ORDER, asked.body)
    caller = asked.caller(_render(name, 200, ("cancelled",)))
    return finish(await returns.ship(asked.engine, caller, returns.named(said.order), name))


async def cancel(asked: Asked) -> Rendered:
    name, said = _name(asked), decode(_OF_ORDER, asked.body)
    caller = asked.caller(_render(name, 200, ("received", "inspected")))
    return finish(await returns.cancel(asked.engine, caller, returns.named(said.order), name))


async def receive(asked: Asked) -> Rendered:
    name, said = _name(asked), decode(_RECEIVE, asked.body)
    caller, order = asked.caller(_render(name, 200)), returns.named(said.order)
    words = (order, name, said.lines, said.inspect)
    return finish(await returns.receive(asked.engine, caller, *words))


async def inspect(asked: Asked) -> Rendered:
    name, said = _name(asked), decode(_INSPECT, asked.body)
    for index, one in enumerate(said.lines):
        if (one.id is None) == (one.sku is None):
            pointer = f"/lines/{index}"
            raise Refused(Reason.VALIDATION, "Name the line or its SKU, one.", pointer=pointer)
    goods = tuple(
        Goods(one.id or "", one.sku or "", one.quantity, one.disposition, one.location)
        for one in said.lines
    )
    caller, order = asked.caller(_render(name, 200)), returns.named(said.order)
    return finish(await returns.inspect(asked.engine, caller, order, name, goods))


async def read(asked: Asked) -> Rendered:
    return fine(await returns.read(asked.engine, _order(asked), _name(asked)))


async def page(asked: Asked) -> Rendered:
    return fine(await returns.page(asked.engine, _order(asked)))


def _name(asked: Asked) -> str:
    return identifier(asked.path["return"], Reason.UNKNOWN_RETURN)


def _order(asked: Asked) -> str:
    if "order" not in asked.query:
        raise Refused(Reason.VALIDATION, "Say of which order.", parameter="order")
    return identifier(filters(asked.query)["order"], Reason.UNKNOWN_ORDER)


_ORDER = (Query("order", "The order it is of.", FILTER, required=True),)
_KEY = (Reason.IDEMPOTENCY_KEY_MISSING, Reason.IDEMPOTENCY_MISMATCH)
_ACTED = (Reason.UNKNOWN_ORDER, Reason.UNKNOWN_RETURN, *_KEY)


def _action(
    name: str,
    words: str,
    run: Callable[[Asked], Awaitable[Rendered]],
    body: type,
    *more: Reason,
) -> Call:
    return Call(
        f"{name}Return",
        "POST",
        f"/v1/returns/{{return}}/{name}",
        words,
        run,
        scopes=("refunds:write",),
        body=body,
        key="optional",
        answers={200: shapes_goods.Return},
        refusals=(*_ACTED, *more),
    )


CALLS = (
    Call(
        "authorizeReturn",
        "POST",
        "/v1/returns",
        "The customer may send units of an order back.",
        authorize,
        scopes=("refunds:write",),
        body=shapes_goods.ReturnIn,
        key="required",
        answers={201: shapes_goods.Return},
        refusals=(Reason.UNKNOWN_ORDER, Reason.UNKNOWN_LINE, Reason.EXCEEDS_QUANTITY, *_KEY),
    ),
    Call(
        "listReturns",
        "GET",
        "/v1/returns",
        "The returns of an order.",
        page,
        scopes=shapes.READ,
        query=_ORDER,
        answers={200: shapes_goods.ReturnPage},
        refusals=(Reason.UNKNOWN_ORDER,),
    ),
    Call(
        "readReturn",
        "GET",
        "/v1/returns/{return}",
        "One return.",
        read,
        scopes=shapes.READ,
        query=_ORDER,
        answers={200: shapes_goods.Return},
        refusals=(Reason.UNKNOWN_ORDER, Reason.UNKNOWN_RETURN),
    ),
    _action(
        *("ship", "A carrier scanned its parcel.", ship, shapes_goods.OfOrderIn),
        Reason.WRONG_STATE,
    ),
    _action(
        *("receive", "Goods came back: as named, or all of it.", receive, shapes_goods.ReceiveIn),
    ),
    _action(
        *("inspect", "What becomes of what came back.", inspect, shapes_goods.InspectIn),
        Reason.EXCEEDS_QUANTITY,
    ),
    _action(
        *("cancel", "Nothing of it will come.", cancel, shapes_goods.OfOrderIn),
        Reason.WRONG_STATE,
    ),
)
