"""Cases: opened and decided by the control API, answered by the merchant.

Only what a case has a link for can be done. Accepting a claim refunds by itself; so does losing
one. While a case is open nothing is taken.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from amends.sim.account import BY_OTHERS, Origin
from amends.sim.paypal import refunds, views
from amends.sim.paypal.bodies import amount_of, text_of
from amends.sim.paypal.books import DAY_S, Books
from amends.sim.paypal.errors import malformed, refused
from amends.sim.paypal.money import Json
from amends.sim.paypal.objects import Capture, Dispute, Refund

REASONS = frozenset(
    "MERCHANDISE_OR_SERVICE_NOT_RECEIVED MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED UNAUTHORISED "
    "CREDIT_NOT_PROCESSED DUPLICATE_TRANSACTION INCORRECT_AMOUNT PAYMENT_BY_OTHER_MEANS "
    "CANCELED_RECURRING_BILLING PROBLEM_WITH_REMITTANCE OTHER".split()
)
STATUSES = frozenset(
    ("OPEN", "WAITING_FOR_BUYER_RESPONSE", "WAITING_FOR_SELLER_RESPONSE", "UNDER_REVIEW")
)
STAGES = frozenset(("INQUIRY", "CHARGEBACK", "PRE_ARBITRATION", "ARBITRATION"))
CHANNELS = frozenset(("INTERNAL", "EXTERNAL", "ALERT"))
EVIDENCE_TYPES = frozenset(
    "PROOF_OF_FULFILLMENT PROOF_OF_REFUND PROOF_OF_DELIVERY_SIGNATURE PROOF_OF_RECEIPT_COPY "
    "RETURN_POLICY BILLING_AGREEMENT PROOF_OF_RESHIPMENT ITEM_DESCRIPTION POLICE_REPORT AFFIDAVIT "
    "PAID_WITH_OTHER_METHOD COPY_OF_CONTRACT TERMINAL_ATM_RECEIPT PRICE_DIFFERENCE_REASON "
    "SOURCE_CONVERSION_RATE BANK_STATEMENT CREDIT_DUE_REASON REQUEST_CREDIT_RECEIPT "
    "PROOF_OF_RETURN CREATE CHANGE_REASON PROOF_OF_REFUND_OUTSIDE_PAYPAL RECEIPT_OF_MERCHANDISE "
    "CUSTOMS_DOCUMENT CUSTOMS_FEE_RECEIPT INFORMATION_ON_RESOLUTION "
    "ADDITIONAL_INFORMATION_OF_ITEM DETAILS_OF_PURCHASE PROOF_OF_SIGNIFICANT_DIFFERENCE "
    "PROOF_OF_SOFTWARE_OR_SERVICE_NOT_AS_DESCRIBED PROOF_OF_CONFISCATION PROOF_OF_DAMAGE "
    "COPY_OF_LAW_ENFORCEMENT_AGENCY_REPORT ADDITIONAL_PROOF_OF_SHIPMENT "
    "PROOF_OF_DENIAL_BY_CARRIER THIRDPARTY_PROOF_FOR_DAMAGE_OR_SIGNIFICANT_DIFFERENCE "
    "VALID_SUPPORTING_DOCUMENT LEGIBLE_SUPPORTING_DOCUMENT RETURN_TRACKING_INFORMATION "
    "DELIVERY_RECEIPT PROOF_OF_INSTORE_RECEIPT ADDITIONAL_TRACKING_INFORMATION "
    "PROOF_OF_SHIPMENT_POSTAGE ONLINE_TRACKING_INFORMATION PROOF_OF_INSTORE_REFUND "
    "PROOF_FOR_SOFTWARE_OR_SERVICE_DELIVERED RETURN_ADDRESS_FOR_SHIPPING "
    "COPY_OF_THE_EPARCEL_MANIFEST COPY_OF_SHIPPING_MANIFEST APPEAL_AFFIDAVIT "
    "RECEIPT_OF_REPLACEMENT COPY_OF_DRIVERS_LICENSE ACCOUNT_CHANGE_INFORMATION DELIVERY_ADDRESS "
    "CONFIRMATION_OF_RESOLUTION MERCHANT_RESPONSE PERMISSION_DESCRIPTION STATUS_OF_MERCHANDISE "
    "LOST_CARD_DETAILS LAST_VALID_TRANSACTION_DETAILS ADDITIONAL_PROOF_OF_RETURN DECLARATION "
    "PROOF_OF_MISSING_ITEMS PROOF_OF_EMPTY_PACKAGE_OR_DIFFERENT_ITEM PROOF_OF_ITEM_NOT_RECEIVED "
    "ORDER_DETAILS LISTING_URL SHIPPING_INSURANCE BUYER_RESPONSE "
    "PHOTOS_OF_SHIPPED_ITEM OTHER".split()
)
# How a case ends, in the control API's words. PayPal pays `payout` itself.
OUTCOMES = {
    "won": "RESOLVED_SELLER_FAVOUR",
    "lost": "RESOLVED_BUYER_FAVOUR",
    "payout": "RESOLVED_WITH_PAYOUT",
    "canceled": "CANCELED_BY_BUYER",
}
RESPONSE_S = 20 * DAY_S
SEARCH_S = 180 * DAY_S
PAGE_DEFAULT, PAGE_MOST = 10, 50
EVIDENCE_NOTES = 2000
CLAIM_NOTE = 2000


def start(books: Books, case: Dispute) -> Dispute:
    """A buyer, or the buyer's bank, opens a case."""
    books.disputes[case.id] = case
    case.capture.payment.disputes.append(case)
    _say(books, case, "CREATED", BY_OTHERS)
    return case


