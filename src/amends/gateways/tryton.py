"""Tryton: credit notes, their payments, goods that came back and account moves, through the REST
user application of trytond 8.

Tryton knows no idempotency, so whatever is made carries our key, as reference or description, and
is looked for before it is made; one telling at a time. Needed there: the modules account_invoice,
sale and stock, and a user application `rest` of a user with Accounting, Sales and Stock.
"""

from __future__ import annotations

from collections.abc import Generator

from amends.core.outlets import Books, CreditNote, GoodsReturned, RefundPaid, Telling
from amends.gateways.codecs import Malformed
from amends.gateways.spec import Capabilities, Failure, Request, Response, Settings, Talk
from amends.gateways.tryton_goods import tell_goods_returned
from amends.gateways.tryton_inspect import inspect
from amends.gateways.tryton_moves import tell_books, tell_refund_paid
from amends.gateways.tryton_notes import tell_credit_note
from amends.gateways.tryton_rest import Erp, Stopped, company
from amends.kernel.outcome import Declined, Outcome, Unknown
from amends.kernel.time import Instant

__all__ = ["CAPABILITIES", "inspect", "talk", "trouble"]

CAPABILITIES = Capabilities(
    name="tryton",
    provider=False,
    settings=("api_key",),
    secrets=("api_key", "rpc_password"),
    optional=(
        *("company", "party", "warehouse", "rpc_user", "rpc_password"),
        *("sales_journal", "payment_journal", "journal"),
    ),
    tables=("accounts", "taxes", "products", "locations"),
    takes=("credit_note", "refund_paid", "goods_returned", "books"),
    one_writer=True,
)


def talk(telling: Telling, settings: Settings, now: Instant) -> Talk:
    """The conversation that tells Tryton. Never raises."""
    try:
        erp = yield from company(Erp(settings))
        return (yield from _tell(erp, telling))
    except Stopped as stopped:
        return stopped.outcome
    except Malformed as error:
        return Unknown(f"Tryton's answer was not understood: {error}", alert=True)


def _tell(erp: Erp, telling: Telling) -> Generator[Request, Response | Failure, Outcome]:
    if isinstance(telling, CreditNote):
        return (yield from tell_credit_note(erp, telling))
    if isinstance(telling, RefundPaid):
        return (yield from tell_refund_paid(erp, telling))
    if isinstance(telling, GoodsReturned):
        return (yield from tell_goods_returned(erp, telling))
    if isinstance(telling, Books):
        return (yield from tell_books(erp, telling))
    return Declined("not_taken", "Tryton is not told of this.")


def trouble(settings: Settings) -> str:
    """Why a connection with these settings could not work, as what to do about it; "" if it
    could."""
    if not settings.base_url:
        return 'base_url must say where Tryton is, with its database: "https://erp.example/DB"'
    return ""
