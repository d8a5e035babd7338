"""The story of the server that is killed in the middle of several refunds."""

from __future__ import annotations

import asyncio
import signal
from time import monotonic

import aiohttp

from amends.doors.demo.cast import Cast
from amends.doors.demo.parties import Line, Sale, expect, until
from amends.doors.demo.stage import FLIGHTS
from amends.doors.demo.told import money

ORDERS = (("EUR", 2400), ("USD", 1999), ("GBP", 3150), ("JPY", 1980)) * 2
HELD = 30  # seconds the provider holds its answers back: longer than the server lives
TAKEN_OVER = 30.0  # seconds; promised are 15 until an orphan is taken up


async def killed(cast: Cast, session: aiohttp.ClientSession) -> None:
    """Accept eight refunds, have four on the wire, and die."""
    sales = [
        await cast.shop.sells(cast.support, currency, [Line("Book", 1, total)])
        for currency, total in ORDERS
    ]
    slow = {"op": "fault", "kind": "latency", "seconds": HELD, "count": FLIGHTS}
    await cast.provider.does(slow | {"path": "/v1/refunds"})
    before = await cast.provider.falls_silent()
    wishes = [{"order": sale.id, "reason": "cancelled"} for sale in sales]
    taken = await asyncio.gather(*(cast.support.refund(wish, wait=0) for wish in wishes))
    cast.orphans = [(sale, refund["id"]) for sale, refund in zip(sales, taken, strict=True)]
    cast.say("support", f"asks for {len(sales)} refunds at once; each is answered 201: on disk.")
    made = await until(
        f"{FLIGHTS} movements at the provider",
        lambda: cast.provider.movements(*sales),
        lambda found: len(found) == FLIGHTS,
    )
    amounts = ", ".join(money(m["amount"], m["currency"]) for m in made)
    paid = f"has paid {FLIGHTS} of them ({amounts})"
    cast.say("provider", f"{paid} and is slow to say so; its webhooks are lost.")
    expect("how the server ended", -signal.SIGKILL, await cast.stage.kill_server())
    await cast.provider.speaks_again(before)
    cast.say("machine", f"kill -9. {FLIGHTS} answers will never be heard, {FLIGHTS} never left.")
    begun = monotonic()
    with cast.teller.waiting("the server starts again"):
        await cast.stage.start_server(session)
    cast.say("machine", f"The server is started again, ready in {monotonic() - begun:.1f} s.")
    fresh = [item for item in cast.orphans if not _among(item[0], made)]
    await asyncio.gather(*(cast.support.becomes(name, "succeeded") for _, name in fresh))
    cast.say("amends", f"finds {len(fresh)} refunds that never left, and sends them.")
    cast.say("amends", f"looks the {FLIGHTS} others up before it sends anything again.")
    cast.say("amends", "Meanwhile business goes on.")


def _among(sale: Sale, made: list[dict[str, object]]) -> bool:
    return any(movement["psp_payment_id"] == sale.payment for movement in made)


async def recovered(cast: Cast) -> None:
    """What was on the wire is looked up, found, and not sent again."""
    with cast.teller.waiting("what the killed server had on the wire is looked up"):
        found = [
            await cast.support.becomes(name, "succeeded", TAKEN_OVER) for _, name in cast.orphans
        ]
    cast.say("amends", f"took over the {FLIGHTS} orphans and found all {FLIGHTS} at the provider.")
    for sale, _ in cast.orphans:
        await cast.paid_once(sale, sale.total)
    cast.say("ok", f"{len(found)} refunds, {len(found)} movements; nobody was paid twice.")
