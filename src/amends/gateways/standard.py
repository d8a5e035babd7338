"""Shops, and anything else that sends Standard Webhooks (standardwebhooks.com, spec 1.0.0).

The body is `{"type", "timestamp", "data"}`. Types understood, and their `data`:

- `order.created`, `order.updated`: an order as in `POST /v1/orders`; `source.connection` may be
  left out and must be this connection.
- `order.cancelled`: `{"order", "reason"?}`.
- `order.lines_cancelled`: `{"order", "lines": [{"id", "quantity", "back"?}], "reason"?}`: how many
  units of a line were cancelled so far, all told; `back` of them had left and are in stock again.
- `refund.requested`: a refund as in `POST /v1/refunds`.
- `refund.created`: one that the shop made: `{"order", "refund_id", "amount", "currency",
  "psp_refund_id"?, "mark"?, "lines"?: [{"id", "quantity", "amount"?, "back"?}]}`; `mark` is the id
  of ours that it is the echo of.
- `inventory.unavailable`: `{"order", "lines": [{"id", "quantity"}]}`.
- `inventory.out_of_stock`: `{"sku", "order_ids": […]}`: nothing more of a SKU leaves for these.
- `return.authorized`: `{"order", "return_id", "lines": [{"id" or "sku", "quantity"}]}`.
- `return.shipped`, `return.cancelled`: `{"order", "return_id"}`.
- `return.received`: `{"order", "return_id"?, "lines"?: [{"id" or "sku", "quantity"}]}`; no lines:
  all that was authorized. One `return_id` is taken up once.
- `return.inspected`: `{"order", "return_id", "lines": [{"id" or "sku", "quantity", "disposition",
  "location"?}]}`; a disposition is restock, quarantine, refurbish or write_off.
- `payment.captured`: `{"connection", "psp_payment_id", "amount", "authorized"?, "currency"?}`;
  `connection` is the payment provider's here, `amount` all that was captured so far.

`order` is our id (`ord_…`), the shop's id, or `{"order_id", "connection"?}`; `order_id`, which may
stand in its place, is always the shop's. Ids may be numbers. Other types have no facts. Orders and
refunds refuse fields they do not know, since money hangs on a misspelt one; the others ignore them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta

from amends.core.facts import (
    Addressed,
    CancelledLine,
    Fact,
    LinesCancelled,
    LinesUnavailable,
    OrderCancelled,
    OrderReported,
    PaymentReported,
    RefundedLine,
    RefundMade,
    RefundRequested,
    ReturnAuthorized,
    ReturnCancelled,
    ReturnInspected,
    ReturnReceived,
    ReturnShipped,
)
from amends.core.outlets import Disposition, Goods
from amends.core.requests import (
    Amount,
    CurrencyCode,
    LinePick,
    Name,
    OrderIn,
    OrderKey,
    Quantity,
    RefundIn,
    RefundReason,
    Text,
)
from amends.gateways.codecs import Json, Malformed, json_object, part, required_text, text
from amends.gateways.signatures import (
    header,
    recent,
    same,
    signed_seconds,
    unbase64,
    usable,
    webhook_key,
    webhook_signature,
    webhook_signed,
)
from amends.gateways.spec import (
    Capabilities,
    Genuine,
    Message,
    NotGenuine,
    Settings,
    Unreadable,
)
from amends.kernel.outcome import PaymentState
from amends.kernel.time import Instant, parse_rfc3339

__all__ = ["CAPABILITIES", "read", "sent_at", "verify"]

CAPABILITIES = Capabilities(name="standard", provider=False)

_PUBLIC_KEY_PREFIX = "whpk_"
_OURS = "ord_"
_REASONS: tuple[str, ...] = get_args(RefundReason)

T = TypeVar("T")


def verify(
    raw: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], now: Instant
) -> Genuine | NotGenuine:
    """Whether one of `secrets` signed `raw` within five minutes of `now`. Never raises.

    `webhook-signature` is a list of `v1,<base64 HMAC-SHA256>` and `v1a,<base64 Ed25519>` over
    `id.timestamp.body`; a secret is `whsec_` and base64, padded or not, a public key `whpk_` and
    base64. The `standardwebhooks` library is not used for this: it reads the machine's clock, fails
    on bodies that are not UTF-8, and knows no `v1a`.
    """
    name, stamp = header(headers, "webhook-id"), header(headers, "webhook-timestamp")
    offered = header(headers, "webhook-signature")
    if not (name and stamp and offered):
        return NotGenuine("webhook-id, webhook-timestamp or webhook-signature is missing")
    seconds = signed_seconds(stamp)
    if seconds is None:
        return NotGenuine("webhook-timestamp is not a number")
    signed = webhook_signed(name, stamp, raw)
    signatures = [item.partition(",") for item in offered.split(" ")]
    checks = [
        _holds(version, signature, secret, signed)
        for version, _, signature in signatures
        for secret in usable(secrets)
    ]
    if not any(checks):
        return NotGenuine("no signature matches a secret of this connection")
    if not recent(seconds, now):
        return NotGenuine("webhook-timestamp is more than five minutes off")
    return Genuine()


def _holds(version: str, signature: str, secret: str, signed: bytes) -> bool:
    if version == "v1a" and secret.startswith(_PUBLIC_KEY_PREFIX):
        return _ed25519_holds(signature, unbase64(secret.removeprefix(_PUBLIC_KEY_PREFIX)), signed)
    if version != "v1" or secret.startswith(_PUBLIC_KEY_PREFIX):
        return False
    key = webhook_key(secret)
    # As text, not decoded: several base64 texts stand for the same bytes, only one is the sender's.
    return bool(key) and same(webhook_signature(key, signed).rstrip("="), signature.rstrip("="))


def _ed25519_holds(signature: str, public_key: bytes, signed: bytes) -> bool:
    raw_signature = unbase64(signature)
    if len(public_key) != 32 or _base64(raw_signature) != signature.rstrip("="):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(raw_signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii").rstrip("=")


def read(raw: bytes, headers: Mapping[str, str], settings: Settings) -> Message:
    """The facts in a genuine message. Raises Unreadable, and nothing else."""
    try:
        body = json_object(raw)
        kind = required_text(body, "type")
        name = header(headers, "webhook-id")
        if not name:
            raise Malformed("webhook-id is missing")
        reader = _READERS.get(kind)
        facts = () if reader is None else _read_data(reader, kind, body, settings.name)
    except Malformed as error:
        raise Unreadable(str(error)) from error
    return Message(id=name, type=kind, facts=facts, sent_at=sent_at(body))


_Reader = Callable[[Json, str], "Addressed | tuple[Addressed, ...]"]


def _read_data(reader: _Reader, kind: str, body: Json, connection: str) -> tuple[Addressed, ...]:
    try:
        data = part(body, "data")
        if not data:
            raise Malformed("data is missing or not an object")
        found = reader(data, connection)
    except Malformed as error:
        raise Malformed(f"{kind}: {error}") from error
    return found if isinstance(found, tuple) else (found,)


def sent_at(body: Json) -> Instant:
    """The body's timestamp; 0 if it says none that can be read."""
    try:
        return max(0, parse_rfc3339(text(body, "timestamp")))
    except (ValueError, OverflowError):
        return 0


