"""What the orders of several shops have in common, on their way to becoming ours.

Shops tell amounts as decimal text, round their parts apart from their totals, and call payment
providers by names of their own. `payments` in a connection's settings says which of our connections
each of those names stands for; what it does not name is looked for under that very name.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from amends.core.outlets import GoodsReturned, LinesReleased, RefundRecorded, Telling
from amends.core.requests import OrderIn, RefundReason
from amends.gateways.codecs import Json, Malformed, minor_units, text, whole
from amends.gateways.spec import Settings
from amends.kernel.currency import EXPONENT
from amends.kernel.money import allocate, major
from amends.kernel.time import Instant, parse_rfc3339, rfc3339

T = TypeVar("T")

DIFFERENCE = "Difference to the order's total"
CREDITS = ("gift_card", "store_credit")  # what `payments` may name instead of a connection

_DECODER = msgspec.json.Decoder(float_hook=str)
_TITLE_MAX = 500
_REASON: dict[str, RefundReason] = {"inventory": "out_of_stock", "fraud": "fraud"}


# -- reading -----------------------------------------------------------------------------------


def exact_object(raw: bytes) -> Json:
    """The JSON object in `raw`; a number with a fraction stays the text it was. Raises
    Malformed."""
    try:
        value = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Malformed("the body is not a JSON object")
    return value


def body_id(raw: bytes) -> str:
    """The name of a message by its body, where the sender gives it none that is its own."""
    return f"sha256:{sha256(raw).hexdigest()}"


def shop_id(source: Json, key: str) -> str:
    """The id under `key` as text, "" if there is none. Ids exceed 2^53 and stay exact."""
    value = source.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    found = str(value)
    return found if 0 < len(found) <= 255 and found != "0" else ""


def required_id(source: Json, key: str, what: str) -> str:
    """The same. Raises Malformed if there is none."""
    found = shop_id(source, key)
    if not found:
        raise Malformed(f"{what} is missing or no id")
    return found


def objects(source: Json, key: str) -> list[Json]:
    """The objects in the list under `key`; none if there is no list."""
    value = source.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def count(source: Json, key: str) -> int:
    """The number of units under `key`, 0 if it does not say."""
    value = whole(source, key)
    return value if value is not None and 0 <= value <= 1_000_000 else 0


def title(source: Json, key: str) -> str:
    """A text for people, cut to what an order takes."""
    return text(source, key)[:_TITLE_MAX]


def moment(value: str, zone: str = "") -> Instant:
    """The instant of a time as shops write it, in `zone` if it says none; 0 if it is none."""
    try:
        return max(0, parse_rfc3339(value + zone))
    except (ValueError, OverflowError):
        return 0


def said_at(value: str, zone: str = "") -> str:
    """The same as text, "" if it is none."""
    at = moment(value, zone)
    return rfc3339(at) if at else ""


def minor(value: Any, currency: str, what: str) -> int:
    """A decimal text, signed, in minor units of `currency`: exactly, or Malformed."""
    digits = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    negative = digits.startswith("-")
    try:
        amount = minor_units(digits.removeprefix("-"), currency)
    except Malformed as error:
        raise Malformed(f"{what} is {error}") from error
    return -amount if negative else amount


_FINE = re.compile(r"(-?)(\d{1,15})(?:\.(\d{1,30}))?", re.ASCII)


def rounded(value: Any, currency: str, what: str) -> int:
    """The same for a part that a shop keeps finer than money can be: to the nearest minor unit,
    half up. What the parts come to is held against the total afterwards."""
    found = _FINE.fullmatch(value) if isinstance(value, str) else None
    if found is None or currency not in EXPONENT:
        return minor(value, currency, what)
    sign, whole, fraction = found[1], found[2], found[3] or ""
    places = EXPONENT[currency]
    kept = int(whole + fraction[:places].ljust(places, "0"))
    kept += fraction[places : places + 1] >= "5"
    return -kept if sign else kept


# -- an order ----------------------------------------------------------------------------------


def connection_of(settings: Settings, name: str) -> str:
    """Which connection of ours, or kind of credit, the shop's payment `name` stands for. ""
    where the settings say that it is none of ours; the name itself where they say nothing."""
    return settings.tables.get("payments", {}).get(name, name)


def tender(settings: Settings, name: str, psp_payment_id: str, amount: int, captured: int) -> Json:
    """One way an order was paid. A payment whose id the shop does not know keeps an empty one,
    which the order is refused for, with a sentence: a guess could refund another's money."""
    found = connection_of(settings, name)
    if found in CREDITS:
        return {"kind": found, "amount": amount, "captured": captured, "reference": psp_payment_id}
    return {
        "connection": found,
        "psp_payment_id": psp_payment_id,
        "amount": amount,
        "captured": min(captured, amount),
    }


