"""Shopify: what its webhooks tell, and how its orders hear of refunds and goods (Admin API).

A message is signed over its body alone: `X-Shopify-Topic` and the ids beside it are not. So a topic
only chooses how the body is read; what a body means follows from the body, which names the kind of
thing it is in `admin_graphql_api_id`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping

import msgspec

from amends.core.facts import Addressed
from amends.gateways import shop_orders as shops
from amends.gateways.codecs import Json, Malformed, text
from amends.gateways.shopify_orders import (
    names_no_payment,
    order_facts,
    refund_facts,
    return_facts,
)
from amends.gateways.shopify_talk import talk, transactions
from amends.gateways.signatures import header, hmac_sha256, same, usable, wire_bytes
from amends.gateways.spec import (
    Capabilities,
    Completion,
    Genuine,
    Message,
    NotGenuine,
    Settings,
    Unreadable,
)
from amends.kernel.outcome import NotSent
from amends.kernel.time import Instant

__all__ = ["CAPABILITIES", "complete", "read", "talk", "trouble", "verify"]

CAPABILITIES = Capabilities(
    name="shopify",
    provider=False,
    requests_per_second=2,  # the smallest plan restores 100 points a second
    settings=("shop", "access_token"),
    secrets=("access_token",),
    optional=("location", "refund_transactions"),
    tables=("payments", "locations"),
    takes=("refund_recorded", "goods_returned", "lines_released"),
    own_orders=True,
)


def verify(
    raw: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], now: Instant
) -> Genuine | NotGenuine:
    """Whether one of `secrets` (the app's client secrets) signed `raw`: base64 of HMAC-SHA256 in
    `X-Shopify-Hmac-SHA256`. Never raises. Nothing signed tells time."""
    given = header(headers, "x-shopify-hmac-sha256")
    expected = [base64.b64encode(hmac_sha256(wire_bytes(key), raw)) for key in usable(secrets)]
    matches = [same(ours.decode("ascii"), given) for ours in expected]
    if any(matches):
        return Genuine()
    return NotGenuine("X-Shopify-Hmac-SHA256 is missing or by no secret of this connection")


def read(raw: bytes, headers: Mapping[str, str], settings: Settings) -> Message:
    """The facts in a genuine message. Raises Unreadable, and nothing else."""
    topic = header(headers, "x-shopify-topic")
    try:
        body = shops.exact_object(raw)
        if not topic:
            raise Malformed("X-Shopify-Topic is missing")
        kind, reader = _READERS.get(topic, ("", _nothing))
        said = text(body, "admin_graphql_api_id")
        if kind and said and not said.startswith(f"gid://shopify/{kind}/"):
            raise Malformed(f"the topic is {topic[:60]!r}, the body another thing: {said[:60]!r}")
        facts = reader(body, settings)
    except Malformed as error:
        raise Unreadable(f"{topic[:60] or 'no topic'}: {error}") from error
    return Message(
        id=header(headers, "x-shopify-webhook-id") or shops.body_id(raw),
        type=topic,
        facts=facts,
        sent_at=shops.moment(header(headers, "x-shopify-triggered-at")),
    )


def trouble(settings: Settings) -> str:
    """What is wrong with a connection's settings, "" if nothing is."""
    if not _SHOP.fullmatch(settings.values.get("shop", "")):
        return "shop is the shop's name at Shopify, as in example.myshopify.com"
    if settings.values.get("refund_transactions", "manual") not in ("manual", "none"):
        return "refund_transactions is manual or none"
    places = (settings.values.get("location", "1"), *settings.tables.get("locations", {}).values())
    if not all(place.isascii() and place.isdigit() for place in places):
        return "location, and each of locations, is the number of a location at Shopify"
    return ""


def complete(raw: bytes, headers: Mapping[str, str], settings: Settings) -> Completion:
    """The message of an order with its `transactions`: which payments it was paid by is only to be
    asked for. Any other message as it is. Never raises."""
    topic = header(headers, "x-shopify-topic")
    try:
        body = shops.exact_object(raw)
    except Malformed:
        return raw
    if _READERS.get(topic, ("",))[0] != "Order" or not names_no_payment(body, settings):
        return raw
    found = yield from transactions(shops.shop_id(body, "id"), settings)
    if isinstance(found, NotSent):
        return found
    return msgspec.json.encode({**body, "transactions": found})


def _nothing(body: Json, settings: Settings) -> tuple[Addressed, ...]:
    """Stock levels name no order, nor does what becomes of goods that came back; fulfillments and
    edits say what the message of their order says too, and whole."""
    return ()


_SHOP = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com")
_Reader = Callable[[Json, Settings], tuple[Addressed, ...]]
_READERS: dict[str, tuple[str, _Reader]] = {
    **{
        f"orders/{event}": ("Order", order_facts)
        for event in ("create", "updated", "paid", "cancelled", "fulfilled", "partially_fulfilled")
    },
    "refunds/create": ("Refund", refund_facts),
    **{
        f"returns/{event}": ("Return", return_facts)
        for event in ("request", "approve", "decline", "cancel", "close", "reopen")
    },
}
