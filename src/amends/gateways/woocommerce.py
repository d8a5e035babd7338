"""WooCommerce: what its webhooks tell, and how its orders hear of refunds and goods (REST API v3).

Sources: woocommerce/woocommerce `includes/class-wc-webhook.php` (signature, delivery id, ping) and
its REST API documentation. It never repeats a message, and after more than five failures in a row
sends none any more; a delivery id is of its webhook and second, so that two messages can share one:
a message is known by its body.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from amends.gateways import shop_orders as shops
from amends.gateways.codecs import Malformed, text
from amends.gateways.signatures import header, hmac_sha256, same, usable, wire_bytes
from amends.gateways.spec import (
    Capabilities,
    Genuine,
    Message,
    NotGenuine,
    Settings,
    Unreadable,
)
from amends.gateways.woocommerce_orders import order_facts
from amends.gateways.woocommerce_talk import talk
from amends.kernel.time import Instant

__all__ = ["CAPABILITIES", "ping", "read", "talk", "trouble", "verify"]

CAPABILITIES = Capabilities(
    name="woocommerce",
    provider=False,
    requests_per_second=5,  # WordPress has no limit of its own; hosts have
    settings=("store_url", "consumer_key", "consumer_secret"),
    secrets=("consumer_key", "consumer_secret"),
    tables=("payments",),
    takes=("refund_recorded", "goods_returned", "lines_released"),
    own_orders=True,
)

_PING = re.compile(rb"webhook_id=\d{1,19}")
_READ = ("order.created", "order.updated", "order.restored")


def verify(
    raw: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], now: Instant
) -> Genuine | NotGenuine:
    """Whether one of `secrets` signed `raw`: base64 of HMAC-SHA256 in `X-WC-Webhook-Signature`.
    WordPress may keep a secret with entities (`&amp;`) and signs with what they stand for: that is
    the secret here. Never raises. Nothing signed tells time: a replay shows only in its body."""
    given = header(headers, "x-wc-webhook-signature")
    expected = [base64.b64encode(hmac_sha256(wire_bytes(key), raw)) for key in usable(secrets)]
    matches = [same(ours.decode("ascii"), given) for ours in expected]
    if any(matches):
        return Genuine()
    return NotGenuine("X-WC-Webhook-Signature is missing or by no secret of this connection")


def trouble(settings: Settings) -> str:
    """What is wrong with a connection's settings, "" if nothing is."""
    if not settings.values.get("store_url", "").startswith("https://"):
        return "store_url begins with https://: the key goes with every request"
    return ""


def ping(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Whether this is the greeting of a new webhook: `webhook_id=17`, unsigned. It says nothing,
    and must be answered 200 or the webhook is not saved."""
    signed = header(headers, "x-wc-webhook-signature") or header(headers, "x-wc-webhook-topic")
    return not signed and _PING.fullmatch(raw) is not None


def read(raw: bytes, headers: Mapping[str, str], settings: Settings) -> Message:
    """The facts in a genuine message. Raises Unreadable, and nothing else."""
    topic = header(headers, "x-wc-webhook-topic")
    try:
        body = shops.exact_object(raw)
        if not topic:
            raise Malformed("X-WC-Webhook-Topic is missing")
        facts = order_facts(body, settings) if topic in _READ else ()
    except Malformed as error:
        raise Unreadable(f"{topic[:60] or 'no topic'}: {error}") from error
    at = shops.moment(text(body, "date_modified_gmt"), "Z")
    return Message(id=shops.body_id(raw), type=topic, facts=facts, sent_at=at)
