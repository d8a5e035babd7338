"""Vendure: what our plugin (`integrations/vendure`) tells of orders, and what it records there.

The plugin sends the whole of an order by Standard Webhooks whenever something of it changes, and
adds three names to the Admin API: what is recorded by them is done once under its mark, in one
transaction, so that a repeated request finds what the first one made. It is also what keeps Vendure
from paying a refund a second time that it only writes down: without it nothing is recorded.
Source: @vendure/core 3.7.3 (`OrderService.refundOrder`, `OrderModifier`, `AuthGuard`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from amends.core.facts import (
    Addressed,
    CancelledLine,
    Fact,
    LinesCancelled,
    OrderCancelled,
    OrderReported,
    RefundedLine,
    RefundMade,
)
from amends.core.outlets import (
    GoodsReturned,
    LinesReleased,
    PaidBack,
    RefundRecorded,
    Telling,
)
from amends.core.requests import OrderIn
from amends.gateways.codecs import (
    Json,
    Malformed,
    json_object,
    part,
    parts,
    required_text,
    required_whole,
    text,
    whole,
)
from amends.gateways.shop_orders import balanced, fraction
from amends.gateways.signatures import header
from amends.gateways.spec import (
    Capabilities,
    Failure,
    Inspection,
    Message,
    Request,
    Response,
    Settings,
    Talk,
    Unreadable,
    Unwritable,
)
from amends.gateways.standard import sent_at, verify
from amends.gateways.wire import json_body, retry_after
from amends.kernel.currency import exponent, known
from amends.kernel.money import allocate
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import MINUTE, Instant

__all__ = ["CAPABILITIES", "inspect", "read", "talk", "trouble", "verify"]

CAPABILITIES = Capabilities(
    name="vendure",
    provider=False,
    secrets=("password", "api_key"),
    optional=("username", "password", "api_key", "admin_path"),
    tables=("payments",),
    takes=("refund_recorded", "goods_returned", "lines_released"),
    own_orders=True,
)

_PRECISION = 2  # decimals that Vendure keeps, unless its MoneyStrategy says another
_PLUGIN = 1  # the version of the plugin's part of the Admin API
_OTHER_TENDERS = ("gift_card", "store_credit")
_ALIVE = ("Authorized", "Settled")
_MARK = re.compile(r"amends (rf_[0-9a-z]{1,40}) \S", re.ASCII)
_TEXT_MAX = 300  # characters of the shop's sentence worth keeping
_RATE = re.compile(r"(\d{1,4})(?:\.(\d{1,6}))?", re.ASCII)

# -- what it tells ---------------------------------------------------------------------------------


def read(raw: bytes, headers: Mapping[str, str], settings: Settings) -> Message:
    """The facts in a genuine message. Raises Unreadable, and nothing else."""
    try:
        body = json_object(raw)
        kind, name = required_text(body, "type"), header(headers, "webhook-id")
        if not name:
            raise Malformed("webhook-id is missing")
        data = part(body, "data")
        facts = tuple(_facts(data, settings)) if kind == "order.changed" else ()
    except Malformed as error:
        raise Unreadable(str(error)) from error
    return Message(id=name, type=kind, facts=facts, sent_at=sent_at(body))


def _facts(data: Json, settings: Settings) -> Iterator[Addressed]:
    code = required_text(data, "code")
    for fact in _news(data, settings, code):
        yield Addressed(fact, source=(settings.name, code))


_SUMS = ("total", "net", "undiscounted")


def _in_minor_units(told: Json) -> Json:
    """The order with amounts as everywhere here. Vendure keeps hundredths of every currency, or as
    many decimals as its MoneyStrategy says: 100 yen are 10000 there. What was paid is exact or
    refused; parts, which no provider ever sees, go to the nearest unit."""
    currency, precision = required_text(told, "currency"), told.get("precision", _PRECISION)
    if not known(currency):
        raise Malformed(f"currency is unknown: {currency[:10]!r}")
    if not isinstance(precision, int) or not 0 <= precision <= 9:
        raise Malformed("precision is no number of decimals")
    more = exponent(currency) - precision
    if not more:
        return told
    per: int = 10 ** abs(more)  # of the finer units in one of the other

    def near(amount: int) -> int:
        return amount * per if more > 0 else (2 * amount + per) // (2 * per)

    def exact(amount: int) -> int:
        if near(amount) * per != amount and more < 0:
            raise Malformed(f"{amount} is no whole amount of {currency} where {per} are one")
        return near(amount)

    groups = ("lines", "shipping", "surcharges")
    found = {**told, **{name: _each(told, name, _SUMS, near) for name in groups}}
    found["payments"] = _each(told, "payments", ("amount",), exact)
    found["refunds"] = _each(told, "refunds", ("total",), exact)
    worth = sum(required_whole(one, "total") for name in groups for one in _listed(told, name))
    paid = sum(required_whole(one, "amount") for one in _payments(found))
    if more < 0 and abs(paid * per - worth) < per:
        found["paid"] = paid  # for all there is: what the parts were rounded by is made up for
    return found


def _each(
    told: Json, name: str, fields: tuple[str, ...], scale: Callable[[int], int]
) -> list[Json]:
    return [
        {**one, **{key: scale(required_whole(one, key)) for key in fields if key in one}}
        for one in _listed(told, name)
    ]


def _news(told: Json, settings: Settings, code: str) -> Iterator[Fact]:
    """The order as it was bought; the refunds that were made; what was cancelled of it, which those
    may have paid for already."""
    if not _payments(told):
        return  # nothing was paid by anything yet
    data = _in_minor_units(told)
    lines = _listed(data, "lines")
    yield OrderReported(_order(data, lines, _payments(data), settings, code))
    cancelled = [one for one in map(_cancelled, lines) if one is not None]
    untouched = not any(_count(line, "fulfilled") or _by_amends(line) for line in lines)
    for refund in _listed(data, "refunds"):
        if text(refund, "state") == "Settled":
            yield _refund_made(refund, required_text(data, "currency"))
    if text(data, "state") == "Cancelled" and untouched:
        yield OrderCancelled()
    elif cancelled:
        yield LinesCancelled(tuple(cancelled))


def _payments(data: Json) -> list[Json]:
    """What counts as paid; of an order whose payments were all cancelled, those."""
    listed = _listed(data, "payments")
    alive = [one for one in listed if text(one, "state") in _ALIVE]
    return alive or [one for one in listed if text(one, "state") == "Cancelled"]


def _order(
    data: Json, lines: list[Json], payments: list[Json], settings: Settings, code: str
) -> OrderIn:
    bought = [line for line in lines if _count(line, "placed")]
    surcharges = _listed(data, "surcharges")
    off = [one for one in surcharges if required_whole(one, "total") < 0]
    totals = _reduced(bought, off)
    order = {
        "source": {"connection": settings.name, "order_id": code},
        "version": required_whole(data, "version"),
        "placed_at": text(data, "placedAt"),
        "currency": required_text(data, "currency"),
        "lines": [_line(line, *sums) for line, sums in zip(bought, totals, strict=True)],
        "shipping": [
            {"id": required_text(one, "id"), "title": text(one, "title"), **_sums(one)}
            for one in _listed(data, "shipping")
        ],
        "charges": [
            {
                "id": required_text(one, "id"),
                "kind": "other",
                "title": text(one, "title"),
                "total": one["total"],
                "taxes": _taxes(one, one["total"] - required_whole(one, "net")),
            }
            for one in surcharges
            if one["total"] > 0
        ],
        "tenders": [_tender(payment, settings) for payment in payments],
    }
    if customer := part(data, "customer"):
        order["customer"] = {
            key: customer[key] for key in ("id", "email", "name", "country") if customer.get(key)
        }
    if "paid" in data:
        order = balanced({"prices_include_tax": True, **order}, data["paid"])
    try:
        return msgspec.convert(order, OrderIn)
    except msgspec.ValidationError as error:
        raise Malformed(f"order {code}: {error}") from error


def _reduced(lines: list[Json], off: list[Json]) -> list[tuple[int, int]]:
    """Total and net of each line. A surcharge below zero, which Vendure makes of a price that was
    lowered after the sale, is taken off the lines in proportion."""
    totals = [(required_whole(line, "total"), required_whole(line, "net")) for line in lines]
    for one in off:
        weights = [max(0, total) for total, _ in totals]
        if not any(weights):
            raise Malformed("a surcharge below zero has no line to be taken off")
        less = allocate(-required_whole(one, "total"), weights)
        less_net = allocate(max(0, -required_whole(one, "net")), weights)
        totals = [
            (total - a, net - b) for (total, net), a, b in zip(totals, less, less_net, strict=True)
        ]
    return totals


def _line(line: Json, total: int, net: int) -> Json:
    placed = _count(line, "placed")
    return {
        "id": required_text(line, "id"),
        "quantity": placed,
        "sku": text(line, "sku"),
        "title": text(line, "title"),
        "fulfilled": min(placed, _count(line, "fulfilled")),
        **_sums({**line, "total": total, "net": net}),
    }


def _sums(item: Json) -> Json:
    """Total, taxes, and what it would have been without discounts."""
    total, before = required_whole(item, "total"), whole(item, "undiscounted")
    sums: Json = {
        "total": total,
        "discounts": [],
        "taxes": _taxes(item, total - required_whole(item, "net")),
    }
    if before is not None and before > total:
        sums["subtotal"] = before
        sums["discounts"] = [{"amount": before - total, "title": "Discounts"}]
    return sums


def _taxes(item: Json, tax: int) -> list[Json]:
    """The tax of an item by its rates, which is how Vendure reckons the sum."""
    rates = _listed(item, "taxes")
    weights = [_rate(one) for one in rates]
    if not any(weights):
        if tax:
            raise Malformed("an item holds tax at no rate")
        return []
    if tax < 0:
        raise Malformed("an item's net is more than its total")
    return [
        {"name": text(one, "name") or "tax", "rate": fraction(text(one, "rate")), "amount": amount}
        for one, amount in zip(rates, allocate(tax, weights), strict=True)
    ]


def _rate(tax: Json) -> int:
    found = _RATE.fullmatch(text(tax, "rate"))
    if found is None:
        raise Malformed("taxes.rate is missing or not a number")
    return int(found[1] + (found[2] or "").ljust(6, "0"))


def _tender(payment: Json, settings: Settings) -> Json:
    method, amount = required_text(payment, "method"), required_whole(payment, "amount")
    connection = settings.tables.get("payments", {}).get(method)
    if connection is None:
        raise Malformed(
            f"payment method {method!r} is not in [connections.{settings.name}.payments]"
        )
    captured = amount if text(payment, "state") == "Settled" else 0
    tender = {"amount": amount, "captured": captured}
    name = text(payment, "transactionId")
    if connection in _OTHER_TENDERS:
        return {**tender, "kind": connection, "reference": name}
    return {**tender, "connection": connection, "psp_payment_id": name, "method": method}


def _cancelled(line: Json) -> CancelledLine | None:
    """Units the shop cancelled so far. Of those, at most so many are `back` as had left: of a line
    sent in part, Vendure also restocks units that never left."""
    ours = part(line, "byAmends")
    units = _count(line, "cancelled") - _count(ours, "cancelled")
    if units <= 0:
        return None
    stayed = max(0, _count(line, "placed") - _count(line, "fulfilled"))
    had_left = max(0, _count(line, "cancelled") - stayed)
    restocked = _count(line, "restocked") - _count(ours, "restocked")
    return CancelledLine(
        required_text(line, "id"), units, back=max(0, min(units, had_left, restocked))
    )


def _by_amends(line: Json) -> int:
    return _count(part(line, "byAmends"), "cancelled")


def _refund_made(refund: Json, currency: str) -> RefundMade:
    found = _MARK.match(text(refund, "reason"))
    return RefundMade(
        refund=required_text(refund, "id"),
        amount=required_whole(refund, "total"),
        currency=currency,
        mark=found[1] if found else "",
        psp_refund_id=text(refund, "transactionId"),
        lines=tuple(
            RefundedLine(required_text(line, "id"), _count(line, "quantity"))
            for line in _listed(refund, "lines")
        ),
    )


def _listed(source: Json, key: str) -> list[Json]:
    found = parts(source, key)
    if found is None:
        raise Malformed(f"{key} is missing or not a list")
    return found


def _count(source: Json, key: str) -> int:
    return max(0, whole(source, key) or 0)


# -- what is recorded there ------------------------------------------------------------------------

_Asking: TypeAlias = Generator[Request, "Response | Failure", "Json | NotSent | Unknown | Declined"]

_REFUND = """mutation ($input: AmendsRefundInput!) { made: amendsRefund(input: $input) {
  ... on Refund { id } ... on Payment { id } ... on ErrorResult { errorCode message } } }"""
_GOODS = """mutation ($input: AmendsGoodsInput!) { made: amendsGoods(input: $input) {
  ... on Order { id } ... on ErrorResult { errorCode message } } }"""
_LOGIN = """mutation ($name: String!, $password: String!) {
  made: login(username: $name, password: $password) {
    ... on CurrentUser { id } ... on ErrorResult { errorCode message } } }"""
_ABOUT = "query { made: amends { version paymentMethods } }"


def talk(telling: Telling, settings: Settings, now: Instant) -> Talk:
    """Signs in, and has it recorded; each movement of a refund by itself. Never raises."""
    inputs = list(_inputs(telling, settings))
    if not inputs:
        return Accepted()
    token = yield from _sign_in(settings)
    if not isinstance(token, str):
        return token
    reference = ""
    for query, fields in inputs:
        made = yield from _ask(settings, token, query, {"input": fields})
        if not isinstance(made, dict):
            return made
        reference = reference or text(made, "id")
    return Accepted(reference=reference)


def _inputs(telling: Telling, settings: Settings) -> Iterator[tuple[str, Json]]:
    """What is to be recorded, as the plugin takes it."""
    if isinstance(telling, RefundRecorded):
        movements = telling.paid or (PaidBack("", "", "", telling.amount),)
        for number, paid in enumerate(movements):
            yield _REFUND, _refund_input(telling, number, paid, settings)
    elif isinstance(telling, GoodsReturned):
        back = [one for one in telling.lines if one.disposition == "restock"]
        if back:
            yield _GOODS, _goods_input(telling, "returned", back)
    elif isinstance(telling, LinesReleased):
        yield _GOODS, _goods_input(telling, "released", telling.lines)


def _refund_input(telling: RefundRecorded, number: int, paid: PaidBack, settings: Settings) -> Json:
    """Which units and how much shipping it is for is said with the first movement alone."""
    methods = settings.tables.get("payments", {})
    named = [method for method, connection in methods.items() if connection == paid.connection]
    lines = [one for one in telling.parts if one.kind == "line" and one.quantity > 0]
    shipping = sum(one.net + one.tax for one in telling.parts if one.kind == "shipping")
    return {
        "order": telling.shop_order,
        "mark": f"amends {telling.refund} {paid.psp_refund_id or f'{telling.key}.{number}'}",
        "transactionId": paid.psp_refund_id or f"{telling.key}.{number}",
        "payment": paid.psp_payment_id,
        "methods": named or list(methods),
        "amount": paid.amount,
        "decimals": exponent(telling.currency),
        "shipping": min(shipping, paid.amount) if number == 0 else 0,
        "lines": [{"orderLineId": one.id, "quantity": one.quantity} for one in lines]
        if number == 0
        else [],
        "void": paid.kind == "void",
    }


def _goods_input(telling: GoodsReturned | LinesReleased, what: str, goods: Any) -> Json:
    units: dict[str, int] = {}
    for one in goods:
        units[one.line] = units.get(one.line, 0) + one.units
    lines = [{"orderLineId": name, "quantity": number} for name, number in units.items()]
    fields = {"order": telling.shop_order, "mark": f"amends {telling.key}"}
    return {**fields, "returned": [], "released": [], what: lines}


def _sign_in(
    settings: Settings,
) -> Generator[Request, Response | Failure, str | NotSent | Unknown | Declined]:
    """A token, or "" where each request carries a key; or why there is none: nothing was sent."""
    if settings.values.get("api_key"):
        return ""
    name, password = settings.values.get("username", ""), settings.values.get("password", "")
    request = _request(settings, "", _LOGIN, {"name": name, "password": password})
    if not isinstance(request, Request):
        return NotSent(request.reason, alert=True)
    answer = yield request
    found = _understood(answer)
    if isinstance(found, Declined):
        return NotSent(f"signing in at Vendure: {found.text or found.code}", alert=True)
    if not isinstance(found, dict):
        return found
    token = "" if isinstance(answer, Failure) else header(answer.headers, "vendure-auth-token")
    if not token:
        why = (
            "Vendure gave no token: its authOptions.tokenMethod must include 'bearer' or 'api-key'"
        )
        return NotSent(why, alert=True)
    return token


def _ask(settings: Settings, token: str, query: str, variables: Json) -> _Asking:
    request = _request(settings, token, query, variables)
    if not isinstance(request, Request):
        return Declined("unwritable", request.reason)
    return _understood((yield request))


def _request(settings: Settings, token: str, query: str, variables: Json) -> Request | NotSent:
    key = settings.values.get("api_key", "")
    sign = (("vendure-api-key", key),) if key else ()
    sign = (("Authorization", f"Bearer {token}"),) if token else sign
    path = settings.values.get("admin_path", "/admin-api")
    try:
        body = json_body({"query": query, "variables": variables})
    except Unwritable as error:
        return NotSent(str(error))
    head = (*sign, ("Content-Type", "application/json"))
    return Request("POST", settings.base_url.rstrip("/") + path, head, body)


def _understood(answer: Response | Failure) -> Json | NotSent | Unknown | Declined:
    """What was made; or what an answer without it means. What is recorded is recorded once, so
    that an outcome that is not known is asked for again."""
    if isinstance(answer, Failure):
        return Unknown(answer.reason) if answer.sent else NotSent(answer.reason)
    if answer.status in (429, 503):
        return NotSent(f"HTTP {answer.status}", retry_after=retry_after(answer))
    try:
        body = json_object(answer.body)
        errors = parts(body, "errors")
    except Malformed:
        return Unknown(f"HTTP {answer.status} that cannot be read", alert=answer.status < 500)
    if errors:
        return _failed(errors[0])
    made = part(part(body, "data"), "made")
    if code := text(made, "errorCode"):
        said = text(made, "message")[:_TEXT_MAX]
        # An authorization that amends knows as captured is settled there before long.
        later = code == "REFUND_ORDER_STATE_ERROR"
        return Unknown(said, retry_after=MINUTE) if later else Declined(code, said)
    return made if made else Unknown(f"HTTP {answer.status} without an answer", alert=True)


def _failed(error: Json) -> NotSent | Unknown | Declined:
    code, said = text(part(error, "extensions"), "code"), text(error, "message")[:_TEXT_MAX]
    if code in ("FORBIDDEN", "UNAUTHORIZED", "UNAUTHENTICATED"):
        return NotSent(f"Vendure: {said or code}", alert=True)
    if code == "GRAPHQL_VALIDATION_FAILED":
        return NotSent(
            f"the amends plugin is not in Vendure, or another version: {said}", alert=True
        )
    if code in ("USER_INPUT_ERROR", "ENTITY_NOT_FOUND"):
        return Declined(code, said)
    return Unknown(said or code or "an error without a name", alert=True)


# -- settings --------------------------------------------------------------------------------------


def inspect(settings: Settings) -> Inspection:
    """Whether it can sign in, the plugin is there, and its payment methods are mapped."""
    token = yield from _sign_in(settings)
    if not isinstance(token, str):
        return (_sentence(token),)
    found = yield from _ask(settings, token, _ABOUT, {})
    if not isinstance(found, dict):
        return (_sentence(found),)
    wrong = []
    if whole(found, "version") != _PLUGIN:
        wrong.append(
            f"The plugin in Vendure is of version {whole(found, 'version')}, not {_PLUGIN}:"
            " install the one of this release."
        )
    here, there = settings.tables.get("payments", {}), found.get("paymentMethods")
    known = [one for one in there if isinstance(one, str)] if isinstance(there, list) else []
    where = f"[connections.{settings.name}.payments]"
    wrong += [
        f"Payment method {method!r} of Vendure is not in {where}: its orders are refused."
        for method in known
        if method not in here
    ]
    wrong += [
        f"{where} names {method!r}, which is no payment method of Vendure."
        for method in here
        if method not in known
    ]
    return tuple(wrong)


def _sentence(outcome: Outcome) -> str:
    if isinstance(outcome, Declined):
        return f"Vendure refuses: {outcome.text or outcome.code}."
    assert not isinstance(outcome, Accepted)
    return f"Vendure cannot be asked: {outcome.reason}."


def trouble(settings: Settings) -> str:
    """What is wrong with a connection's settings, "" if nothing is."""
    values = settings.values
    if not settings.base_url:
        return "base_url must say where Vendure is"
    if not values.get("api_key") and not (values.get("username") and values.get("password")):
        return "it needs an api_key, or a username and password"
    if not settings.tables.get("payments"):
        return "payments must say which connection each payment method of Vendure is paid by"
    return ""
