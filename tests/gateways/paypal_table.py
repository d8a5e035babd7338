"""What PayPal's webhooks say and what it means, case by case."""

from __future__ import annotations

from functools import partial
from typing import Any

from amends.core.facts import Addressed, DisputeReported, PaymentToRead
from amends.gateways import paypal
from amends.gateways.spec import Genuine, NotGenuine, Settings, Trust
from tests.gateways.paypal_certificates import TRUST, sign
from tests.gateways.table import Heard, Table, dumps, judge

SETTINGS = Settings(
    name="paypal-eu",
    gateway="paypal",
    values={
        "client_id": "AcOwnTableClient",
        "client_secret": "E" + "cret-Table_" * 7 + "99",
        "environment": "sandbox",
    },
)
SECRET, OTHER_SECRET = "8PT597110X687430LKGECATA", "1JE4291016473214C"
CAPTURE, AUTH, ORDER = "2GG279541U471931P", "5O845690KJ123456A", "3XY11223AB998877C"
API = "https://api.sandbox.paypal.com/v2"
TIME = "2026-09-21T14:13:20Z"


def judged(vectors: Any, case: Any) -> Genuine | NotGenuine:
    """One case of the reference vectors; the certificate is fetched only where it may be."""
    headers = {name.lower(): value for name, value in case["headers"].items()}
    environment = {"environment": case.get("environment", "live")}
    connection = Settings(name="paypal", gateway="paypal", values=environment)
    url = paypal.certificate_url(headers, connection)
    assert not (url and case.get("must_not_fetch")), case["id"]
    chain = vectors["certificates"][url].encode() if url else b""
    trust = Trust(url, chain, vectors["trust_anchor_pem"].encode()) if url else None
    return judge(partial(paypal.verify, trust=trust), case, [case["webhook_id"]])


# --- objects, as PayPal shapes them ------------------------------------------------------------


def money(value: str = "32.00", currency: str = "EUR") -> dict[str, str]:
    return {"currency_code": currency, "value": value}


def link(rel: str, path: str, method: str = "GET") -> dict[str, str]:
    return {"href": f"{API}/{path}", "rel": rel, "method": method}


def refund(**changes: Any) -> dict[str, Any]:
    made = {
        "id": "1JU08902781691411",
        "amount": money(),
        "status": "COMPLETED",
        "custom_id": "amends.ord_01.leg_01.1",
        "invoice_id": "leg_01-1",
        "create_time": TIME,
        "update_time": TIME,
        **changes,
    }
    own = [
        link("self", f"payments/refunds/{made['id']}"),
        link("up", f"payments/captures/{CAPTURE}"),
    ]
    return {"links": own, **made}


def by_others(**changes: Any) -> dict[str, Any]:
    """A refund we did not make; PayPal hands the payment's own ids down to it."""
    given = {"id": "9KL55511781691499", "custom_id": "order-1001", "invoice_id": "INVOICE-123"}
    return refund(**{**given, **changes})


def capture(**changes: Any) -> dict[str, Any]:
    made = {
        "id": CAPTURE,
        "amount": money("100.00"),
        "status": "COMPLETED",
        "final_capture": True,
        "custom_id": "order-1001",
        "supplementary_data": {"related_ids": {"order_id": ORDER}},
        "create_time": TIME,
        **changes,
    }
    own = [
        link("self", f"payments/captures/{made['id']}"),
        link("refund", f"payments/captures/{made['id']}/refund", "POST"),
        link("up", f"checkout/orders/{ORDER}"),
    ]
    return {"links": own, **made}


def authorization(**changes: Any) -> dict[str, Any]:
    made = {
        "id": AUTH,
        "amount": money("100.00"),
        "status": "CREATED",
        "custom_id": "order-1001",
        "expiration_time": "2026-10-20T14:13:20Z",
        "create_time": TIME,
        **changes,
    }
    own = [
        link("self", f"payments/authorizations/{made['id']}"),
        link("void", f"payments/authorizations/{made['id']}/void", "POST"),
        link("up", f"checkout/orders/{ORDER}"),
    ]
    return {"links": own, **made}


