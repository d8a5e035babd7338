"""How PayPal shows what an account holds: Payments v2, Orders v2 and Disputes v1."""

from fractions import Fraction

from amends.sim.paypal.books import FEE_PER_MILLE, Books, stamp
from amends.sim.paypal.money import Json, shown
from amends.sim.paypal.objects import (
    GIVEN_BACK,
    Authorization,
    Capture,
    Dispute,
    Payment,
    Refund,
    Settled,
    Shown,
)
from amends.sim.settlement import decimals, rounded

MERCHANT = {"email_address": "merchant@example.test", "merchant_id": "SANDBXSHPP234"}
PROTECTION = {
    "status": "ELIGIBLE",
    "dispute_categories": ["ITEM_NOT_RECEIVED", "UNAUTHORIZED_TRANSACTION"],
}
# What a case lets the merchant do: its status -> path of the action. The link's name has
# underscores.
ACTIONS = {
    "OPEN": ("accept-claim",),
    "WAITING_FOR_SELLER_RESPONSE": ("accept-claim", "provide-evidence"),
}
DISPUTE_STATES = {
    "OPEN": "OPEN_INQUIRIES",
    "WAITING_FOR_SELLER_RESPONSE": "REQUIRED_ACTION",
    "WAITING_FOR_BUYER_RESPONSE": "REQUIRED_OTHER_PARTY_ACTION",
    "UNDER_REVIEW": "UNDER_PAYPAL_REVIEW",
    "RESOLVED": "RESOLVED",
}
CLAIM_TYPES = ("REFUND", "PARTIAL_REFUND")


def whole(books: Books, subject: Shown) -> Json:
    """The full representation."""
    if isinstance(subject, Payment):
        return order(books, subject)
    if isinstance(subject, Authorization):
        return authorization(books, subject)
    if isinstance(subject, Capture):
        return capture(books, subject)
    return refund(books, subject) if isinstance(subject, Refund) else dispute(books, subject)


def minimal(books: Books, subject: Shown) -> Json:
    """What `Prefer: return=minimal` leaves of it; an address is all an action on a case gives."""
    full = whole(books, subject)
    kept = ("links",) if isinstance(subject, Dispute) else ("id", "status", "links")
    return {name: value for name, value in full.items() if name in kept}


def _link(books: Books, rel: str, path: str, method: str = "GET") -> Json:
    return {"href": books.site.url + path, "rel": rel, "method": method}


def _times(created: int, updated: int) -> Json:
    return {"create_time": stamp(created), "update_time": stamp(updated)}


def _filled(**fields: object) -> Json:
    """Only what is there: PayPal leaves out what has no value."""
    return {name: value for name, value in fields.items() if value not in ("", None, [], {})}


def _own_ids(payment: Payment, invoice_id: str = "", custom_id: str = "") -> Json:
    """What was given for this, else what was given for the payment."""
    return _filled(
        invoice_id=invoice_id or payment.invoice_id, custom_id=custom_id or payment.custom_id
    )


# -- Payments v2 -------------------------------------------------------------------------------


def authorization(books: Books, held: Authorization) -> Json:
    """An authorization with the ids of its order."""
    related = {"related_ids": {"order_id": held.payment.order}}
    return _authorization(books, held) | {"supplementary_data": related, "payee": MERCHANT}


def _authorization(books: Books, held: Authorization) -> Json:
    path = f"/v2/payments/authorizations/{held.id}"
    links = [_link(books, "self", path)]
    if not held.closed:
        links.append(_link(books, "capture", f"{path}/capture", "POST"))
        if held.first is None:
            links.append(_link(books, "void", f"{path}/void", "POST"))
            links.append(_link(books, "reauthorize", f"{path}/reauthorize", "POST"))
    links.append(_link(books, "up", f"/v2/checkout/orders/{held.payment.order}"))
    return {
        "id": held.id,
        "status": held.status,
        "amount": shown(held.amount, held.payment.currency),
        **_own_ids(held.payment),
        "seller_protection": PROTECTION,
        "expiration_time": stamp(held.expires),
        **_times(held.created, held.updated),
        "links": links,
    }