_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # an id that is a number


class _PickData(msgspec.Struct, frozen=True):
    """So many units of one line, beside whatever else the sender says of it."""

    id: Name | _Number
    quantity: Quantity


class _UnavailableData(msgspec.Struct, frozen=True):
    lines: Annotated[tuple[_PickData, ...], Meta(min_length=1, max_length=1000)]


class _OutOfStockData(msgspec.Struct, frozen=True):
    sku: Name
    order_ids: Annotated[tuple[Name | _Number, ...], Meta(min_length=1, max_length=1000)]


class _CancelledData(msgspec.Struct, frozen=True):
    id: Name | _Number
    quantity: Annotated[int, Meta(ge=0, le=1_000_000)]
    back: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class _LinesCancelledData(msgspec.Struct, frozen=True):
    lines: Annotated[tuple[_CancelledData, ...], Meta(min_length=1, max_length=1000)]


class _RefundedData(msgspec.Struct, frozen=True):
    id: Name | _Number
    quantity: Annotated[int, Meta(ge=0, le=1_000_000)]
    amount: Amount | None = None
    back: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class _RefundData(msgspec.Struct, frozen=True):
    refund_id: Name | _Number
    amount: Amount
    currency: CurrencyCode
    psp_refund_id: Text = ""
    mark: Text = ""
    lines: Annotated[tuple[_RefundedData, ...], Meta(max_length=1000)] = ()


