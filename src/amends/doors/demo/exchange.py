"""A story of two currencies: what was owed, what it cost, and which of the two the books hold."""

from __future__ import annotations

from amends.doors.demo.cast import Cast, paid
from amends.doors.demo.parties import PROVIDER, Line, expect
from amends.doors.demo.told import money

SOLD = 92  # cents for a dollar, as the settings have it


async def gain_and_loss(cast: Cast) -> None:
    """A shop in euro sells for dollars, and the dollar moves before each of two refunds."""
    lines = [Line("Camera", 1, 6000), Line("Lens", 1, 4000)]
    sale = await cast.shop.sells(cast.support, "USD", lines)
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'USD')} at 0.{SOLD} EUR.")
    for number, rate, took in (("1", "0.95", 5700), ("2", "0.90", 3600)):
        await cast.provider.does({"op": "settle", "currency": "EUR", "rates": {"USD": rate}})
        wish = {"order": sale.id, "reason": "return", "lines": [{"id": number, "quantity": 1}]}
        refund = await cast.support.becomes((await cast.support.refund(wish))["id"], "succeeded")
        made = (await cast.provider.movements(sale))[-1]
        expect("taken", ("EUR", took), (made["settled_currency"], made["settled"]))
        cast.say("provider", f"pays {paid(refund)}; its balance line says {money(took, 'EUR')}.")
        cost = took - SOLD * refund["amount_succeeded"] // 100
        expect("realised", cost, await _realised(cast, refund["id"]))
        word = "loss" if cost > 0 else "gain"
        cast.say("amends", f"books a {word} of {money(abs(cost), 'EUR')} against the sale.")
    entries = await cast.entries(sale)
    left = -sum(
        p["functional"] for e in entries for p in e["postings"] if p["account"] == _CLEARING
    )
    owed = sum(p["functional"] for e in entries for p in e["postings"] if p["account"] == _PAYABLE)
    expect("what left, and what is owed", (9300, 0), (left, owed))
    cast.say("ok", f"{money(sale.total, 'USD')} to the customer, {money(left, 'EUR')} from us.")


_CLEARING, _PAYABLE = f"clearing:{PROVIDER}", "refunds_payable"


async def _realised(cast: Cast, refund: str) -> int:
    entries = await cast.books.pages(f"/v1/ledger/entries?refund={refund}")
    lines = [line for entry in entries for line in entry["postings"]]
    return sum(p["functional"] for p in lines if p["account"] == "fx_gain_loss")