def capture(books: Books, taken: Capture) -> Json:
    """A capture with the ids of its order and authorization."""
    ids = _filled(order_id=taken.payment.order, authorization_id=taken.authorization)
    return _capture(books, taken) | {"supplementary_data": {"related_ids": ids}, "payee": MERCHANT}


def _capture(books: Books, taken: Capture) -> Json:
    payment, path = taken.payment, f"/v2/payments/captures/{taken.id}"
    up = f"/v2/checkout/orders/{payment.order}"
    if taken.authorization:
        up = f"/v2/payments/authorizations/{taken.authorization}"
    links = [_link(books, "self", path)]
    if taken.status in ("COMPLETED", "PARTIALLY_REFUNDED"):
        links.append(_link(books, "refund", f"{path}/refund", "POST"))
    links.append(_link(books, "up", up))
    return {
        "id": taken.id,
        "status": taken.status,
        **_filled(status_details=_filled(reason=taken.reason)),
        "amount": shown(taken.amount, payment.currency),
        "final_capture": taken.final,
        "disbursement_mode": "INSTANT",
        **_own_ids(payment, taken.invoice_id),
        "seller_protection": PROTECTION,
        **_filled(seller_receivable_breakdown=_received(taken)),
        **_times(taken.created, taken.updated),
        "links": links,
    }


def _received(taken: Capture) -> Json:
    """What reaches the merchant; nothing is known of it while the capture is pending."""
    if taken.status in ("PENDING", "DECLINED", "FAILED"):
        return {}
    currency, settled = taken.payment.currency, taken.settled
    fee = taken.amount * FEE_PER_MILLE // 1000
    said = {
        "gross_amount": shown(taken.amount, currency),
        "paypal_fee": shown(fee, currency),
        "net_amount": shown(taken.amount - fee, currency),
    }
    if settled is None or settled.currency == currency:
        return said
    return said | {
        "paypal_fee_in_receivable_currency": shown(settled.fee, settled.currency),
        "receivable_amount": shown(settled.amount - settled.fee, settled.currency),
        "exchange_rate": _exchange_rate(taken.amount, currency, settled),
    }


def _exchange_rate(amount: int, currency: str, settled: Settled) -> Json:
    """As PayPal says it: units for one unit, rounded."""
    scale = Fraction(10) ** (decimals(currency) - decimals(settled.currency))
    rate = rounded(Fraction(settled.amount, amount) * scale * 10**8)
    value = f"{rate // 10**8}.{rate % 10**8:08d}"
    return {"source_currency": currency, "target_currency": settled.currency, "value": value}


def _payable(given: Refund, total: int) -> Json:
    """What a refund took off the balance: what was paid for the capture is mostly kept."""
    payment = given.capture.payment
    currency, settled = payment.currency, None if payment.seller else given.settled
    plain = settled is None or settled.currency == currency
    fee = settled.fee if settled is not None and plain else 0
    said = {
        "gross_amount": shown(given.amount, currency),
        "paypal_fee": shown(fee, currency),
        **_filled(platform_fees=_added(given)),
        "net_amount": shown(given.amount - fee - given.added, currency),
        "total_refunded_amount": shown(total, currency),
    }
    if settled is None or plain:
        return said
    net = shown(settled.amount - settled.fee, settled.currency)
    step = {
        "payable_amount": shown(given.amount, currency),
        "converted_amount": net,
        "exchange_rate": _exchange_rate(given.amount, currency, settled),
    }
    return said | {
        "paypal_fee_in_receivable_currency": shown(settled.fee, settled.currency),
        "net_amount_in_receivable_currency": net,
        "net_amount_breakdown": [step],
    }


def refund(books: Books, given: Refund) -> Json:
    """A refund. Its capture is named by a link only."""
    payment = given.capture.payment
    earlier = [r for r in given.capture.refunds if r.created <= given.created]
    total = sum(r.amount for r in earlier if r.status not in GIVEN_BACK)
    echeck = {"reason": "ECHECK"} if given.status in ("PENDING", "FAILED") else {}
    traced = payment.method == "card" and given.status == "COMPLETED"
    return {
        "id": given.id,
        "status": given.status,
        **_filled(status_details=echeck),
        "amount": shown(given.amount, payment.currency),
        **_own_ids(payment, given.invoice_id, given.custom_id),
        **_filled(note_to_payer=given.note),
        **_filled(acquirer_reference_number=f"7461{given.id}" if traced else ""),
        "seller_payable_breakdown": _payable(given, total),
        "payer": MERCHANT,
        **_times(given.created, given.updated),
        "links": [
            _link(books, "self", f"/v2/payments/refunds/{given.id}"),
            _link(books, "up", f"/v2/payments/captures/{given.capture.id}"),
        ],
    }


