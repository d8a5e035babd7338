"""How an order at Shopify hears of what was done here (GraphQL Admin API 2026-10).

Money and goods are told apart, each as a refund of its own there: money as a transaction of the
gateway "manual", which Shopify records and does not pay, goods as line items without a transaction.
Together they would claim the same units twice, since one refund here is often two tellings.

A document carries the telling's key in its note, and is looked for by it before it is made. The
directive @idempotent (required since 2026-04) covers two talks that overlap: Shopify keeps a key
for 24 hours, longer than any request is under way.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TypeAlias
from uuid import NAMESPACE_URL, uuid5

from amends.core.outlets import (
    Goods,
    GoodsReturned,
    LinesReleased,
    PaidBack,
    RefundRecorded,
    Telling,
)
from amends.gateways import shop_orders as shops
from amends.gateways.codecs import Json, Malformed, json_object, part, text, whole
from amends.gateways.spec import Failure, Request, Response, Settings, Talk, Unwritable
from amends.gateways.wire import json_body, retry_after
from amends.kernel.currency import known
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import SECOND, Instant

VERSION = "2026-10"

_Documents = RefundRecorded | GoodsReturned | LinesReleased
_Data: TypeAlias = Generator[Request, "Response | Failure", Json]
_Paid: TypeAlias = list[Json] | NotSent

_TEXT_MAX = 300  # characters of a party's sentence worth keeping

# What was made of the order so far, and the lines that are told of. Refunds are found by their
# note; an order has few.
_LOOK = """query($id: ID!, $lines: [ID!]!) {
  order(id: $id) {
    id cancelledAt presentmentCurrencyCode
    refunds(first: 250) { id note }
    transactions(first: 50) { id kind status gateway authorizationCode }
  }
  nodes(ids: $lines) { ... on LineItem { id refundableQuantity unfulfilledQuantity } }
}"""
_PAID = """query($id: ID!) {
  order(id: $id) {
    transactions(first: 100) {
      id kind status gateway authorizationCode receiptJson parentTransaction { id }
      amountSet { presentmentMoney { amount currencyCode } }
    }
  }
}"""
_CHECK = """query($id: ID!) {
  node(id: $id) { ... on Refund { id note transactions(first: 20) { nodes { id status } } } }
}"""
_CREATE = """mutation($input: RefundInput!, $key: String!) {
  refundCreate(input: $input) @idempotent(key: $key) {
    refund { id note transactions(first: 20) { nodes { id status } } }
    userErrors { field message }
  }
}"""

# What Shopify says when nothing was executed; of another code it is not known.
_PERSON = {"ACCESS_DENIED", "SHOP_INACTIVE", "UNAUTHORIZED", "MAX_COST_EXCEEDED"}
# Sentences of `userErrors` about the key, not about the refund.
_UNDER_WAY = re.compile(r"in progress|idempotency key", re.IGNORECASE)
_PREVIOUS_FAILED = re.compile(r"previous request with this idempotency key failed", re.IGNORECASE)


class _Ended(Exception):
    """No error: a talk is over, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def transactions(order: str, settings: Settings) -> Generator[Request, Response | Failure, _Paid]:
    """How an order was paid, in the words of its messages; NotSent where that cannot be had now.
    Never raises."""
    try:
        name = {"id": _gid("Order", order)}
        found = part((yield from _ask(_PAID, name, settings, writes=False)), "order")
        if not isinstance(found.get("transactions"), list):
            return NotSent("Shopify does not tell how the order was paid", alert=True)
        return [_transaction(item) for item in shops.objects(found, "transactions")]
    except _Ended as ended:
        outcome = ended.outcome
        return outcome if isinstance(outcome, NotSent) else NotSent(_reason(outcome), alert=True)
    except (Malformed, Unwritable) as error:
        return NotSent(f"Shopify's answer cannot be read: {error}"[:_TEXT_MAX], alert=True)


def _reason(outcome: Outcome) -> str:
    return outcome.text if isinstance(outcome, Declined) else getattr(outcome, "reason", "")


def _transaction(item: Json) -> Json:
    seen = part(part(item, "amountSet"), "presentmentMoney")
    money = {"amount": seen.get("amount"), "currency_code": text(seen, "currencyCode")}
    return {
        "id": _number(item),
        "parent_id": _number(part(item, "parentTransaction")),
        "kind": text(item, "kind").lower(),
        "status": text(item, "status").lower(),
        "gateway": text(item, "gateway"),
        "authorization": text(item, "authorizationCode"),
        "amount_set": {"presentment_money": money},
        "receipt": _receipt(text(item, "receiptJson")),
    }


def _number(item: Json) -> str:
    return text(item, "id").rpartition("/")[2]


def _receipt(raw: str) -> Json:
    """What a provider said of a payment, of which the id of a gift card is read."""
    try:
        return json_object(raw.encode("utf-8", "replace"))
    except Malformed:
        return {}


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
        return Unknown(f"Shopify's answer cannot be read: {error}"[:_TEXT_MAX], alert=True)


