"""The shapes of what a shop told of an order besides its money."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from amends.core.requests import Tracking

When = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Signals(msgspec.Struct):
    """Which fingerprints of an order are known, and whether it is sent elsewhere than billed."""

    known: list[Literal["card", "address", "device"]]
    address_mismatch: bool | None


class Delivery(msgspec.Struct):
    """How far the parcel is, by the carrier's word."""

    delivered_at: When | None
    tracking: Tracking | None