def _say(books: Books, case: Dispute, what: str, origin: Origin) -> None:
    event = f"CUSTOMER.DISPUTE.{what}"
    books.emit(event, "dispute", views.dispute(books, case), origin)


def update(books: Books, case: Dispute, status: str, origin: Origin) -> None:
    """The case goes on."""
    if not case.open:
        raise refused("ACTION_NOT_ALLOWED_IN_CURRENT_DISPUTE_STATE")
    case.status, case.updated = status, books.now()
    _say(books, case, "UPDATED", origin)


def finish(books: Books, case: Dispute, outcome: str, origin: Origin) -> Refund | None:
    """The case is decided; gives what PayPal gave back. Raises Refusal when it was decided
    before."""
    if not case.open:
        raise refused("ACTION_NOT_ALLOWED_IN_CURRENT_DISPUTE_STATE")
    amount = _due(case) if outcome == "RESOLVED_BUYER_FAVOUR" else 0
    return _resolve(books, case, outcome, amount, "PAYMENT.CAPTURE.REVERSED", origin)


def _due(case: Dispute) -> int:
    """What the buyer gets: a bank takes what was charged back whatever was refunded meanwhile."""
    if case.channel == "EXTERNAL":
        return case.amount
    return min(case.amount, case.capture.rest)


def _resolve(
    books: Books, case: Dispute, outcome: str, amount: int, event: str, origin: Origin
) -> Refund | None:
    case.status, case.outcome, case.paid = "RESOLVED", outcome, amount
    case.updated = books.now()
    paid = refunds.take_back(books, case.capture, amount, event, origin) if amount else None
    _say(books, case, "RESOLVED", origin)
    return paid


def settle(books: Books, taken: Capture, origin: Origin) -> None:
    """All of a capture was refunded: its buyer's case is over, and nothing more is paid."""
    for case in taken.payment.disputes:
        if case.open and case.capture is taken and taken.rest <= 0:
            _resolve(books, case, "RESOLVED_BUYER_FAVOUR", 0, "", origin)


def _allow(case: Dispute, action: str) -> None:
    if action not in views.ACTIONS.get(case.status, ()):
        raise refused("ACTION_NOT_ALLOWED_IN_CURRENT_DISPUTE_STATE")


def accept_claim(books: Books, case: Dispute, body: Json, origin: Origin) -> Dispute:
    """`POST …/accept-claim`: the merchant gives in, and PayPal refunds. Raises Refusal."""
    _allow(case, "accept-claim")
    text_of(body, "note", CLAIM_NOTE)
    kind, asked = body.get("accept_claim_type", "REFUND"), amount_of(body, "refund_amount")
    if kind not in views.CLAIM_TYPES:
        raise malformed("INVALID_PARAMETER_SYNTAX", "/accept_claim_type")
    if (kind == "PARTIAL_REFUND") != (asked is not None):
        raise malformed("MISSING_REQUIRED_PARAMETER", "/refund_amount")
    amount = _due(case)
    if asked is not None:
        if asked[1] != case.capture.payment.currency:
            raise refused("CURRENCY_MISMATCH", "/refund_amount/currency_code")
        if asked[0] > amount:
            raise refused("REFUND_AMOUNT_EXCEEDED", "/refund_amount/value")
        amount = asked[0]
    _resolve(books, case, "RESOLVED_BUYER_FAVOUR", amount, "PAYMENT.CAPTURE.REFUNDED", origin)
    return case


