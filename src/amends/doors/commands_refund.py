"""`amends refund`: a refund from the command line, decided in this process."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from amends.core.facts import PaidOutside
from amends.core.reasons import Reason, Refused
from amends.core.requests import OrderKey, RefundIn
from amends.doors.calls import decode, finish
from amends.doors.refunds import render_acted, render_new
from amends.doors.shapes import PayoutIn
from amends.doors.shell import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    beside,
    err,
    out,
    read_config,
    run,
    show_json,
    who,
)
from amends.engine import actions
from amends.engine.actions import Caller
from amends.engine.asks import Rendered
from amends.engine.config import Config
from amends.kernel.money import major

_REFUND = msgspec.json.Decoder(RefundIn)
_PAYOUT = msgspec.json.Decoder(PayoutIn)


def refund(
    order: Annotated[str, typer.Argument(help="ord_…, or CONNECTION/ORDER as the shop has it.")],
    lines: Annotated[
        list[str] | None,
        typer.Option(help="LINE:QUANTITY; repeat it or separate with commas.", metavar="ID:QTY"),
    ] = None,
    amount: Annotated[
        int | None, typer.Option(help="Minor units (500 is 5.00 EUR), instead of lines.")
    ] = None,
    shipping: Annotated[str, typer.Option(help="none, full, proportional or an amount.")] = "none",
    charges: Annotated[str, typer.Option(help="none, full, or ID and ID:AMOUNT.")] = "none",
    adjust: Annotated[
        list[str] | None,
        typer.Option(help="Off the price of a line whose units stay.", metavar="ID:AMOUNT"),
    ] = None,
    fee: Annotated[
        list[str] | None,
        typer.Option(
            help="Kept back: restocking, return_label, handling; none for no fee at all.",
            metavar="KIND:AMOUNT",
        ),
    ] = None,
    statutory: Annotated[bool, typer.Option(help="A withdrawal that the law grants.")] = False,
    waive: Annotated[bool, typer.Option(help="Leave the customer lost promotions.")] = False,
    compensation: Annotated[bool, typer.Option(help="Leave the price and its tax as is.")] = False,
    tenders: Annotated[
        str, typer.Option(help="card_first, proportional, last_in_first_out, or ID:AMOUNT.")
    ] = "policy",
    consent: Annotated[
        str, typer.Option(help="Where it is recorded that the customer takes store credit.")
    ] = "",
    reason: Annotated[str, typer.Option(help="As in the API: return, damaged, …")] = "return",
    note: Annotated[str, typer.Option(help="For the people who look at it.")] = "",
    key: Annotated[
        str, typer.Option(help="Idempotency key: the same key never refunds twice.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give money back for an order; with neither parts of it nor amount, all that is left.

    The decision is made and stored here; a running `amends serve` or `worker` sends it. Ends with 0
    if the refund was approved or waits for a review, with 1 if it was refused or declined.

    Example: amends refund shop-1/1001 --lines 1:2 --reason damaged --key ticket-4711
    """
    connection, slash, source = order.partition("/")
    body: dict[str, Any] = {
        "order": OrderKey(connection, source) if slash else order,
        "lines": _named("lines", "quantity", lines or []),
        "shipping": int(shipping) if _whole(shipping) else shipping,
        "charges": charges if charges in ("none", "full") else _charges(charges),
        "adjustments": _named("adjust", "amount", adjust or []),
        "statutory": statutory,
        "promotions": "waive" if waive else "policy",
        "goodwill": "compensation" if compensation else "price_reduction",
        "reason": reason,
        "note": note,
        "tenders": tenders if ":" not in tenders else _named("tenders", "amount", [tenders]),
        "consent": consent,
    }
    body |= {} if amount is None else {"amount": amount}
    body |= {"fees": _fees(fee)} if fee else {}
    request = decode(_REFUND, msgspec.json.encode(body))
    answer = run(_refund(read_config(config), request, key))
    view = msgspec.json.decode(answer.body)
    good = answer.status == 201 and view["state"] not in ("declined", "parked")
    _show(view, answer.status == 201, as_json)
    if not good:
        raise typer.Exit(1)


