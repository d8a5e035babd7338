"""Payments, the ledger and the audit trail over REST: all of it only reads."""

from __future__ import annotations

import re

from amends.core.reasons import Reason, Refused
from amends.doors import shapes
from amends.doors.calls import Asked, Call, Query, fine
from amends.doors.pages import (
    FILTER,
    NUMBER,
    PAGE,
    cursor,
    cursor_of_this_list,
    filters,
    identifier,
    instant,
    limit,
)
from amends.engine import queries
from amends.engine.asks import Rendered

_LEDGER = ("ledger:read", "read")
_STREAM = re.compile(r"[\x21-\x7e]{1,255}")


async def payment(asked: Asked) -> Rendered:
    wanted = identifier(asked.path["payment"], Reason.UNKNOWN_PAYMENT)
    return fine(await queries.payment(asked.engine, wanted))


async def entries(asked: Asked) -> Rendered:
    wanted = filters(asked.query)
    with cursor_of_this_list():
        found = await queries.entries(asked.engine, wanted, cursor(asked.query), limit(asked.query))
    return fine(found)


async def balances(asked: Asked) -> Rendered:
    text = asked.query.get("at")
    at = instant(text, "at") if text is not None else None
    return fine(await queries.balances(asked.engine, at))


async def credits(asked: Asked) -> Rendered:
    holder = filters(asked.query).get("holder", "")
    if not holder:
        detail = "Name the holder: a gift card's reference, or a customer's id."
        raise Refused(Reason.VALIDATION, detail, parameter="holder")
    return fine(await queries.credits(asked.engine, holder))


async def audit(asked: Asked) -> Rendered:
    stream = asked.query.get("stream", "")
    if not _STREAM.fullmatch(stream):
        detail = "Name the stream: an order's id, or system:keys."
        raise Refused(Reason.VALIDATION, detail, parameter="stream")
    after = cursor(asked.query, NUMBER)
    return fine(await queries.audit(asked.engine, stream, after, limit(asked.query)))


CALLS = (
    Call(
        "readPayment",
        "GET",
        "/v1/payments/{payment}",
        "The exposure on one payment, by our id or the provider's.",
        payment,
        scopes=shapes.READ,
        answers={200: shapes.Payment},
        refusals=(Reason.UNKNOWN_PAYMENT,),
    ),
    Call(
        "listEntries",
        "GET",
        "/v1/ledger/entries",
        "Journal entries with their postings, oldest first: a page. Debit is positive.",
        entries,
        scopes=_LEDGER,
        query=(
            *PAGE,
            Query("order", "Only of this order.", FILTER),
            Query("refund", "Only of this refund.", FILTER),
            Query("account", "Only with a posting to this account.", FILTER),
            Query("currency", "Only in this currency.", FILTER),
            Query("holder", "Only of the credit of this gift card or customer.", FILTER),
        ),
        answers={200: shapes.EntryPage},
        refusals=(Reason.NOT_FOUND,),
    ),
    Call(
        "readBalances",
        "GET",
        "/v1/ledger/balances",
        "The balance of every account, now or at an instant. Debit is positive.",
        balances,
        scopes=_LEDGER,
        query=(Query("at", "RFC 3339.", {"type": "string", "format": "date-time"}),),
        answers={200: shapes.Balances},
    ),
    Call(
        "readCredits",
        "GET",
        "/v1/ledger/credits",
        "What a gift card or a customer was given back as credit.",
        credits,
        scopes=_LEDGER,
        query=(
            Query(
                "holder",
                "A gift card's reference, or a customer's id.",
                FILTER,
                required=True,
            ),
        ),
        answers={200: shapes.Credits},
    ),
    Call(
        "listEvents",
        "GET",
        "/v1/audit",
        "Events of one stream, oldest first: a page.",
        audit,
        scopes=shapes.READ,
        query=(
            Query(
                "stream",
                "An order's id, or `system:keys`.",
                {"type": "string", "pattern": "^[!-~]{1,255}$"},
                required=True,
            ),
            Query(
                "cursor",
                "`next` of the page before.",
                {"type": "string", "pattern": f"^{NUMBER}$"},
            ),
            *PAGE[1:],
        ),
        answers={200: shapes.EventPage},
    ),
)
