"""Which request does what. Each operation takes (books, object id or "", parameters, origin)."""

from collections.abc import Callable
from typing import Any

import msgspec

from amends.sim.account import Origin
from amends.sim.stripe import disputes, payments, refunds
from amends.sim.stripe.books import Books
from amends.sim.stripe.errors import missing
from amends.sim.stripe.lists import Page, page, payment_of, wanted_events
from amends.sim.stripe.objects import Json, Refund
from amends.sim.stripe.params import Reader

Operation = Callable[[Books, str, Reader, Origin], Any]

PAGING = "created ending_before expand limit starting_after"
INTENT_FIELDS = (
    "amount automatic_payment_methods capture_method confirm confirmation_method currency customer "
    "description error_on_requires_action expand metadata off_session payment_method "
    "payment_method_options payment_method_types receipt_email return_url setup_future_usage "
    "shipping statement_descriptor statement_descriptor_suffix use_stripe_sdk"
)


class Route(msgspec.Struct, frozen=True):
    """An operation and the parameters it knows; `noun` is the kind of what it shows."""

    operation: Operation
    allowed: frozenset[str]
    noun: str = ""
    lists: bool = False


def _list_intents(books: Books, _: str, reader: Reader, origin: Origin) -> Page:
    customer = reader.text("customer")
    return page(
        books.intents,
        "/v1/payment_intents",
        reader,
        lambda intent: customer is None or intent.customer == customer,
    )


def _list_charges(books: Books, _: str, reader: Reader, origin: Origin) -> Page:
    payment, customer = payment_of(books, reader), reader.text("customer")
    among = None
    if payment is not None:
        among = [] if payment.charge is None else [payment.charge]
    return page(
        books.charges,
        "/v1/charges",
        reader,
        lambda charge: customer is None or charge.customer == customer,
        among,
    )


def _list_refunds(books: Books, _: str, reader: Reader, origin: Origin) -> Page:
    payment = payment_of(books, reader)
    among = None if payment is None else payment.refunds
    visible_until = books.clock() - books.settings.list_delay_s

    def visible(refund: Refund) -> bool:
        return refund.created <= visible_until

    return page(books.refunds, "/v1/refunds", reader, visible, among)


def _list_disputes(books: Books, _: str, reader: Reader, origin: Origin) -> Page:
    payment = payment_of(books, reader)
    among = None if payment is None else payment.disputes
    return page(books.disputes, "/v1/disputes", reader, among=among)


def _list_warnings(books: Books, _: str, reader: Reader, origin: Origin) -> Page:
    payment = payment_of(books, reader)
    url = "/v1/radar/early_fraud_warnings"
    return page(
        books.warnings,
        url,
        reader,
        lambda warning: payment is None or warning.payment_intent == payment.intent.id,
    )


def _list_transactions(books: Books, _: str, reader: Reader, origin: Origin) -> Page:
    kind, source, payout = reader.text("type"), reader.text("source"), reader.text("payout")
    currency = reader.text("currency")
    return page(
        books.transactions,
        "/v1/balance_transactions",
        reader,
        lambda line: (
            kind in (None, line.type)
            and source in (None, line.source)
            and currency in (None, line.currency)
            # Nothing is paid out here, so no line belongs to a payout.
            and payout is None
        ),
    )


def _list_events(books: Books, _: str, reader: Reader, origin: Origin) -> Page:
    return page(books.events, "/v1/events", reader, wanted_events(reader))


def _get_balance(books: Books, _: str, reader: Reader, origin: Origin) -> Json:
    sums = {
        currency: books.balance.get(currency, 0)
        for currency in sorted(books.balance | dict.fromkeys(_currencies(books)))
    }
    for line in books.transactions.items:
        if line.currency not in books.balance:
            sums[line.currency] += line.net
    available = [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in sums.items()
    ]
    return {"object": "balance", "available": available, "livemode": False, "pending": []}


def _currencies(books: Books) -> set[str]:
    return {line.currency for line in books.transactions.items}


def _retrieve(shelf: str, noun: str, param: str) -> Operation:
    def retrieve(books: Books, object_id: str, reader: Reader, origin: Origin) -> Any:
        found = getattr(books, shelf).get(object_id)
        if found is None:
            raise missing(noun, object_id, param)
        return found

    return retrieve


def _on_payment(act: Callable[..., Any]) -> Operation:
    def operate(books: Books, object_id: str, reader: Reader, origin: Origin) -> Any:
        return act(books, payments.find(books, object_id), reader, origin)

    return operate