def provide_evidence(
    books: Books, case: Dispute, body: Json, files: int, origin: Origin
) -> Dispute:
    """`POST …/provide-evidence`: what was sent goes to PayPal for review. Raises Refusal."""
    _allow(case, "provide-evidence")
    given = body.get("evidences", [])
    if not isinstance(given, list) or not (given or files):
        raise malformed("MISSING_REQUIRED_PARAMETER", "/evidences")
    kept: list[dict[str, Any]] = []
    for at, evidence in enumerate(given):
        kept.append(_evidence(evidence, f"/evidences/{at}"))
    case.evidences.extend(kept or [{"evidence_type": "OTHER", "source": "SUBMITTED_BY_SELLER"}])
    update(books, case, "UNDER_REVIEW", origin)
    return case


def _evidence(evidence: Any, field: str) -> Json:
    kind = evidence.get("evidence_type") if isinstance(evidence, dict) else None
    if kind not in EVIDENCE_TYPES:
        raise malformed("INVALID_PARAMETER_SYNTAX", f"{field}/evidence_type")
    notes = text_of(evidence, "notes", EVIDENCE_NOTES)
    noted = {"notes": notes} if notes else {}
    return {"evidence_type": kind, **noted, "source": "SUBMITTED_BY_SELLER"}


# -- the list ----------------------------------------------------------------------------------


def search(books: Books, query: Mapping[str, str]) -> Json:
    """`GET /v1/customer/disputes`: the newest first. Raises Refusal."""
    if "start_time" in query and "disputed_transaction_id" in query:
        raise malformed("INVALID_PARAMETER_SYNTAX", "/start_time")
    size, first = _page(query)
    since, before, after = (
        _time(query, name, books.clock())
        for name in ("start_time", "update_time_before", "update_time_after")
    )
    states = query.get("dispute_state", "")
    found = [
        case
        for case in reversed(books.disputes.values())
        if query.get("disputed_transaction_id") in (None, case.capture.id)
        and (not states or views.DISPUTE_STATES[case.status] in states.split(","))
        and (since is None or case.created >= since)
        and (before is None or case.updated <= before)
        and (after is None or case.updated >= after)
    ]
    items = [views.dispute_summary(books, case) for case in found[first : first + size]]
    address = f"{books.site.url}/v1/customer/disputes"
    links = [{"href": address, "rel": "self", "method": "GET"}]
    if len(found) > first + size:
        following = urlencode({**query, "next_page_token": str(first + size)})
        links.append({"href": f"{address}?{following}", "rel": "next", "method": "GET"})
    return {**({"items": items} if items else {}), "links": links}


def _page(query: Mapping[str, str]) -> tuple[int, int]:
    """How many, after how many."""
    size = query.get("page_size", str(PAGE_DEFAULT))
    token = query.get("next_page_token", "0")
    if not (size.isascii() and size.isdigit() and 1 <= int(size) <= PAGE_MOST):
        raise malformed("INVALID_PARAMETER_SYNTAX", "/page_size")
    if not (token.isascii() and token.isdigit()):
        raise malformed("INVALID_PARAMETER_SYNTAX", "/next_page_token")
    return int(size), int(token)


def _time(query: Mapping[str, str], name: str, now: float) -> float | None:
    """Unix seconds of a time in the query, which lies in the last 180 days."""
    if name not in query:
        return None
    try:
        at = datetime.fromisoformat(query[name])
    except ValueError as error:
        raise malformed("INVALID_PARAMETER_SYNTAX", f"/{name}") from error
    if at.tzinfo is None or at.timestamp() < now - SEARCH_S:
        raise malformed("INVALID_PARAMETER_SYNTAX", f"/{name}")
    return at.timestamp()