def _added(given: Refund) -> list[Json]:
    """What the platform gave back of its fee."""
    currency = given.capture.payment.currency
    return [{"amount": shown(given.added, currency)}] if given.added else []


# -- Orders v2 ---------------------------------------------------------------------------------


def order(books: Books, payment: Payment) -> Json:
    """An order with all that happened to its payment, but for refunds too new to be shown."""
    path = f"/v2/checkout/orders/{payment.order}"
    links = [_link(books, "self", path)]
    if payment.status == "CREATED":
        links.append(_link(books, "approve", f"/checkoutnow?token={payment.order}"))
    if payment.status == "APPROVED":
        step = "capture" if payment.intent == "CAPTURE" else "authorize"
        links.append(_link(books, step, f"{path}/{step}", "POST"))
    return {
        "id": payment.order,
        "intent": payment.intent,
        "status": payment.status,
        "payment_source": {payment.method: {}},
        "purchase_units": [_unit(books, payment)],
        **_times(payment.created, payment.updated),
        "links": links,
    }


def _unit(books: Books, payment: Payment) -> Json:
    visible = books.clock() - books.settings.list_delay_s
    refunds = [r for r in payment.refunds if r.listed and r.created <= visible]
    payments = _filled(
        authorizations=[_authorization(books, held) for held in payment.authorizations],
        captures=[_capture(books, taken) for taken in payment.captures],
        refunds=[refund(books, given) for given in refunds],
    )
    return {
        "reference_id": "default",
        "amount": shown(payment.amount, payment.currency),
        "payee": MERCHANT,
        **_own_ids(payment),
        **_filled(payments=payments),
    }


# -- Disputes v1 -------------------------------------------------------------------------------


def dispute(books: Books, case: Dispute) -> Json:
    """A case with what may be done about it."""
    actions = ACTIONS.get(case.status, ())
    path = f"/v1/customer/disputes/{case.id}"
    links = [_link(books, a.replace("-", "_"), f"{path}/{a}", "POST") for a in actions]
    options = {"accept_claim": {"accept_claim_types": list(CLAIM_TYPES)}}
    return {
        **dispute_summary(books, case),
        "disputed_transactions": [_disputed(case)],
        **_filled(evidences=case.evidences),
        **_filled(dispute_outcome=_outcome(case)),
        **_filled(allowed_response_options=options if actions else {}),
        "links": [_link(books, "self", path), *links],
    }


def dispute_summary(books: Books, case: Dispute) -> Json:
    """A case as lists show it."""
    due = {"seller_response_due_date": stamp(case.due)} if case.open else {}
    return {
        "dispute_id": case.id,
        **_times(case.created, case.updated),
        "reason": case.reason,
        "status": case.status,
        "dispute_state": DISPUTE_STATES[case.status],
        "dispute_amount": shown(case.amount, case.capture.payment.currency),
        "dispute_life_cycle_stage": case.stage,
        "dispute_channel": case.channel,
        **due,
        "links": [_link(books, "self", f"/v1/customer/disputes/{case.id}")],
    }


def _disputed(case: Dispute) -> Json:
    taken, payment = case.capture, case.capture.payment
    return {
        "buyer_transaction_id": taken.id[::-1],
        "seller_transaction_id": taken.id,
        "create_time": stamp(taken.created),
        "transaction_status": taken.status,
        "gross_amount": shown(taken.amount, payment.currency),
        **_filled(invoice_number=payment.invoice_id, custom=payment.custom_id),
        "buyer": {"name": "Sandbox Buyer"},
        "seller": {"merchant_id": MERCHANT["merchant_id"], "name": "Sandbox Shop"},
    }


def _outcome(case: Dispute) -> Json:
    if not case.outcome:
        return {}
    paid = shown(case.paid, case.capture.payment.currency) if case.paid else None
    return _filled(outcome_code=case.outcome, amount_refunded=paid)
