"""Stories of an order paid by two means, and of money that cannot go back the way it came."""

from __future__ import annotations

from amends.doors.demo.cast import Cast, paid
from amends.doors.demo.parties import Json, Line, expect
from amends.doors.demo.told import money


async def mixed(cast: Cast) -> None:
    """A coat for 90.00 by card and 30.00 by gift card, given back in two parts."""
    report = await cast.shop.rings_up("EUR", [Line("Coat", 1, 9000)])
    number, card = report["source"]["order_id"], report["tenders"][0]["psp_payment_id"]
    gift = {"kind": "gift_card", "amount": 3000, "reference": f"GC-{number}"}
    report["tenders"].append(gift)
    report["lines"][0] |= {"total": 12000, "taxes": [{"name": "VAT", "amount": 1916}]}
    order = (await cast.support.post("/v1/orders", report)).good(201)
    sale = cast.shop.keeps(number, order["id"], report)
    by_card, by_gift = money(9000, "EUR"), money(3000, "EUR")
    cast.say("shop", f"sells order {number}: {by_card} by card, {by_gift} by gift card.")
    wish = {"order": sale.id, "amount": 10000, "tenders": [{"id": card, "amount": 10000}]}
    no = await cast.support.post("/v1/refunds", wish)
    expect("status and code", (409, "exceeds_tender"), (no.status, no.body["code"]))
    expect("left", [9000, 3000], [tender["remaining"] for tender in no.body["tenders"]])
    cast.say("support", f"wants {money(10000, 'EUR')} on the card: refused ({no.body['code']}).")
    wish = {"order": sale.id, "amount": 4000, "tenders": "proportional", "reason": "goodwill"}
    refund = await cast.support.becomes((await cast.support.refund(wish))["id"], "succeeded")
    expect("legs", [("refund", 3000), ("credit", 1000)], _legs(refund))
    cast.say("support", f"gives {money(4000, 'EUR')} as goodwill, in proportion.")
    cast.say("amends", f"{money(3000, 'EUR')} to the card, {money(1000, 'EUR')} to the gift card.")
    rest = await cast.support.refund({"order": sale.id, "reason": "return"})
    rest = await cast.support.becomes(rest["id"], "succeeded")
    expect("legs", [("refund", 6000), ("credit", 2000)], _legs(rest))
    expect("credit", [("gift_cards", 3000)], await _credits(cast, f"GC-{number}"))
    made = sorted(m["amount"] for m in await cast.provider.movements(sale))
    expect("movements", [3000, 6000], made)
    cast.say("ok", f"The rest, {paid(rest)}: each got back what it paid.")


async def to_store_credit(cast: Cast) -> None:
    """The card is gone when the money arrives; the customer had agreed to store credit."""
    sale = await cast.shop.sells(cast.support, "EUR", [Line("Hammock", 1, 5400, 862)])
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'EUR')}.")
    wish = {"order": sale.id, "reason": "return", "consent": f"ticket-{sale.number}"}
    refund = await cast.support.becomes((await cast.support.refund(wish))["id"], "succeeded")
    first = await cast.paid_once(sale, 5400)
    cast.say("amends", f"pays {paid(refund)}; store credit is agreed, should it fail.")
    reason = "expired_or_canceled_card"
    await cast.provider.does({"op": "fail_refund", "refund": first, "failure_reason": reason})
    cast.say("provider", f"days later: failed ({reason}).")
    refund = await cast.support.becomes(refund["id"], "failed")
    fallback = await fallback_of(cast, refund, "succeeded")
    expect("legs", [("credit", 5400)], _legs(fallback))
    expect("refunds payable", 0, await cast.owed(sale))
    expect("credit", [("store_credit", 5400)], await _credits(cast, f"c-{sale.number}"))
    cast.say("amends", f"starts a fallback at once: {paid(fallback)} of store credit.")
    no = await cast.support.post(f"/v1/refunds/{refund['id']}/retry", {})
    expect("status and code", (409, "fallback_pays"), (no.status, no.body["code"]))
    cast.say("support", f"tries the card again all the same: refused ({no.body['code']}).")
    claims = [e["kind"] for e in await cast.entries(sale) if e["kind"].startswith("claim")]
    expect("claims on the books", ["claim"], claims)
    cast.say("ok", "Paid once, by other means; the credit note stands as it was.")


async def fallback_of(cast: Cast, refund: Json, state: str) -> Json:
    """What pays in the place of a refund that failed."""
    (name,) = refund["fallbacks"]
    return await cast.support.becomes(name, state)


def _legs(refund: Json) -> list[tuple[str, int]]:
    return [(leg["kind"], leg["amount"]) for leg in refund["legs"]]


async def _credits(cast: Cast, holder: str) -> list[tuple[str, int]]:
    found = await cast.books.get(f"/v1/ledger/credits?holder={holder}")
    return [(row["account"], row["amount"]) for row in found["credits"]]
