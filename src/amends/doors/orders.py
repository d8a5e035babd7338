"""Orders over REST: report, read, list, unpark."""

from __future__ import annotations

import msgspec

from amends.core.reasons import Reason
from amends.core.requests import OrderIn
from amends.doors import shapes
from amends.doors.calls import Asked, Call, decode, fine, finish
from amends.doors.pages import PAGE, cursor, cursor_of_this_list, identifier, limit
from amends.doors.problems import problem, refuse
from amends.engine import actions, queries
from amends.engine.asks import Rendered, Result
from amends.engine.views import order_view

_ORDER = msgspec.json.Decoder(OrderIn)
_UNPARK = msgspec.json.Decoder(shapes.UnparkIn)


def reported(result: Result) -> Rendered:
    """The answer to a report: 201 for a new order, 200 for one that was known."""
    if result.refused is not None:
        return problem(result.refused)
    if result.order is None:
        return refuse(Reason.UNKNOWN_ORDER)
    return fine(order_view(result.order), 201 if result.created else 200)


async def report(asked: Asked) -> Rendered:
    order = decode(_ORDER, asked.body)
    return finish(await actions.report_order(asked.engine, asked.caller(reported), order))


async def read(asked: Asked) -> Rendered:
    order = identifier(asked.path["order"], Reason.UNKNOWN_ORDER)
    return fine(await queries.order(asked.engine, order))


async def page(asked: Asked) -> Rendered:
    with cursor_of_this_list():
        found = await queries.orders(asked.engine, cursor(asked.query), limit(asked.query))
    return fine(found)


async def unpark(asked: Asked) -> Rendered:
    order = identifier(asked.path["order"], Reason.UNKNOWN_ORDER)
    why = decode(_UNPARK, asked.body).why if asked.body else ""
    told = await actions.unpark(asked.engine, asked.caller(reported), order, why)
    return finish(told)


CALLS = (
    Call(
        "reportOrder",
        "POST",
        "/v1/orders",
        "Record an order, or a newer version of it. A repeat or an older version changes nothing.",
        report,
        scopes=("orders:write",),
        body=OrderIn,
        key="optional",
        answers={201: shapes.Order, 200: shapes.Order},
        refusals=(
            *(Reason.UNKNOWN_CONNECTION, Reason.PAYMENT_TAKEN, Reason.ORDER_CONFLICT),
            Reason.UNKNOWN_CURRENCY,
            *(Reason.NO_RATE, Reason.IDEMPOTENCY_MISMATCH, Reason.IDEMPOTENCY_KEY_MISSING),
            *(Reason.DISCOUNTS_OFF, Reason.TAXES_OFF, Reason.TOTAL_OFF, Reason.TENDERS_OFF),
            *(
                Reason.BAD_PERIOD,
                Reason.SELLERS_OFF,
                Reason.UNKNOWN_SELLER,
                Reason.SPLIT_NOT_POSSIBLE,
            ),
            Reason.UNKNOWN_LINE,
        ),
    ),
    Call(
        "listOrders",
        "GET",
        "/v1/orders",
        "Orders, newest first: a page.",
        page,
        scopes=shapes.READ,
        query=PAGE,
        refusals=(Reason.NOT_FOUND,),
        answers={200: shapes.OrderPage},
    ),
    Call(
        "readOrder",
        "GET",
        "/v1/orders/{order}",
        "One order with its payments and refunds.",
        read,
        scopes=shapes.READ,
        answers={200: shapes.Order},
        refusals=(Reason.UNKNOWN_ORDER,),
    ),
    Call(
        "unparkOrder",
        "POST",
        "/v1/orders/{order}/unpark",
        "Let a parked order go on; what was kept meanwhile is decided in order.",
        unpark,
        scopes=("admin",),
        body=shapes.UnparkIn,
        body_required=False,
        key="optional",
        answers={200: shapes.Order},
        refusals=(
            *(Reason.UNKNOWN_ORDER, Reason.WRONG_STATE, Reason.IDEMPOTENCY_MISMATCH),
            Reason.IDEMPOTENCY_KEY_MISSING,
        ),
    ),
)
