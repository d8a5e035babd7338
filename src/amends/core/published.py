"""What subscribers can hear of: a closed list of names, and whether a subscription wants one.

Beside what happened, a party that we have no gateway for can be told what an ERP, a shop's books or
whoever grants access is told (`TOLD`). Those it must ask for by name, since each stays in its place
until it was taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Published = Literal[
    "order.recorded",
    "order.updated",
    "order.cancelled",
    "order.parked",
    "order.unparked",
    "refund.created",
    "refund.refused",
    "refund.approved",
    "refund.declined",
    "refund.awaiting_return",
    "refund.held",
    "refund.sending",
    "refund.unknown",
    "refund.pending",
    "refund.requires_action",
    "refund.awaiting_funds",
    "refund.succeeded",
    "refund.failed",
    "refund.canceled",
    "refund.superseded",
    "refund.adopted",
    "review.opened",
    "review.updated",
    "review.overdue",
    "payment.updated",
    "return.authorized",
    "return.shipped",
    "return.received",
    "return.inspected",
    "return.cancelled",
    "lines.unavailable",
    "lines.cancelled",
    "dispute.opened",
    "dispute.updated",
    "dispute.closed",
    "fraud.warned",
    "exception.raised",
]
PUBLISHED: tuple[Published, ...] = get_args(Published)

# By the kind of telling (see outlets.KINDS), what it is called to a subscriber.
TOLD: dict[str, str] = {
    "credit_note": "erp.credit_note",
    "refund_paid": "erp.refund_paid",
    "goods_returned": "erp.goods_returned",
    "lines_released": "erp.lines_released",
    "books": "erp.books",
    "refund_recorded": "shop.refund_recorded",
    "access_changed": "access.changed",
}

VERSION = "2026-11"  # of the payloads; a new one only where a field would change its meaning


def wants(patterns: Iterable[str], name: str) -> bool:
    """Whether one of `patterns` is the name itself, the beginning of it ("refund.*"), or "*"."""
    return any(
        pattern == name or (pattern.endswith("*") and name.startswith(pattern[:-1]))
        for pattern in patterns
    )


def kinds_asked_for(patterns: Iterable[str]) -> frozenset[str]:
    """The kinds of tellings that `patterns` name; "*" is every event, and none of these."""
    named = [pattern for pattern in patterns if pattern != "*"]
    return frozenset(kind for kind, name in TOLD.items() if wants(named, name))


def unheard(patterns: Iterable[str]) -> list[str]:
    """Those of `patterns` that want nothing that is ever published or told."""
    names = (*PUBLISHED, *TOLD.values())
    return [p for p in patterns if not any(wants((p,), name) for name in names)]