class _BackData(msgspec.Struct, frozen=True):
    """Units that come back, of a line by its id or, where the sender knows no more, its SKU."""

    quantity: Quantity
    id: Name | _Number | None = None
    sku: Text = ""

    @property
    def name(self) -> str:
        found = self.sku if self.id is None else str(self.id)
        if not found:
            raise Malformed("a line has neither id nor sku")
        return found


class _InspectedData(_BackData, frozen=True, kw_only=True):
    disposition: Disposition
    location: Text = ""


class _ReturnData(msgspec.Struct, frozen=True):
    return_id: Text | _Number | None = None
    lines: Annotated[tuple[_BackData, ...], Meta(max_length=1000)] = ()

    @property
    def picks(self) -> tuple[LinePick, ...]:
        return tuple(LinePick(line.name, line.quantity) for line in self.lines)


class _NamedReturnData(msgspec.Struct, frozen=True):
    return_id: Name | _Number


class _InspectionData(msgspec.Struct, frozen=True):
    return_id: Name | _Number
    lines: Annotated[tuple[_InspectedData, ...], Meta(min_length=1, max_length=1000)]


class _CaptureData(msgspec.Struct, frozen=True):
    connection: Name
    psp_payment_id: Name
    amount: Amount
    authorized: Amount | None = None
    currency: CurrencyCode | None = None


