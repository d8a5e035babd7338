"""How an order at WooCommerce hears of what was done here (REST API v3, `orders/{id}/refunds`).

The money is back already (`api_refund` false). Money and goods are told apart, each as a refund of
its own there: amounts without units, units without an amount. Together they would restock twice,
since one refund here is often two tellings. A document carries the telling's key in its reason,
which WooCommerce writes together with the refund itself, and shows in the order.
"""

from __future__ import annotations

import base64
from collections.abc import Generator
from typing import Any, TypeAlias

import msgspec

from amends.core.outlets import Goods, GoodsReturned, LinesReleased, RefundRecorded, Telling
from amends.gateways import shop_orders as shops
from amends.gateways.codecs import Json, Malformed, text, whole
from amends.gateways.spec import Failure, Request, Response, Settings, Talk, Unwritable
from amends.gateways.wire import json_body, retry_after
from amends.kernel.currency import known
from amends.kernel.money import allocate
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import Instant

API = "/wp-json/wc/v3"

_Documents = RefundRecorded | GoodsReturned | LinesReleased
_Answer: TypeAlias = Generator[Request, "Response | Failure", Any]

_TEXT_MAX = 300  # characters of a party's sentence worth keeping
_PAGE = 100
_PAGES = 20  # refunds of one order; no order has two thousand
_REFUSED = "woocommerce_rest_cannot_create_order_refund"
_PARTS = ("", "/kept")  # what goes back to stock, and what does not
_ITEMS = ("line_items", "shipping_lines", "fee_lines")


class _Ended(Exception):
    """No error: a talk is over, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def talk(telling: Telling, settings: Settings, now: Instant) -> Talk:
    """The conversation that tells a shop's order of a refund or of goods. Never raises."""
    if not isinstance(telling, _Documents):
        return Declined("not_taken", "A shop is told of refunds and goods alone.")
    try:
        return (yield from _told(telling, settings))
    except _Ended as ended:
        return ended.outcome
    except Unwritable as error:
        return Declined("unwritable", str(error))
    except Malformed as error:
        return Unknown(f"WooCommerce's answer cannot be read: {error}"[:_TEXT_MAX], alert=True)


def _told(telling: _Documents, settings: Settings) -> Talk:
    name = telling.shop_order
    if not (name.isascii() and name.isdigit()):
        return Declined("no_id", f"{name[:60]!r} is no id of an order at WooCommerce.")
    order = yield from _ask("GET", f"/orders/{name}", None, settings)
    if not isinstance(order, dict) or shops.shop_id(order, "id") != name:
        return Unknown("WooCommerce answered with another thing than the order", alert=True)
    if isinstance(telling, RefundRecorded):
        documents = {"": _money(telling, order)}
    else:
        back = yield from _taken_back(telling, order, settings)
        documents = _goods(telling, order, back)
    made = name
    for part, document in documents.items():
        if there := _found(telling, order, part):
            made = there
        elif document is not None:
            note = {"reason": shops.note_of(telling, part), "api_refund": False}
            refund = yield from _ask("POST", f"/orders/{name}/refunds", note | document, settings)
            made = shops.shop_id(refund, "id") if isinstance(refund, dict) else ""
            if not made:
                return Unknown("WooCommerce names no refund", alert=True)
    return Accepted(reference=made)


def _found(telling: _Documents, order: Json, part: str) -> str:
    """The refund that tells this already, "" if there is none."""
    known_here = (
        shops.shop_id(refund, "id")
        for refund in shops.objects(order, "refunds")
        if shops.bears(text(refund, "reason"), telling, part)
    )
    return next(known_here, "")


# -- documents ---------------------------------------------------------------------------------


def _money(telling: RefundRecorded, order: Json) -> Json | None:
    """What was paid back, by the parts of the order it is for; what none of them is stands in the
    amount alone. None where nothing was paid: WooCommerce keeps no authorizations."""
    currency = text(order, "currency")
    if currency != telling.currency or not known(currency):
        words = f"The order is in {currency[:10]} at WooCommerce, the refund in {telling.currency}."
        raise _Ended(Declined("currency", words))
    voided = telling.paid and all(item.kind == "void" for item in telling.paid)
    if telling.amount <= 0 or voided:
        return None
    items = {
        shops.shop_id(item, "id"): item for kind in _ITEMS for item in shops.objects(order, kind)
    }
    lines = []
    for part in telling.parts:
        item = items.get(part.id)
        if item is None or part.net < 0 or part.tax < 0:
            continue
        taxes = _taxes(part.tax, item, currency)
        net = part.net if taxes or not part.tax else part.net + part.tax
        line = {"id": int(part.id), "quantity": 0, "refund_total": _number(net, currency)}
        lines.append({**line, "refund_tax": taxes})
    amount = shops.decimal(telling.amount, currency)
    return {"amount": amount, "api_restock": False, "line_items": lines}


def _taxes(tax: int, item: Json, currency: str) -> list[Json]:
    """A tax over the rates it was charged by, in their proportion; none where the item has none."""
    rates = [
        (whole(rate, "id"), shops.rounded(rate.get("total") or "0", currency, "taxes.total"))
        for rate in shops.objects(item, "taxes")
    ]
    charged = [(rate, amount) for rate, amount in rates if rate is not None and amount > 0]
    if not charged or not tax:
        return []
    split = allocate(tax, [amount for _, amount in charged])
    return [
        {"id": rate, "refund_total": _number(part, currency)}
        for (rate, _), part in zip(charged, split, strict=True)
    ]