def payout(
    refund: Annotated[str, typer.Argument(metavar="REFUND", help="rf_…, as the API names it.")],
    reference: Annotated[
        str,
        typer.Option(help="The id of the payment the customer got, as your bank or shop has it."),
    ],
    way: Annotated[str, typer.Option(help="transfer, or store_credit.")] = "transfer",
    consent: Annotated[
        str, typer.Option(help="For store credit: where the customer's consent is recorded.")
    ] = "",
    key: Annotated[str, typer.Option(help="Idempotency key.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Record that a customer was paid by other means, where the provider cannot pay or failed to.

    Nothing is sent: it books what a person has paid and ends the refund. Whoever asked for the
    refund cannot do it where a second person is required.

    Example: amends payout rf_01m9c… --reference SEPA-2026-4711
    """
    body = {"reference": reference, "way": way} | ({"consent": consent} if consent else {})
    said = decode(_PAYOUT, msgspec.json.encode(body))
    fact = PaidOutside(refund, said.reference, said.way, said.consent or "", role="admin")
    answer = run(_payout(read_config(config), fact, key))
    view = msgspec.json.decode(answer.body)
    _show(view, answer.status == 200, as_json)
    if answer.status != 200:
        raise typer.Exit(1)


def _show(view: dict[str, Any], done: bool, as_json: bool) -> None:
    if as_json:
        show_json(view)
    elif done:
        out.print(_told(view), markup=False)
    else:
        err.print(f"amends: {view['detail']} ({view['code']})", markup=False)


async def _payout(config: Config, fact: PaidOutside, key: str) -> Rendered:
    async with beside(config) as engine:
        caller = Caller(who(), "cli", "amends payout", key, render_acted(fact.refund))
        return finish(await actions.payout(engine, caller, fact))


def _named(option: str, counted: str, said: list[str], name: str = "id") -> list[dict[str, Any]]:
    """What an option that is repeated, or separated with commas, says as ID:NUMBER. Raises Refused,
    naming the option as a pointer would."""
    found = []
    for text in (text for item in said for text in item.split(",") if text):
        which, _, number = text.rpartition(":")
        if not which or not _whole(number):
            detail = f"--{option} {text}: write {name.upper()}:{counted.upper()}, like 1:2."
            raise Refused(Reason.VALIDATION, detail, pointer=f"/{option}")
        found.append({name: which, counted: int(number)})
    return found


def _fees(said: list[str]) -> list[dict[str, Any]]:
    return [] if said == ["none"] else _named("fee", "amount", said, "kind")


def _whole(text: str) -> bool:
    """Whether it is a number in plain digits."""
    return text.isascii() and text.isdigit()


def _charges(said: str) -> list[dict[str, Any]]:
    """Charges by id, each with its amount or whole."""
    whole = [{"id": text} for text in said.split(",") if text and ":" not in text]
    return whole + _named("charges", "amount", [t for t in said.split(",") if ":" in t])


async def _refund(config: Config, request: RefundIn, key: str) -> Rendered:
    async with beside(config) as engine:
        caller = Caller(who(), "cli", "amends refund", key, render_new(request))
        return finish(await actions.request_refund(engine, caller, request))


def _told(view: dict[str, Any]) -> str:
    if "amount" not in view:
        return f"{view['id']}: {view['detail']}"
    amount = f"{major(view['amount'], view['currency'])} {view['currency']}"
    rule = view["decision"]["rule"] if view["decision"] else ""
    told = f"{view['id']}: {amount}, {view['state']} (rule {rule})"
    return f"{told}\n{view['task']['why']} {view['task']['how']}" if view["task"] else told