def _converted(value: Any, shape: type[T]) -> T:
    """`value` as `shape`. Raises Malformed with the path of what is wrong."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise Malformed(str(error).replace("`$", "`data")) from error


def _order_reported(data: Json, connection: str) -> Addressed:
    source = {"connection": connection, **part(data, "source")}
    if source["connection"] != connection:
        raise Malformed(f"data.source.connection is not {connection!r}")
    order = _converted({**data, "source": source}, OrderIn)
    return Addressed(OrderReported(order), source=(connection, order.source.order_id))


def _order_cancelled(data: Json, connection: str) -> Addressed:
    reason = text(data, "reason")
    fact = OrderCancelled(reason) if reason in _REASONS else OrderCancelled()
    return _for_order(fact, data, connection)


def _lines_cancelled(data: Json, connection: str) -> Addressed:
    found = _converted(data, _LinesCancelledData).lines
    lines = tuple(CancelledLine(str(line.id), line.quantity, line.back) for line in found)
    reason = text(data, "reason")
    known: RefundReason = "cancelled"
    if reason in _REASONS:
        known = msgspec.convert(reason, RefundReason)
    return _for_order(LinesCancelled(lines, known), data, connection)


def _refund_made(data: Json, connection: str) -> Addressed:
    found = _converted(data, _RefundData)
    lines = tuple(
        RefundedLine(
            str(line.id), line.quantity, -1 if line.amount is None else line.amount, line.back
        )
        for line in found.lines
    )
    fact = RefundMade(
        refund=str(found.refund_id),
        amount=found.amount,
        currency=found.currency,
        mark=found.mark,
        psp_refund_id=found.psp_refund_id,
        lines=lines,
    )
    return _for_order(fact, data, connection)


def _refund_requested(data: Json, connection: str) -> Addressed:
    """The order, payment or quote it names. One that names only a quote has no address of its own:
    whoever keeps quotes knows the order."""
    named = [key for key in ("order", "payment", "quote") if data.get(key) is not None]
    if len(named) != 1:
        raise Malformed("data names not exactly one of order, payment and quote")
    key = _order_key(data, connection) if named == ["order"] else None
    order = {"order": msgspec.to_builtins(key)} if isinstance(key, OrderKey) else {}
    request = _converted({**data, **order}, RefundIn)
    fact = RefundRequested(request)
    if request.payment is not None:
        psp = (request.payment.connection, request.payment.psp_payment_id)
        return Addressed(fact, payments=(psp,))
    return Addressed(fact) if key is None else _to(fact, key)


def _lines_unavailable(data: Json, connection: str) -> Addressed:
    picks = _converted(data, _UnavailableData).lines
    lines = tuple(LinePick(str(pick.id), pick.quantity) for pick in picks)
    return _for_order(LinesUnavailable(lines), data, connection)


def _out_of_stock(data: Json, connection: str) -> tuple[Addressed, ...]:
    found = _converted(data, _OutOfStockData)
    fact = LinesUnavailable(skus=(found.sku,))
    return tuple(Addressed(fact, source=(connection, str(name))) for name in found.order_ids)


def _return_authorized(data: Json, connection: str) -> Addressed:
    name = str(_converted(data, _NamedReturnData).return_id)
    picks = _converted(data, _ReturnData).picks
    if not picks:
        raise Malformed("data.lines is missing or empty")
    return _for_order(ReturnAuthorized(name, picks), data, connection)


def _return_shipped(data: Json, connection: str) -> Addressed:
    name = str(_converted(data, _NamedReturnData).return_id)
    return _for_order(ReturnShipped(name), data, connection)


def _return_cancelled(data: Json, connection: str) -> Addressed:
    name = str(_converted(data, _NamedReturnData).return_id)
    return _for_order(ReturnCancelled(name), data, connection)


def _return_received(data: Json, connection: str) -> Addressed:
    found = _converted(data, _ReturnData)
    return_id = "" if found.return_id is None else str(found.return_id)
    return _for_order(ReturnReceived(found.picks, return_id), data, connection)


def _return_inspected(data: Json, connection: str) -> Addressed:
    found = _converted(data, _InspectionData)
    goods = tuple(
        Goods(line.name, line.sku, line.quantity, line.disposition, line.location)
        for line in found.lines
    )
    return _for_order(ReturnInspected(str(found.return_id), goods), data, connection)


def _payment_captured(data: Json, connection: str) -> Addressed:
    found = _converted(data, _CaptureData)
    authorized = -1 if found.authorized is None else found.authorized
    fact = PaymentReported(
        connection=found.connection,
        psp_payment_ids=(found.psp_payment_id,),
        payment=PaymentState(authorized=authorized, captured=found.amount),
        currency=found.currency or "",
    )
    return Addressed(fact, payments=((found.connection, found.psp_payment_id),))


def _for_order(fact: Fact, data: Json, connection: str) -> Addressed:
    return _to(fact, _order_key(data, connection))


def _to(fact: Fact, order: str | OrderKey) -> Addressed:
    if isinstance(order, str):
        return Addressed(fact, order=order)
    return Addressed(fact, source=(order.connection, order.order_id))


def _order_key(data: Json, connection: str) -> str | OrderKey:
    """Our id of the order the data names, or the shop's. Raises Malformed."""
    order = data.get("order")
    if isinstance(order, str) and order.startswith(_OURS):
        return _converted(order, Name)
    if isinstance(order, dict):
        if order.get("connection", connection) != connection:
            raise Malformed(f"data.order.connection is not {connection!r}")
        return OrderKey(connection, _shop_id(order.get("order_id"), "data.order.order_id"))
    if order is not None:
        return OrderKey(connection, _shop_id(order, "data.order"))
    return OrderKey(connection, _shop_id(data.get("order_id"), "data.order_id"))


def _shop_id(value: Any, where: str) -> str:
    try:
        return str(msgspec.convert(value, Name | _Number))
    except msgspec.ValidationError as error:
        raise Malformed(f"{where} is missing or not the id of an order") from error


_READERS: dict[str, _Reader] = {
    "order.created": _order_reported,
    "order.updated": _order_reported,
    "order.cancelled": _order_cancelled,
    "order.lines_cancelled": _lines_cancelled,
    "refund.requested": _refund_requested,
    "refund.created": _refund_made,
    "inventory.unavailable": _lines_unavailable,
    "inventory.out_of_stock": _out_of_stock,
    "return.authorized": _return_authorized,
    "return.shipped": _return_shipped,
    "return.received": _return_received,
    "return.inspected": _return_inspected,
    "return.cancelled": _return_cancelled,
    "payment.captured": _payment_captured,
}