def _number(amount: int, currency: str) -> msgspec.Raw:
    """An amount as a JSON number, exactly."""
    return msgspec.Raw(shops.decimal(amount, currency).encode())


def _goods(
    telling: GoodsReturned | LinesReleased, order: Json, back: dict[str, int]
) -> dict[str, Json | None]:
    """Units that are back, or never left, without money: one document for what goes to stock, one
    for what does not. WooCommerce counts stock down when an order is made, so what is released goes
    up again. No units more than the order had, less those that are `back` by what others did."""
    left = {
        shops.shop_id(item, "id"): shops.count(item, "quantity") - back.get(_own(item), 0)
        for item in shops.objects(order, "line_items")
    }
    parts: dict[str, Json | None] = {}
    for part, restocked in zip(_PARTS, (True, False), strict=True):
        lines: dict[str, int] = {}
        for item in telling.lines:
            if item.line not in left:
                words = f"The order has no line {item.line!r} at WooCommerce."
                raise _Ended(Declined("no_line", words))
            if _goes_to_stock(item, telling) is restocked:
                units = max(0, min(item.units, left[item.line]))
                left[item.line] -= units
                lines[item.line] = lines.get(item.line, 0) + units
        items = [
            {"id": int(line), "quantity": units, "refund_total": 0}
            for line, units in lines.items()
            if units
        ]
        document = {"amount": "0", "api_restock": restocked, "line_items": items}
        parts[part] = document if items else None
    return parts


def _own(item: Json) -> str:
    return shops.shop_id(item, "id")


def _goes_to_stock(item: Goods, telling: GoodsReturned | LinesReleased) -> bool:
    return isinstance(telling, LinesReleased) or item.disposition == "restock"


def _taken_back(telling: Telling, order: Json, settings: Settings) -> _Answer:
    """Units of each line in the order's refunds so far, but for those that tell this already."""
    back: dict[str, int] = {}
    if not shops.objects(order, "refunds"):
        return back
    name = shops.shop_id(order, "id")
    for page in range(1, _PAGES + 1):
        path = f"/orders/{name}/refunds?per_page={_PAGE}&page={page}"
        refunds = yield from _ask("GET", path, None, settings)
        if not isinstance(refunds, list):
            raise Malformed("the refunds of an order are not a list")
        for refund in (item for item in refunds if isinstance(item, dict)):
            if any(shops.bears(text(refund, "reason"), telling, part) for part in _PARTS):
                continue
            for item in shops.objects(refund, "line_items"):
                line, units = _refunded_item(item), abs(whole(item, "quantity") or 0)
                back[line] = back.get(line, 0) + units
        if len(refunds) < _PAGE:
            break
    return back


def _refunded_item(item: Json) -> str:
    """Which line of the order a line of a refund is of."""
    meta = (m for m in shops.objects(item, "meta_data") if text(m, "key") == "_refunded_item_id")
    return next((shops.shop_id(m, "value") for m in meta), "")


# -- answers -----------------------------------------------------------------------------------


def _ask(method: str, path: str, body: Json | None, settings: Settings) -> _Answer:
    """One request of the REST API; gives the JSON of its answer. What only reads has changed
    nothing, whatever came of it. Ends the talk on anything else."""
    base = settings.base_url or settings.values.get("store_url", "").rstrip("/")
    pair = ":".join(settings.values.get(key, "") for key in ("consumer_key", "consumer_secret"))
    token = base64.b64encode(pair.encode("utf-8", "surrogatepass")).decode("ascii")
    head = (("Authorization", f"Basic {token}"), ("Content-Type", "application/json"))
    if method == "GET":
        result = yield Request("GET", f"{base}{API}{path}", head)
    else:
        result = yield Request("POST", f"{base}{API}{path}", head, json_body(body or {}))
    return _json(result, writes=method != "GET")


def _json(result: Response | Failure, *, writes: bool) -> Any:
    if isinstance(result, Failure):
        reason = result.reason[:_TEXT_MAX]
        raise _Ended(Unknown(reason) if writes and result.sent else NotSent(reason))
    try:
        said = msgspec.json.decode(result.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        said = None  # a page of a host or a plugin
    if 200 <= result.status < 300 and said is not None:
        return said
    answer = said if isinstance(said, dict) else {}
    raise _Ended(_refused(result, answer, writes))


def _refused(result: Response, answer: Json, writes: bool) -> Outcome:
    """A refund that cannot be made is a 500 with a sentence of its own, and is undone by then."""
    status, code = result.status, text(answer, "code")
    words = text(answer, "message")[:_TEXT_MAX] or f"HTTP {status}"
    if status == 429:
        return NotSent(words, retry_after=retry_after(result))
    if status in (401, 403):
        return NotSent(words, alert=True)
    if code == _REFUSED and writes:
        return Unknown(words) if "try again" in words else Declined(code, words)
    if status == 404 and code.endswith(("invalid_id", "invalid_order_id")):
        return Declined(code, words)
    if status == 400 and code and writes:
        return Declined(code, words)
    if 300 <= status < 500 and status != 408:
        return NotSent(words, alert=True)  # no API there: the address, or permalinks
    reason = words if status != 200 else "an answer that is no JSON"
    if writes or status == 500:  # of this order alone, or a defect: others may go on
        return Unknown(reason, alert=status < 300)
    return NotSent(reason)