def _told(telling: _Documents, settings: Settings) -> Talk:
    goods = () if isinstance(telling, RefundRecorded) else telling.lines
    lines = sorted({_gid("LineItem", item.line) for item in goods})
    order = _gid("Order", telling.shop_order)
    seen = yield from _ask(_LOOK, {"id": order, "lines": lines}, settings, writes=False)
    found = part(seen, "order")
    if not found:
        raise _Ended(Declined("no_order", f"Shopify has no order {telling.shop_order!r}."))
    for refund in shops.objects(found, "refunds"):
        if shops.bears(text(refund, "note"), telling):
            name = {"id": text(refund, "id")}
            data = yield from _ask(_CHECK, name, settings, writes=False)
            return _made(part(data, "node"))
    if isinstance(telling, RefundRecorded):
        document = _money(telling, found, settings)
    else:
        document = _goods(telling, seen, settings)
    note = {"orderId": order, "note": shops.note_of(telling), "notify": False}
    answer = yield from _create({**note, **document}, telling.key, settings)
    if _PREVIOUS_FAILED.search(_words(answer)):  # nothing was made under that key, nor ever will be
        answer = yield from _create({**note, **document}, f"{telling.key} again", settings)
    if words := _words(answer):
        about_key = _UNDER_WAY.search(words)
        return Unknown(words, alert=True) if about_key else Declined("user_error", words)
    return _made(part(answer, "refund"))


def _create(document: Json, key: str, settings: Settings) -> _Data:
    variables = {"input": document, "key": str(uuid5(NAMESPACE_URL, key))}
    data = yield from _ask(_CREATE, variables, settings, writes=True)
    return part(data, "refundCreate")


def _gid(kind: str, name: str) -> str:
    """Shopify's global id of a thing. Ends the talk for what can be none: it would name another."""
    found = name.removeprefix(f"gid://shopify/{kind}/")
    if not (found.isascii() and found.isdigit()):
        raise _Ended(Declined("no_id", f"{name[:60]!r} is no id of a {kind} at Shopify."))
    return f"gid://shopify/{kind}/{found}"


# -- documents ---------------------------------------------------------------------------------


def _money(telling: RefundRecorded, order: Json, settings: Settings) -> Json:
    """What was paid back, as transactions Shopify records and does not execute. Ends the talk where
    there is none: an authorization that was released elsewhere."""
    currency = text(order, "presentmentCurrencyCode") or telling.currency
    if currency != telling.currency or not known(currency):
        words = f"The order is in {currency[:10]} at Shopify, the refund in {telling.currency}."
        raise _Ended(Declined("currency", words))
    paid = [item for item in telling.paid if item.kind != "void" and item.amount > 0]
    if not telling.paid and telling.amount > 0:
        paid = [PaidBack("", "", "", telling.amount)]
    if not paid:
        if text(order, "cancelledAt"):
            raise _Ended(Accepted(reference=text(order, "id")))
        words = "The authorization was released: void it at Shopify, so that nobody captures it."
        raise _Ended(Declined("void_by_hand", words))
    if settings.values.get("refund_transactions") == "none":
        return {"currency": currency, "transactions": []}
    return {
        "currency": currency,
        "transactions": [
            {
                "orderId": text(order, "id"),
                "kind": "REFUND",
                "gateway": "manual",
                "amount": shops.decimal(item.amount, currency),
                **_parent(item, order, settings),
            }
            for item in paid
        ],
    }


def _parent(paid: PaidBack, order: Json, settings: Settings) -> Json:
    """The transaction the money came by: by the provider's id of it, else the only one of its
    connection, else the only one; none where that is not clear."""
    taken = [
        item
        for item in shops.objects(order, "transactions")
        if text(item, "status") == "SUCCESS" and text(item, "kind") in ("SALE", "CAPTURE")
    ]
    called = paid.psp_payment_id
    named = [item for item in taken if text(item, "authorizationCode") == called != ""]
    of = [i for i in taken if shops.connection_of(settings, text(i, "gateway")) == paid.connection]
    for choice in (named, of, taken):
        if len(choice) == 1:
            return {"parentId": text(choice[0], "id")}
    return {}


def _goods(telling: GoodsReturned | LinesReleased, seen: Json, settings: Settings) -> Json:
    """Units that are back, or never left, without money. No more than Shopify still counts as the
    customer's: what the shop itself took back before is not taken back twice."""
    known_lines = {text(line, "id"): line for line in shops.objects(seen, "nodes")}
    items: list[Json] = []
    for item in telling.lines:
        line = known_lines.get(_gid("LineItem", item.line))
        if line is None:
            words = f"The order has no line {item.line!r} at Shopify."
            raise _Ended(Declined("no_line", words))
        name = "unfulfilledQuantity" if isinstance(telling, LinesReleased) else "refundableQuantity"
        before = sum(i["quantity"] for i in items if i["lineItemId"] == text(line, "id"))
        left = min(whole(line, name) or 0, whole(line, "refundableQuantity") or 0)
        units = min(item.units, left - before)
        if units > 0:
            items.append(_taken_back(item, units, text(line, "id"), telling, settings))
    if not items:
        raise _Ended(Accepted(reference=_gid("Order", telling.shop_order)))
    return {"refundLineItems": items, "transactions": []}


