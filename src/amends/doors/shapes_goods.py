"""The shapes of goods that come back, of what others are told, and of stock."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from amends.core.goods import ReturnState
from amends.core.outlets import Disposition
from amends.core.requests import LinePick, Name, OrderKey, Quantity
from amends.doors.shapes_told import When

ReturnName = Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,255}$")]
Picks = Annotated[tuple[LinePick, ...], Meta(max_length=1000)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class ReturnIn(_Body, frozen=True):
    """`POST /v1/returns`: the customer may send these back. Without `return_id` we name it."""

    order: Name | OrderKey
    lines: Annotated[tuple[LinePick, ...], Meta(min_length=1, max_length=1000)]
    return_id: ReturnName | None = None


class OfOrderIn(_Body, frozen=True):
    """Of which order a return is."""

    order: Name | OrderKey


class ReceiveIn(_Body, frozen=True):
    """What came: units by line, or by SKU; without `lines` all that was authorized. `inspect`:
    somebody is to look at it before it counts as stock."""

    order: Name | OrderKey
    lines: Picks = ()
    inspect: bool = False


class InspectedIn(_Body, frozen=True):
    """Units of a line (`id`) or of an article (`sku`), and what becomes of them where."""

    quantity: Quantity
    id: Name | None = None
    sku: Name | None = None
    disposition: Disposition = "restock"
    location: Annotated[str, Meta(max_length=255)] = ""


class InspectIn(_Body, frozen=True):
    """What becomes of units that came back and wait to be looked at."""

    order: Name | OrderKey
    lines: Annotated[tuple[InspectedIn, ...], Meta(min_length=1, max_length=1000)]


class Units(msgspec.Struct):
    """Units of a line."""

    id: str
    quantity: int


class Return(msgspec.Struct):
    """Goods that are to come back, or did: what was authorized, what came, and what of it waits to
    be looked at. `at` is since when it is in its state."""

    id: str
    order: str
    state: ReturnState | Literal["parked"]
    at: When | None
    lines: list[Units]
    received: list[Units]
    to_inspect: list[Units]


class ReturnPage(msgspec.Struct):
    """All of an order."""

    items: list[Return]
    next: str | None


class CancelledLine(msgspec.Struct):
    """Units of a line that the shop has cancelled, and `restocked` of them."""

    id: str
    quantity: int
    restocked: int


class ShopRefund(msgspec.Struct):
    """A refund as the shop has it: one of ours that it recorded, or one it made itself; `refund` is
    ours."""

    id: str
    amount: int
    by: Literal["amends", "shop"]
    refund: str | None


class Told(msgspec.Struct):
    """One telling to one connection. `reference` is what came of it there, `detail` why it is not
    done yet."""

    order: str
    number: int
    connection: str
    kind: str
    key: str
    state: Literal["open", "done", "stuck", "dropped"]
    attempts: int
    at: When
    ended_at: When | None
    reference: str | None
    detail: str | None


class ToldPage(msgspec.Struct):
    """A page."""

    items: list[Told]
    next: str | None


class CountIn(_Body, frozen=True):
    """Units of an article that were found at a location since the count before."""

    sku: Name
    units: Annotated[int, Meta(ge=0, le=1_000_000_000)]
    location: Annotated[str, Meta(max_length=255)] = ""


class CountsIn(_Body, frozen=True):
    """What was counted `at` an instant. What is said of an article and a place is added up,
    and taken in once for an instant, so that a repeat changes nothing."""

    at: Annotated[str, Meta(max_length=40)]
    counts: Annotated[tuple[CountIn, ...], Meta(min_length=1, max_length=1000)]


class CountsTaken(msgspec.Struct):
    """How many counts were new."""

    new: int


class Shelf(msgspec.Struct):
    """Units of an article at a location: booked back, counted (null: nobody did), and `ghost`: how
    many of those that were booked back are not there (less than 0: more are there)."""

    sku: str
    location: str
    booked: int
    counted: int | None
    ghost: int | None


class StockReport(msgspec.Struct):
    """By article and location."""

    items: list[Shelf]
