"""Shops, and anything else that sends Standard Webhooks (standardwebhooks.com, spec 1.0.0).

The body is `{"type", "timestamp", "data"}`. Types understood, and their `data`:

- `order.created`, `order.updated`: an order as in `POST /v1/orders`; `source.connection` may be
  left out and must be this connection.
- `order.cancelled`: `{"order" or "order_id", "reason"?}`.
- `refund.requested`: a refund as in `POST /v1/refunds`.
- `inventory.unavailable`: `{"order" or "order_id", "lines": [{"id", "quantity"}]}`.
- `return.received`: `{"order" or "order_id", "return_id"?, "lines"?: [{"id", "quantity"}]}`; lines
  without an id (a sku only) are left out, since an order knows its lines by id.
- `payment.captured`: `{"connection", "psp_payment_id", "amount", "authorized"?, "currency"?}`;
  `connection` is the payment provider's here, `amount` all that was captured so far.

`order` is our id (`ord_…`), the shop's id, or `{"order_id", "connection"?}`; `order_id` is always
the shop's. Ids may be numbers. Other types have no facts. Orders and refunds refuse fields they do
not know, since money hangs on a misspelt one; the others ignore them.
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
    Fact,
    LinesUnavailable,
    OrderCancelled,
    OrderReported,
    PaymentReported,
    RefundRequested,
    ReturnReceived,
)
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
    hmac_sha256,
    recent,
    same,
    signed_seconds,
    usable,
    wire_bytes,
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

_SECRET_PREFIX = "whsec_"
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
    signed = wire_bytes(f"{name}.{stamp}.") + raw
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
        return _ed25519_holds(signature, _decoded(secret.removeprefix(_PUBLIC_KEY_PREFIX)), signed)
    if version != "v1" or secret.startswith(_PUBLIC_KEY_PREFIX):
        return False
    key = _decoded(secret.removeprefix(_SECRET_PREFIX))
    # As text, not decoded: several base64 texts stand for the same bytes, only one is the sender's.
    return bool(key) and same(_base64(hmac_sha256(key, signed)), signature.rstrip("="))


def _ed25519_holds(signature: str, public_key: bytes, signed: bytes) -> bool:
    raw_signature = _decoded(signature)
    if len(public_key) != 32 or _base64(raw_signature) != signature.rstrip("="):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(raw_signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _decoded(value: str) -> bytes:
    """The bytes of a base64 text, padded or not; none if it is no base64."""
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except ValueError:
        return b""


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
        facts = () if reader is None else (_read_data(reader, kind, body, settings.name),)
    except Malformed as error:
        raise Unreadable(str(error)) from error
    return Message(id=name, type=kind, facts=facts, sent_at=sent_at(body))


def _read_data(
    reader: Callable[[Json, str], Addressed], kind: str, body: Json, connection: str
) -> Addressed:
    try:
        data = part(body, "data")
        if not data:
            raise Malformed("data is missing or not an object")
        return reader(data, connection)
    except Malformed as error:
        raise Malformed(f"{kind}: {error}") from error


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


class _ReturnData(msgspec.Struct, frozen=True):
    return_id: Text | _Number | None = None
    lines: Annotated[tuple[dict[str, Any], ...], Meta(max_length=1000)] = ()


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


def _return_received(data: Json, connection: str) -> Addressed:
    found = _converted(data, _ReturnData)
    picks = [_converted(line, _PickData) for line in found.lines if "id" in line]
    lines = tuple(LinePick(str(pick.id), pick.quantity) for pick in picks)
    return_id = "" if found.return_id is None else str(found.return_id)
    return _for_order(ReturnReceived(lines, return_id), data, connection)


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


_READERS: dict[str, Callable[[Json, str], Addressed]] = {
    "order.created": _order_reported,
    "order.updated": _order_reported,
    "order.cancelled": _order_cancelled,
    "refund.requested": _refund_requested,
    "inventory.unavailable": _lines_unavailable,
    "return.received": _return_received,
    "payment.captured": _payment_captured,
}