def _taken_back(
    item: Goods,
    units: int,
    line: str,
    telling: GoodsReturned | LinesReleased,
    settings: Settings,
) -> Json:
    """Released units go back to stock as CANCEL, which also takes them off what is to be packed;
    returned ones as RETURN, unless they are kept from sale."""
    kind = "CANCEL" if isinstance(telling, LinesReleased) else "RETURN"
    if item.disposition != "restock":
        return {"lineItemId": line, "quantity": units, "restockType": "NO_RESTOCK"}
    names = settings.tables.get("locations", {})
    place = names.get(item.location) or settings.values.get("location", "")
    if not place:
        words = f"Set `location`, or `locations` for {item.location!r}: Shopify restocks at one."
        raise _Ended(Declined("no_location", words))
    return {
        "lineItemId": line,
        "quantity": units,
        "restockType": kind,
        "locationId": _gid("Location", place),
    }


# -- answers -----------------------------------------------------------------------------------


def _made(refund: Json) -> Outcome:
    """A refund that is there. One whose transaction failed is there too, and says nothing of
    money: a person looks."""
    name = text(refund, "id")
    if not name:
        return Unknown("Shopify names no refund", alert=True)
    states = {text(i, "status") for i in shops.objects(part(refund, "transactions"), "nodes")}
    if states & {"FAILURE", "ERROR"}:
        words = f"Shopify kept the refund {name}, and its transaction failed."
        return Declined("transaction_failed", words, reference=name)
    return Accepted(reference=name)


def _words(answer: Json) -> str:
    said = [text(error, "message") for error in shops.objects(answer, "userErrors")]
    return "; ".join(words or "an error without words" for words in said)[:_TEXT_MAX]


def _ask(query: str, variables: Json, settings: Settings, *, writes: bool) -> _Data:
    """One request of the GraphQL API; gives the data of its answer. What only reads has changed
    nothing, whatever came of it. Ends the talk on anything else."""
    base = settings.base_url or f"https://{settings.values.get('shop', '')}"
    head = (
        ("Content-Type", "application/json"),
        ("X-Shopify-Access-Token", settings.values.get("access_token", "")),
    )
    url = f"{base}/admin/api/{VERSION}/graphql.json"
    result = yield Request("POST", url, head, json_body({"query": query, "variables": variables}))
    body = json_object(_body(result, writes))
    errors = shops.objects(body, "errors")
    if errors or not isinstance(body.get("data"), dict):
        raise _Ended(_failed(body, errors))
    return part(body, "data")


def _body(result: Response | Failure, writes: bool) -> bytes:
    """The body of an answer of the API. Ends the talk on any other."""
    if isinstance(result, Failure):
        reason = result.reason[:_TEXT_MAX]
        raise _Ended(Unknown(reason) if writes and result.sent else NotSent(reason))
    status = f"HTTP {result.status}"
    if result.status == 200:
        return result.body
    if result.status == 429:
        raise _Ended(NotSent(status, retry_after=retry_after(result)))
    if result.status in (401, 402, 403, 404, 423):  # token, plan, scope, name of the shop, lock
        raise _Ended(NotSent(status, alert=True))
    raise _Ended(Unknown(status) if writes or result.status == 500 else NotSent(status))


def _failed(body: Json, errors: list[Json]) -> Outcome:
    codes = {text(part(error, "extensions"), "code") for error in errors}
    words = "; ".join(text(error, "message") for error in errors)[:_TEXT_MAX] or "no data"
    if "THROTTLED" in codes:
        return NotSent(words, retry_after=_pause(body))
    if codes & _PERSON:
        return NotSent(words, alert=True)
    return Unknown(words, alert=True)  # of this telling alone: others may go on


def _pause(body: Json) -> int:
    """Microseconds until as many points are there as were asked for; a second if it is not said."""
    cost = part(part(body, "extensions"), "cost")
    state = part(cost, "throttleStatus")
    wanted, there = _points(cost, "requestedQueryCost"), _points(state, "currentlyAvailable")
    restored = _points(state, "restoreRate")
    if restored <= 0 or wanted <= there:
        return SECOND
    return -(-(wanted - there) * SECOND // restored)


def _points(source: Json, key: str) -> int:
    """A number that Shopify writes with or without a fraction, rounded down."""
    value = source.get(key)
    return int(value) if isinstance(value, int | float) and abs(value) < 10**9 else 0
