"""What Stripe's webhooks say and what it means, case by case."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from amends.core.facts import (
    Addressed,
    DisputeReported,
    FraudWarned,
    PaymentReported,
    RefundReported,
)
from amends.gateways import stripe
from amends.gateways.spec import Settings
from amends.kernel.outcome import PaymentState, RefundState, Settled
from tests.gateways.table import NOW, NOW_SECONDS, Heard, Table, dumps, judge

SETTINGS = Settings(name="stripe-eu", gateway="stripe", values={"api_key": "sk_test_51Table"})
PI, CH = "pi_table", "ch_table"


def sign(raw: bytes, secret: str, seconds: int) -> dict[str, str]:
    """The header of a genuine message."""
    mac = hmac.new(secret.encode(), f"{seconds}.".encode() + raw, hashlib.sha256)
    return {"stripe-signature": f"t={seconds},v1={mac.hexdigest()}"}


# --- objects, as Stripe shapes them ------------------------------------------------------------


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "id": "re_1",
        "object": "refund",
        "amount": 3200,
        "currency": "eur",
        "status": "succeeded",
        "created": NOW_SECONDS,
        "charge": CH,
        "payment_intent": PI,
        "balance_transaction": "txn_1",
        "reason": "requested_by_customer",
        "metadata": {
            "amends_order": "ord_01",
            "amends_refund": "rf_01",
            "amends_leg": "leg_01",
            "amends_epoch": "1",
        },
        **changes,
    }


def by_others(**changes: Any) -> dict[str, Any]:
    """A refund we did not make."""
    return refund(**{"metadata": {}, "id": "re_9", **changes})


def intent(**changes: Any) -> dict[str, Any]:
    return {
        "id": PI,
        "object": "payment_intent",
        "amount": 10000,
        "amount_capturable": 0,
        "amount_received": 10000,
        "currency": "eur",
        "status": "succeeded",
        "latest_charge": CH,
        **changes,
    }


def charge(**changes: Any) -> dict[str, Any]:
    return {
        "id": CH,
        "object": "charge",
        "amount": 10000,
        "amount_captured": 10000,
        "amount_refunded": 0,
        "captured": True,
        "refunded": False,
        "currency": "eur",
        "status": "succeeded",
        "payment_intent": PI,
        **changes,
    }


def dispute(**changes: Any) -> dict[str, Any]:
    return {
        "id": "dp_1",
        "object": "dispute",
        "amount": 10000,
        "currency": "eur",
        "status": "needs_response",
        "charge": CH,
        "payment_intent": PI,
        "balance_transactions": [],
        **changes,
    }


def move(amount: int, currency: str = "eur") -> dict[str, Any]:
    return {"object": "balance_transaction", "amount": amount, "currency": currency, "fee": 1500}


def event(kind: str, subject: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "created": NOW_SECONDS,
        "livemode": False,
        "data": {"object": subject},
        **changes,
    }


# --- what webhooks say -------------------------------------------------------------------------

STATE = RefundState(
    "re_1", "succeeded", 3200, "EUR", "leg_01", 1, "", NOW, settled=Settled("txn_1")
)
BOTH = (PI, CH)
KNOWN = (("stripe-eu", PI), ("stripe-eu", CH))


def refund_fact(state: RefundState, order: str = "ord_01", ids: Any = BOTH) -> Addressed:
    known = tuple(("stripe-eu", psp_id) for psp_id in ids)
    return Addressed(RefundReported("stripe-eu", ids, state, order), payments=known)


def payment_fact(**state: Any) -> Addressed:
    report = PaymentReported("stripe-eu", BOTH, PaymentState(**state), "EUR")
    return Addressed(report, payments=KNOWN)


def dispute_fact(
    status: str, is_open: bool, withdrawn: int, held: tuple[str, int, int] | None = None
) -> Addressed:
    """`held`: currency, amount and fees of what it took off the balance."""
    fact = DisputeReported(
        *("stripe-eu", BOTH, "dp_1", 10000, "EUR", status, is_open, withdrawn),
        settled=Settled("dp_1", *held) if held else None,
    )
    return Addressed(fact, payments=KNOWN)


def state_of(**changes: Any) -> RefundState:
    fields = {name: getattr(STATE, name) for name in STATE.__struct_fields__}
    return RefundState(**{**fields, **changes})


OTHERS = state_of(psp_refund_id="re_9", leg="", epoch=0)

_REFUNDS = (
    Heard("refund made", event("refund.created", refund()), (refund_fact(STATE),)),
    Heard(
        "refund under way",
        event("refund.updated", refund(status="pending", pending_reason="processing")),
        (refund_fact(state_of(status="pending")),),
    ),
    Heard(
        "refund waits for money",
        event("refund.created", refund(status="pending", pending_reason="insufficient_funds")),
        (refund_fact(state_of(status="awaiting_funds")),),
    ),
    Heard(
        "refund failed after it had succeeded",
        event("refund.failed", refund(status="failed", failure_reason="lost_or_stolen_card")),
        (refund_fact(state_of(status="failed", failure_reason="lost_or_stolen_card")),),
    ),
    Heard(
        "refund by others, payment and charge expanded",
        event("refund.created", by_others(payment_intent=intent(), charge=charge())),
        (refund_fact(OTHERS, order=""),),
    ),
    Heard(
        "old name, nulls, and a status nobody knows yet",
        event(
            "charge.refund.updated",
            by_others(payment_intent=None, metadata=None, status="reversing", reason=None),
        ),
        (
            refund_fact(
                state_of(psp_refund_id="re_9", leg="", epoch=0, status="pending"), "", (CH,)
            ),
        ),
    ),
    Heard(
        "refund in a currency Stripe counts otherwise",
        event("refund.created", refund(currency="ugx", amount=50000)),
        (refund_fact(state_of(amount=500, currency="UGX")),),
    ),
    Heard(
        "marks that are not ours",
        event("refund.created", refund(metadata={"amends_leg": 7, "amends_epoch": "1e9"})),
        (refund_fact(state_of(leg="", epoch=0), order=""),),
    ),
    Heard(
        "only our mark names the order",
        event("refund.created", refund(payment_intent=None, charge=None)),
        (Addressed(RefundReported("stripe-eu", (), STATE, "ord_01"), order="ord_01"),),
    ),
    Heard(
        "refund of a customer's cash balance",
        event("refund.created", by_others(payment_intent=None, charge=None)),
        (),
    ),
    Heard(
        "expired authorization dressed as a refund",
        event("refund.created", by_others(reason="expired_uncaptured_charge")),
        (),
    ),
    Heard(
        "released rest of an authorization dressed as a refund",
        event("refund.created", by_others(reason=None, balance_transaction=None)),
        (),
    ),
)

_PAYMENTS = (
    Heard(
        "charge partly refunded",
        event("charge.refunded", charge(amount_refunded=3200)),
        (payment_fact(authorized=10000, captured=10000, refunded=3200),),
    ),
    Heard(
        "charge refunded, old version with its refunds",
        event(
            "charge.refunded",
            charge(
                amount_refunded=6400,
                refunds={"object": "list", "data": [by_others(payment_intent=None), refund()]},
            ),
        ),
        (
            refund_fact(OTHERS, order=""),
            refund_fact(STATE),
            payment_fact(authorized=10000, captured=10000, refunded=6400),
        ),
    ),
    Heard(
        "authorization expired: looks refunded, no money moved",
        event(
            "charge.expired",
            charge(captured=False, amount_captured=0, refunded=True, amount_refunded=10000),
        ),
        (payment_fact(authorized=10000, captured=0, refunded=0, canceled=True, capturable=0),),
    ),
    Heard(
        "authorization canceled, told as a refund of the charge",
        event(
            "charge.refunded",
            charge(captured=False, amount_captured=0, refunded=True, amount_refunded=10000),
        ),
        (payment_fact(authorized=10000, captured=0, refunded=0, canceled=True, capturable=0),),
    ),
    Heard(
        "authorized",
        event("charge.succeeded", charge(captured=False, amount_captured=0)),
        (payment_fact(authorized=10000, captured=0, refunded=0, capturable=10000),),
    ),
    Heard(
        "partly captured: the released rest is no refund",
        event("charge.captured", charge(amount_captured=8000, amount_refunded=10000)),
        (payment_fact(authorized=10000, captured=8000, refunded=8000),),
    ),
    Heard(
        "partly captured: cannot be told",
        event("charge.updated", charge(amount_captured=8000, amount_refunded=2000)),
        (payment_fact(authorized=10000, captured=8000, refunded=-1),),
    ),
    Heard(
        "captured, before amounts captured were told",
        event("charge.captured", charge(amount_captured=None)),
        (payment_fact(authorized=10000, captured=10000, refunded=0),),
    ),
    Heard("one failed try", event("charge.failed", charge(status="failed")), ()),
    Heard("a pending debit", event("charge.updated", charge(status="pending")), ()),
    Heard(
        "captured",
        event("payment_intent.succeeded", intent()),
        (payment_fact(authorized=10000, captured=10000, capturable=0),),
    ),
    Heard(
        "can be captured",
        event(
            "payment_intent.amount_capturable_updated",
            intent(status="requires_capture", amount_received=0, amount_capturable=10000),
        ),
        (payment_fact(authorized=10000, captured=0, capturable=10000),),
    ),
    Heard(
        "canceled, charge expanded",
        event(
            "payment_intent.canceled",
            intent(
                status="canceled",
                amount_received=0,
                latest_charge=charge(
                    captured=False, amount_captured=0, refunded=True, amount_refunded=10000
                ),
            ),
        ),
        (payment_fact(captured=0, refunded=0, canceled=True, capturable=0),),
    ),
)

_DISPUTES = (
    Heard(
        "dispute opens, money taken, fee apart",
        event("charge.dispute.created", dispute(balance_transactions=[move(-10000)])),
        (dispute_fact("needs_response", True, 10000, ("EUR", 10000, 1500)),),
    ),
    Heard(
        "dispute opens, nothing said of money",
        event("charge.dispute.created", dispute()),
        (dispute_fact("needs_response", True, -1),),
    ),
    Heard(
        "inquiry",
        event("charge.dispute.created", dispute(status="warning_needs_response")),
        (dispute_fact("warning_needs_response", True, 0),),
    ),
    Heard(
        "inquiry closed",
        event("charge.dispute.closed", dispute(status="warning_closed")),
        (dispute_fact("warning_closed", False, 0),),
    ),
    Heard(
        "won, money back",
        event(
            "charge.dispute.closed",
            dispute(status="won", balance_transactions=[move(-10000), move(10000)]),
        ),
        (dispute_fact("won", False, 0, ("EUR", 0, 3000)),),
    ),
    Heard(
        "won in part",
        event(
            "charge.dispute.funds_reinstated",
            dispute(status="won", balance_transactions=[move(-10000), move(4000)]),
        ),
        (dispute_fact("won", False, 6000, ("EUR", 6000, 3000)),),
    ),
    Heard(
        "lost, settled in another currency",
        event(
            "charge.dispute.closed",
            dispute(status="lost", balance_transactions=[move(-11111, "usd")]),
        ),
        (dispute_fact("lost", False, 10000, ("USD", 11111, 1500)),),
    ),
    Heard(
        "won, settled in another currency at another rate",
        event(
            "charge.dispute.closed",
            dispute(status="won", balance_transactions=[move(-11111, "usd"), move(11002, "usd")]),
        ),
        (dispute_fact("won", False, 0, ("USD", 109, 3000)),),
    ),
    Heard(
        "taken off balances in two currencies, which do not add",
        event(
            "charge.dispute.updated",
            dispute(balance_transactions=[move(-11111, "usd"), move(-1, "gbp")]),
        ),
        (dispute_fact("needs_response", True, 10000),),
    ),
    Heard(
        "money taken, by the event's name",
        event("charge.dispute.funds_withdrawn", dispute(balance_transactions=None)),
        (dispute_fact("needs_response", True, 10000),),
    ),
    Heard(
        "money back, by the event's name",
        event("charge.dispute.funds_reinstated", dispute(status="won")),
        (dispute_fact("won", False, 0),),
    ),
    Heard(
        "appeal, a status of newer versions",
        event("charge.dispute.updated", dispute(status="appeal_needs_response")),
        (dispute_fact("appeal_needs_response", True, -1),),
    ),
    Heard(
        "early fraud warning",
        event(
            "radar.early_fraud_warning.created",
            {"id": "issfr_1", "charge": CH, "payment_intent": PI, "actionable": True},
        ),
        (Addressed(FraudWarned("stripe-eu", BOTH, "issfr_1", True), payments=KNOWN),),
    ),
    Heard(
        "early fraud warning, too late",
        event(
            "radar.early_fraud_warning.updated",
            {"id": "issfr_1", "charge": charge(), "payment_intent": PI, "actionable": False},
        ),
        (Addressed(FraudWarned("stripe-eu", BOTH, "issfr_1", False), payments=KNOWN),),
    ),
)

_OTHER = (
    Heard("not about refunds", event("payout.paid", {"id": "po_1"}), ()),
    Heard("a type of tomorrow", event("refund.dreamt_of", None), ()),
)

HEARING = Table(
    gateway=stripe,
    settings=SETTINGS,
    secret="whsec_table_secret",
    other_secret="whsec_another",
    sign=sign,
    vectors=("stripe.json",),
    payloads=("stripe.json",),
    verify=stripe.verify,
    judge=lambda vectors, case: judge(stripe.verify, case, case["secrets"]),
    moves=("refund.", "charge.", "payment_intent.", "radar."),
    heard=_REFUNDS + _PAYMENTS + _DISPUTES + _OTHER,
    unreadable=(
        ("no JSON", b"hello", "JSON"),
        ("no UTF-8", b'{"id":"\xff"}', "JSON"),
        ("no object", b"[]", "object"),
        ("no event", dumps({"id": "re_1", "object": "refund"}), "event"),
        ("no id", dumps({**event("payout.paid", {}), "id": None}), "id"),
        ("no type", dumps({**event("", {})}), "type"),
        ("nothing in it", dumps(event("refund.created", None)), "data.object"),
        ("no amount", dumps(event("refund.created", refund(amount=None))), "amount"),
        ("half an amount", dumps(event("refund.created", refund(amount=1.5))), "amount"),
        ("truth for an amount", dumps(event("refund.created", refund(amount=True))), "amount"),
        ("less than nothing", dumps(event("refund.created", refund(amount=-1))), "amount"),
        ("no currency", dumps(event("refund.created", refund(currency=None))), "currency"),
        ("no money", dumps(event("refund.created", refund(currency="xyz"))), "XYZ"),
        ("half a krona", dumps(event("refund.created", refund(currency="isk", amount=150))), "ISK"),
        ("another object", dumps(event("refund.created", charge())), "refund"),
        (
            "dispute of nothing",
            dumps(event("charge.dispute.created", dispute(charge=None, payment_intent=None))),
            "charge",
        ),
    ),
)