def order(*units: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An order; each unit is its `payments`."""
    listed = [{"reference_id": str(at), "payments": unit} for at, unit in enumerate(units)]
    return {"id": ORDER, "status": "COMPLETED", "purchase_units": listed, **changes}


def dispute(**changes: Any) -> dict[str, Any]:
    return {
        "dispute_id": "PP-D-1",
        "create_time": TIME,
        "disputed_transactions": [
            {"buyer_transaction_id": "3BC38643YC807283D", "seller_transaction_id": CAPTURE}
        ],
        "reason": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
        "status": "WAITING_FOR_SELLER_RESPONSE",
        "dispute_amount": money("100.00"),
        "dispute_life_cycle_stage": "CHARGEBACK",
        **changes,
    }


def event(kind: str, resource: Any, resource_type: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": "WH-1-2",
        "event_version": "1.0",
        "create_time": TIME,
        "resource_type": resource_type,
        "resource_version": "2.0",
        "event_type": kind,
        "summary": "Something happened",
        "resource": resource,
        **changes,
    }


# --- what webhooks say -------------------------------------------------------------------------


def look(*ids: str) -> Addressed:
    """Only this is asked for: look at that payment."""
    known = tuple(("paypal-eu", psp_id) for psp_id in ids)
    return Addressed(PaymentToRead("paypal-eu", ids), payments=known)


def disputed(status: str, is_open: bool, psp_id: str = CAPTURE, **changes: Any) -> Addressed:
    fields = {"dispute": "PP-D-1", "amount": 10000, "currency": "EUR", **changes}
    fact = DisputeReported("paypal-eu", (psp_id,), status=status, open=is_open, **fields)
    return Addressed(fact, payments=(("paypal-eu", psp_id),))


def _refunded(name: str, resource: Any, *facts: Addressed, kind: str = "REFUNDED") -> Heard:
    return Heard(name, event(f"PAYMENT.CAPTURE.{kind}", resource, "refund"), facts)


def _resolved(name: str, outcome: Any, status: str) -> Heard:
    body = dispute(status="RESOLVED", dispute_outcome=outcome)
    facts = (disputed(status, False), look(CAPTURE))
    return Heard(name, event("CUSTOMER.DISPUTE.RESOLVED", body, "dispute"), facts)


_PAYMENTS = (
    _refunded("refund made", refund(), look(CAPTURE)),
    _refunded("refund pending, by others", by_others(status="PENDING"), look(CAPTURE)),
    _refunded("a refund of no amount: none is believed", refund(amount=None), look(CAPTURE)),
    _refunded("taken back by PayPal", by_others(), look(CAPTURE), kind="REVERSED"),
    Heard(
        "taken back by PayPal, told with the capture",
        event("PAYMENT.CAPTURE.REVERSED", capture(status="REFUNDED"), "capture"),
        (look(CAPTURE, ORDER),),
    ),
    Heard(
        "refund failed: an event nobody has confirmed",
        event("PAYMENT.REFUND.FAILED", refund(status="FAILED"), "refund"),
        (look(CAPTURE),),
    ),
    Heard(
        "captured",
        event("PAYMENT.CAPTURE.COMPLETED", capture(), "capture"),
        (look(CAPTURE, ORDER),),
    ),
    Heard(
        "captured from an authorization, told without links",
        event(
            "PAYMENT.CAPTURE.COMPLETED",
            capture(
                links=None,
                supplementary_data={"related_ids": {"order_id": ORDER, "authorization_id": AUTH}},
            ),
            "capture",
        ),
        (look(CAPTURE, AUTH, ORDER),),
    ),
    Heard(
        "capture declined, its legacy name",
        event("PAYMENT.CAPTURE.DENIED", capture(status="DECLINED"), "capture"),
        (look(CAPTURE, ORDER),),
    ),
    Heard(
        "authorized",
        event("PAYMENT.AUTHORIZATION.CREATED", authorization(), "authorization"),
        (look(AUTH, ORDER),),
    ),
    Heard(
        "voided, or expired: the same event",
        event("PAYMENT.AUTHORIZATION.VOIDED", authorization(status="VOIDED"), "authorization"),
        (look(AUTH, ORDER),),
    ),
    Heard(
        "an event of tomorrow about a payment",
        event("PAYMENT.CAPTURE.PARTED", {"id": CAPTURE, "status": "PARTED"}, "capture"),
        (look(CAPTURE),),
    ),
)

_DISPUTES = (
    Heard(
        "case opened",
        event("CUSTOMER.DISPUTE.CREATED", dispute(), "dispute"),
        (disputed("WAITING_FOR_SELLER_RESPONSE", True), look(CAPTURE)),
    ),
    Heard(
        "case under review, two payments",
        event(
            "CUSTOMER.DISPUTE.UPDATED",
            dispute(
                status="UNDER_REVIEW",
                disputed_transactions=[
                    {"seller_transaction_id": CAPTURE},
                    {"seller_transaction_id": None},
                    {"seller_transaction_id": "4AB"},
                ],
            ),
            "dispute",
        ),
        (
            disputed("UNDER_REVIEW", True),
            look(CAPTURE),
            disputed("UNDER_REVIEW", True, "4AB"),
            look("4AB"),
        ),
    ),
    Heard(
        "case about something that is no money",
        event("CUSTOMER.DISPUTE.CREATED", dispute(dispute_amount=None), "dispute"),
        (
            disputed("WAITING_FOR_SELLER_RESPONSE", True, amount=0, currency=""),
            look(CAPTURE),
        ),
    ),
    _resolved("won", {"outcome_code": "RESOLVED_SELLER_FAVOUR"}, "won"),
    _resolved("PayPal paid itself", {"outcome_code": "RESOLVED_WITH_PAYOUT"}, "won"),
    _resolved("lost", {"outcome_code": "RESOLVED_BUYER_FAVOUR"}, "lost"),
    _resolved("claim accepted: PayPal refunds by itself", {"outcome_code": "ACCEPTED"}, "lost"),
    _resolved("taken back by the buyer", {"outcome_code": "CANCELED_BY_BUYER"}, "closed"),
    _resolved("ended, nobody says how", None, "closed"),
)

_OTHER = (
    Heard("order paid", event("CHECKOUT.ORDER.COMPLETED", {"id": ORDER}, "checkout-order"), ()),
    Heard("a payout", event("PAYMENT.PAYOUTSBATCH.SUCCESS", {}, "payouts"), ()),
    Heard("the API before this one", event("PAYMENT.SALE.REFUNDED", {"id": "1"}, "refund"), ()),
    Heard("nobody knows it", event("SOMETHING.NEW", None, ""), ()),
)

_DONE = "PAYMENT.CAPTURE.REFUNDED"

HEARING = Table(
    gateway=paypal,
    settings=SETTINGS,
    secret=SECRET,
    other_secret=OTHER_SECRET,
    sign=sign,
    vectors=("paypal.json",),
    payloads=("paypal.json",),
    verify=partial(paypal.verify, trust=TRUST),  # our own certificate is at hand
    judge=judged,
    moves=("PAYMENT.CAPTURE.", "PAYMENT.AUTHORIZATION.", "CUSTOMER.DISPUTE."),
    type_of=lambda body: str(body["event_type"]),
    ages=False,
    heard=_PAYMENTS + _DISPUTES + _OTHER,
    unreadable=(
        ("no JSON", b"hello", "JSON"),
        ("no UTF-8", b'{"id":"\xff"}', "JSON"),
        ("no object", b"[]", "object"),
        ("no event", dumps(refund()), "event_type"),
        ("no id", dumps(event(_DONE, refund(), "refund", id=None)), "id"),
        ("nothing in it", dumps(event(_DONE, None, "refund")), "resource"),
        ("no way to the payment", dumps(event(_DONE, refund(links=[]), "refund")), "no link"),
        ("links that are none", dumps(event(_DONE, refund(links=["x"]), "refund")), "links"),
        (
            "a capture without its id",
            dumps(event("PAYMENT.CAPTURE.COMPLETED", {"status": "COMPLETED"}, "capture")),
            "id",
        ),
        (
            "a case about nothing",
            dumps(event("CUSTOMER.DISPUTE.CREATED", dispute(disputed_transactions=[]), "dispute")),
            "disputed_transactions",
        ),
        (
            "a case of half a cent",
            dumps(
                event(
                    "CUSTOMER.DISPUTE.CREATED",
                    dispute(dispute_amount=money("1.005")),
                    "dispute",
                )
            ),
            "dispute_amount",
        ),
    ),
)
