"""Nothing in the reference material is left out by oversight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from amends.gateways.spec import Unreadable
from tests.gateways import reference
from tests.gateways.table import Table, dumps
from tests.gateways.test_hearing import TABLES as HEARING
from tests.gateways.test_providers import TABLES as MONEY


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Published names of events that say nothing of refunds, captures, cancellations, cases or warnings:
# failed tries to pay, orders, the API before this one, what a refund has beside itself.
SILENT = {
    "stripe": {
        *("source.refund_attributes_required", "transfer.reversed"),
        *("application_fee.refunded", "application_fee.refund.updated"),
        *("credit_note.created", "credit_note.updated", "credit_note.voided"),
        *("payment_intent.payment_failed", "charge.failed", "charge.pending"),
        *("review.opened", "review.closed"),
    },
    "paypal": {
        *("PAYMENT.SALE.REFUNDED", "PAYMENT.SALE.REVERSED", "RISK.DISPUTE.CREATED"),
        *("CHECKOUT.ORDER.APPROVED", "CHECKOUT.ORDER.COMPLETED", "CHECKOUT.ORDER.PROCESSED"),
        *("CHECKOUT.PAYMENT-APPROVAL.REVERSED", "PAYMENT.ORDER.CANCELLED"),
    },
}
KINDS = ("refund", "auth_void_capture", "order", "dispute", "fraud", "not_confirmed")


@pytest.mark.parametrize("name", SILENT)
def test_every_published_event_is_known_or_has_no_facts(name: str, shared: Path) -> None:
    """Adyen's are in `test_adyen_webhooks`."""
    rows = json.loads((shared / "psp/webhook_events.json").read_text())[name]
    published = {event.partition("(")[0] for kind in KINDS for event in rows.get(kind, ())}
    table = HEARING[name]
    like = {table.type_of(case.body): case.body for case in table.heard if case.facts}
    told = {event for event in published if any(_is_told(table, event, b) for b in like.values())}
    assert published - told == SILENT[name]


def _is_told(table: Table, event: str, body: Any) -> bool:
    """Whether an event of that name, with what this message holds, has facts."""
    field = "event_type" if "event_type" in body else "type"
    try:
        return bool(table.gateway.read(dumps({**body, field: event}), {}, table.settings).facts)
    except Unreadable:
        return False


def _counted(folder: Path, key: str, names: dict[str, int]) -> dict[str, int]:
    return {name: len(json.loads((folder / name).read_text())[key]) for name in names}


def test_every_file_of_signature_vectors_is_judged(shared: Path) -> None:
    judged = [name for table in HEARING.values() for name in table.vectors]
    assert sorted(judged) == sorted(reference.VECTORS)
    folder = shared / "psp/vectors"
    assert _names(folder) == set(judged)
    assert _counted(folder, "cases", reference.VECTORS) == reference.VECTORS


def test_every_file_of_messages_is_read(shared: Path) -> None:
    read = [name for table in HEARING.values() for name in table.payloads]
    assert sorted(read) == sorted(reference.PAYLOADS)
    folder = shared / "psp/payloads"
    assert _names(folder) == set(read)
    assert _counted(folder, "events", reference.PAYLOADS) == reference.PAYLOADS


def test_every_openapi_file_checks_requests_or_is_said_not_to(shared: Path) -> None:
    asked = {name for t in MONEY.values() for version in t.openapi for name in version}
    others = {*reference.SHAPES, *reference.NOTHING_ASKED, "README.md"}
    assert not asked & others
    assert _names(shared / "psp/openapi") == asked | others
