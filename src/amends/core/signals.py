"""What a shop tells of an order besides its money: fingerprints, and how its delivery went.

Fingerprints reach a fact only as the SHA-256 of what was told (invariant I15); the doors see to it.
"""

from __future__ import annotations

import msgspec

from amends.core.reasons import Reason, Refused
from amends.core.requests import DeliveryIn, OrderIn, SignalsIn, Tracking
from amends.kernel.time import Instant, parse_rfc3339


class Signals(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hashes of what the order was paid with, sent to and placed from; "" where it is not known.
    `address_mismatch`: whether it is sent elsewhere than it is billed to, None if not known."""

    card: str = ""
    address: str = ""
    device: str = ""
    address_mismatch: bool | None = None


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far the parcel is, by the carrier's word; 0 and None where it is not known."""

    delivered_at: Instant = 0
    tracking: Tracking | None = None


NO_SIGNALS = Signals()
NO_DELIVERY = Delivery()


def check(report: OrderIn) -> None:
    """Every time is one. Raises Refused."""
    if report.customer is not None:
        _instant(report.customer.since, "/customer/since")
    if report.delivery is not None:
        _instant(report.delivery.delivered_at, "/delivery/delivered_at")


def since_of(report: OrderIn) -> Instant:
    """When the customer's account was made, of a report that was checked; 0: it does not say."""
    said = report.customer.since if report.customer is not None else ""
    return _instant(said, "/customer/since")


def signals_of(said: SignalsIn) -> Signals:
    """As they are kept."""
    return Signals(said.card, said.address, said.device, said.address_mismatch)


def delivery_of(said: DeliveryIn) -> Delivery:
    """As it is kept, of a report that was checked."""
    return Delivery(_instant(said.delivered_at, "/delivery/delivered_at"), said.tracking)


def _instant(text: str, pointer: str) -> Instant:
    if not text:
        return 0
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError) as error:
        detail = f"{text!r} is not an RFC 3339 time with a zone: {error}."
        raise Refused(Reason.VALIDATION, detail, pointer=pointer) from None