def _on_refund(act: Callable[..., Any]) -> Operation:
    def operate(books: Books, object_id: str, reader: Reader, origin: Origin) -> Any:
        return act(books, refunds.find(books, object_id), reader, origin)

    return operate


def _on_dispute(act: Callable[..., Any]) -> Operation:
    def operate(books: Books, object_id: str, reader: Reader, origin: Origin) -> Any:
        return act(books, disputes.find(books, object_id), reader, origin)

    return operate


def _route(operation: Operation, allowed: str) -> Route:
    return Route(operation, frozenset(allowed.split()))


_TABLE: dict[tuple[str, str], Route] = {
    ("POST", "payment_intents"): _route(
        lambda books, _, reader, origin: payments.create(books, reader, origin), INTENT_FIELDS
    ),
    ("GET", "payment_intents"): _route(_list_intents, f"{PAGING} customer"),
    ("GET", "payment_intents/*"): _route(
        _retrieve("intents", "payment_intent", "intent"), "expand client_secret"
    ),
    ("POST", "payment_intents/*/confirm"): _route(
        _on_payment(payments.confirm),
        "expand payment_method return_url off_session payment_method_options",
    ),
    ("POST", "payment_intents/*/capture"): _route(
        _on_payment(payments.capture),
        "amount_to_capture final_capture metadata expand statement_descriptor "
        "statement_descriptor_suffix",
    ),
    ("POST", "payment_intents/*/cancel"): _route(
        _on_payment(payments.cancel), "cancellation_reason expand"
    ),
    ("GET", "charges"): _route(_list_charges, f"{PAGING} payment_intent customer transfer_group"),
    ("GET", "charges/*"): _route(_retrieve("charges", "charge", "id"), "expand"),
    ("POST", "refunds"): _route(
        lambda books, _, reader, origin: refunds.create(books, reader, origin),
        "amount charge expand instructions_email metadata payment_intent reason "
        "refund_application_fee reverse_transfer",
    ),
    ("GET", "refunds"): _route(_list_refunds, f"{PAGING} charge payment_intent"),
    ("GET", "refunds/*"): _route(_retrieve("refunds", "refund", "id"), "expand"),
    ("POST", "refunds/*"): _route(_on_refund(refunds.update), "metadata expand"),
    ("POST", "refunds/*/cancel"): _route(_on_refund(refunds.cancel), "expand"),
    ("GET", "balance"): _route(_get_balance, "expand"),
    ("GET", "balance_transactions"): _route(
        _list_transactions, f"{PAGING} currency payout source type"
    ),
    ("GET", "balance_transactions/*"): _route(
        _retrieve("transactions", "balance_transaction", "id"), "expand"
    ),
    ("GET", "disputes"): _route(_list_disputes, f"{PAGING} charge payment_intent"),
    ("GET", "disputes/*"): _route(_retrieve("disputes", "dispute", "dispute"), "expand"),
    ("POST", "disputes/*"): _route(
        _on_dispute(disputes.update), "evidence expand intended_submission_method metadata submit"
    ),
    ("POST", "disputes/*/close"): _route(_on_dispute(disputes.accept), "expand"),
    ("GET", "events"): _route(_list_events, f"{PAGING} delivery_success type types"),
    ("GET", "events/*"): _route(_retrieve("events", "event", "id"), "expand"),
    ("GET", "radar/early_fraud_warnings"): _route(
        _list_warnings, f"{PAGING} charge payment_intent"
    ),
    ("GET", "radar/early_fraud_warnings/*"): _route(
        _retrieve("warnings", "early_fraud_warning", "early_fraud_warning"), "expand"
    ),
}


ROUTES = {
    (method, template): msgspec.structs.replace(
        route, noun=template.split("/*")[0], lists=method == "GET" and "created" in route.allowed
    )
    for (method, template), route in _TABLE.items()
}


def locate(method: str, path: str) -> tuple[Route, str] | None:
    """`POST /v1/refunds/re_1/cancel` -> its route and `re_1`; None when there is no such route."""
    parts = path.strip("/").split("/")
    if parts[0] != "v1":
        return None
    depth = 2 if len(parts) > 1 and parts[1] == "radar" else 1
    noun, rest = "/".join(parts[1 : 1 + depth]), parts[1 + depth :]
    template = "/".join((noun, *(("*", *rest[1:]) if rest else ())))
    route = ROUTES.get((method, template))
    return None if route is None else (route, rest[0] if rest else "")