def balanced(order: Json, total: int) -> Json:
    """`order` with its parts coming to `total`, whatever the shop's own rounding left: what is
    missing is a charge of its own, what is too much a discount on lines and shipping."""
    included = order["prices_include_tax"]
    items = [*order["lines"], *order["shipping"], *order["charges"]]
    taxes = 0 if included else sum(_taxed(item) for item in items)
    off = total - taxes - sum(item["total"] for item in items)
    if off > 0:
        charge = {"id": "difference", "kind": "other", "total": off, "title": DIFFERENCE}
        order = {**order, "charges": [*order["charges"], charge]}
    elif off < 0:
        _lower([*order["lines"], *order["shipping"]], -off, included)
    paid = sum(item["amount"] for item in order["tenders"])
    return {**order, "totals": {"total": total}} if paid == total else order


def _taxed(item: Json) -> int:
    return sum(tax["amount"] for tax in item["taxes"])


def _lower(items: list[Json], off: int, included: bool) -> None:
    """Takes `off` from the totals of items, in proportion; not below the taxes in them. Where they
    have not so much, nothing is taken, and the order is refused for its sums."""
    room = [max(0, item["total"] - (_taxed(item) if included else 0)) for item in items]
    if sum(room) < off:
        return
    for item, part in zip(items, allocate(off, room), strict=True):
        if part:
            item["total"] -= part
            item["discounts"] = [*item["discounts"], {"amount": part, "title": DIFFERENCE}]


def taken_over(order: Json) -> OrderIn:
    """The order as ours. Raises Malformed with the path of what is wrong."""
    return converted(order, OrderIn)


def converted(value: Any, shape: type[T]) -> T:
    """`value` as `shape`. Raises Malformed."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise Malformed(f"the order as we would keep it: {error}") from error


def reason_of(said: str) -> RefundReason:
    """Why an order was cancelled, by a shop's word for it."""
    return _REASON.get(said, "cancelled")


# -- marks -------------------------------------------------------------------------------------

_MARK = re.compile(r"\bamends (\S{1,255}) \(")


def mark_of(telling: RefundRecorded | GoodsReturned | LinesReleased) -> str:
    """What of ours a document in the shop is the echo of: a refund, a return, or the telling."""
    if isinstance(telling, RefundRecorded):
        return telling.refund
    return telling.return_id if isinstance(telling, GoodsReturned) else telling.key


def note_of(telling: RefundRecorded | GoodsReturned | LinesReleased, part: str = "") -> str:
    """The note by which a document in the shop is found again, and its echo recognised."""
    return f"amends {mark_of(telling) or telling.key} ({telling.key}{part})"


def marked(note: str) -> str:
    """The mark in a note, "" if it is none of ours."""
    found = _MARK.search(note)
    return found[1] if found else ""


def bears(note: str, telling: Telling, part: str = "") -> bool:
    """Whether a note is that of this telling, with whatever people wrote beside it."""
    return f"({telling.key}{part})" in note and bool(marked(note))


def decimal(amount: int, currency: str) -> str:
    """An amount as shops take it: "12.50", "1250" for a currency without decimals."""
    return major(amount, currency)


def fraction(percent: object) -> str:
    """A rate as everywhere here, "0.19", of what is said in per cent; "" if that is none."""
    try:
        rate = Decimal(str(percent)).scaleb(-2)
    except InvalidOperation:
        return ""
    return format(rate.normalize(), "f")[:40] if rate.is_finite() else ""
