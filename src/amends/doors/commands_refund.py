"""`amends refund`: a refund from the command line, decided in this process."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import typer

from amends.core.reasons import Reason, Refused
from amends.core.requests import LinePick, OrderKey, RefundIn
from amends.doors.calls import decode, finish
from amends.doors.refunds import render_new
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


def refund(
    order: Annotated[str, typer.Argument(help="ord_…, or CONNECTION/ORDER as the shop has it.")],
    lines: Annotated[
        list[str] | None,
        typer.Option(help="LINE:QUANTITY; repeat it or separate with commas.", metavar="ID:QTY"),
    ] = None,
    amount: Annotated[
        int | None, typer.Option(help="Minor units (500 is 5.00 EUR), instead of lines.")
    ] = None,
    shipping: Annotated[str, typer.Option(help="none, full, or minor units.")] = "none",
    reason: Annotated[str, typer.Option(help="As in the API: return, damaged, …")] = "return",
    note: Annotated[str, typer.Option(help="For the people who look at it.")] = "",
    key: Annotated[
        str, typer.Option(help="Idempotency key: the same key never refunds twice.")
    ] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give money back for an order; with neither lines nor amount, all that is left.

    The decision is made and stored here; a running `amends serve` or `worker` sends it. Ends with 0
    if the refund was approved or waits for a review, with 1 if it was refused or declined.

    Example: amends refund shop-1/1001 --lines 1:2 --reason damaged --key ticket-4711
    """
    request = _request(order, lines or [], amount, shipping, reason, note)
    answer = run(_refund(read_config(config), request, key))
    view = msgspec.json.decode(answer.body)
    good = answer.status == 201 and view["state"] not in ("declined", "parked")
    if as_json:
        show_json(view)
    elif answer.status == 201:
        out.print(_told(view), markup=False)
    else:
        err.print(f"amends: {view['detail']} ({view['code']})", markup=False)
    if not good:
        raise typer.Exit(1)


def _request(
    order: str, lines: list[str], amount: int | None, shipping: str, reason: str, note: str
) -> RefundIn:
    """The body the API would have got. Raises Refused, naming the option as a pointer would."""
    connection, slash, source = order.partition("/")
    picks = [_pick(text) for item in lines for text in item.split(",") if text]
    fee: Literal["none", "full"] | int | str = int(shipping) if shipping.isdigit() else shipping
    body: dict[str, Any] = {
        "order": OrderKey(connection, source) if slash else order,
        "lines": picks,
        "shipping": fee,
        "reason": reason,
        "note": note,
    }
    if amount is not None:
        body["amount"] = amount
    return decode(_REFUND, msgspec.json.encode(body))


def _pick(text: str) -> LinePick:
    line, _, quantity = text.rpartition(":")
    if not line or not quantity.isdigit():
        detail = f"--lines {text}: write LINE:QUANTITY, like 1:2."
        raise Refused(Reason.VALIDATION, detail, pointer="/lines")
    return LinePick(line, int(quantity))


async def _refund(config: Config, request: RefundIn, key: str) -> Rendered:
    async with beside(config) as engine:
        caller = Caller(who(), "cli", "amends refund", key, render_new(request))
        return finish(await actions.request_refund(engine, caller, request))


def _told(view: dict[str, Any]) -> str:
    if "amount" not in view:
        return f"{view['id']}: {view['detail']}"
    amount = f"{major(view['amount'], view['currency'])} {view['currency']}"
    rule = view["decision"]["rule"] if view["decision"] else ""
    return f"{view['id']}: {amount}, {view['state']} (rule {rule})"
