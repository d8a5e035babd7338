"""Stories of an ordinary day: webhooks, REST, taxes, two at once, reviews, other currencies."""

from __future__ import annotations

import asyncio

from amends.doors.demo.cast import Cast, paid, rule_of
from amends.doors.demo.parties import Line, Unexpected, expect, until
from amends.doors.demo.told import money


async def plain(cast: Cast) -> None:
    """A customer sends one tea back; the shop's signed webhook asks."""
    sale = await cast.shop.sells(
        cast.support, "EUR", [Line("Tea", 3, 9600, 1600), Line("Parcel", 1, 600, 100)]
    )
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'EUR')}.")
    body = {"order": sale.number, "reason": "return", "lines": [{"id": "1", "quantity": 1}]}
    (await cast.shop.tells("refund.requested", body | {"shipping": "none"})).good(200)
    cast.say("shop", "One of three teas came back; its signed webhook asks.")
    refund = await cast.support.only_refund(sale, "succeeded")
    expect("amount", 3200, refund["amount"])
    share = refund["breakdown"]["lines"][0]
    net, tax = money(share["net"], "EUR"), money(share["tax"], "EUR")
    cast.say("amends", f"Signature holds; approved ({rule_of(refund)}).")
    cast.say("amends", f"pays {paid(refund)}: {net} net and {tax} tax.")
    await cast.paid_once(sale, 3200)
    order = await cast.support.order(sale)
    expect("remaining", 7000, order["remaining"])
    cast.say("ok", f"Paid once. {money(7000, 'EUR')} of the order are left to refund.")


async def partial(cast: Cast) -> None:
    """A quote, its commitment, and the same request again."""
    lines = [Line("Kettle", 3, 9999, 1667), Line("Parcel", 1, 600, 100)]
    report = await cast.shop.rings_up("GBP", lines)
    order = (await cast.support.post("/v1/orders", report)).good(201)
    sale = cast.shop.keeps(report["source"]["order_id"], order["id"], report)
    cast.say("support", f"records order {sale.number}: 3 kettles, {money(sale.total, 'GBP')}.")
    wish = {"order": sale.id, "reason": "damaged", "lines": [{"id": "1", "quantity": 1}]}
    quote = (await cast.support.post("/v1/quotes", wish)).good(200, 201)
    share = quote["breakdown"]["lines"][0]
    net, tax = money(share["net"], "GBP"), money(share["tax"], "GBP")
    expect("net and tax", quote["amount"], share["net"] + share["tax"])
    cast.say("amends", f"quotes one kettle: {net} net + {tax} VAT = {_total(quote)}.")
    key = f"quote-{sale.number}"
    first = await cast.support.post("/v1/refunds", {"quote": quote["id"]}, key=key)
    refund = await cast.support.becomes(first.good(201)["id"], "succeeded")
    cast.say("support", f"commits the quote: paid {paid(refund)}, as quoted.")
    again = await cast.support.post("/v1/refunds", {"quote": quote["id"]}, key=key)
    expect("the same answer, byte for byte", first.raw, again.raw)
    other = await cast.support.post("/v1/refunds", {"order": sale.id, "amount": 1}, key=key)
    expect("status and code", (409, "idempotency_mismatch"), (other.status, other.body["code"]))
    cast.say("support", "sends it again, and then another one under the same key.")
    cast.say("amends", f"the first answer again; the other: {other.body['code']}.")
    await cast.paid_once(sale, quote["amount"])
    cast.say("ok", f"Paid once: {paid(refund)}.")


def _total(quote: dict[str, object]) -> str:
    return money(int(str(quote["amount"])), str(quote["currency"]))


async def lost_discount(cast: Cast) -> None:
    """Three lamps less a tenth from 250.00 on; one comes back, and the discount is not earned."""
    report = await cast.shop.rings_up("EUR", [Line("Lamp", 3, 27000, 4500)])
    report["lines"][0] |= {"subtotal": 30000, "discounts": [{"amount": 3000, "of": "ten"}]}
    ten = {"id": "ten", "kind": "threshold", "at_least": 25000, "if_lost": "clawback"}
    order = (await cast.support.post("/v1/orders", report | {"promotions": [ten]})).good(201)
    sale = cast.shop.keeps(report["source"]["order_id"], order["id"], report)
    cast.say(
        "shop",
        f"sells 3 lamps less 10 % from 250.00 on, order {sale.number}: {money(sale.total, 'EUR')}.",
    )
    one = {"order": sale.id, "reason": "return", "lines": [{"id": "1", "quantity": 1}]}
    label = {"fees": [{"kind": "return_label", "amount": 600}]}
    quote = (await cast.support.post("/v1/quotes", one | label)).good(201)
    (lost,), (fee,) = quote["breakdown"]["promotions"], quote["breakdown"]["fees"]
    expect("lost of the promotion", (1667, 333), (lost["net"], lost["tax"]))
    expect("fee", (500, 100), (fee["net"], fee["tax"]))
    made = (await cast.support.post("/v1/refunds", {"quote": quote["id"]})).good(201)
    refund = await cast.support.becomes(made["id"], "succeeded")
    taken = money(lost["net"] + lost["tax"], "EUR")
    cast.say(
        "amends",
        f"one as paid {money(9000, 'EUR')}, less {taken} of a discount two do not "
        f"earn, less {money(600, 'EUR')} for the label: pays {paid(refund)}.",
    )
    await cast.paid_once(sale, 6400)
    made = (await cast.support.post("/v1/refunds", one)).good(201)
    refund = await cast.support.becomes(made["id"], "succeeded")
    expect("amount", 10000, refund["amount"])
    cast.say("ok", f"The next comes back for {paid(refund)}: nothing is taken twice.")


async def race(cast: Cast) -> None:
    """Two people refund 60 % each at the same moment."""
    sale = await cast.shop.sells(cast.support, "USD", [Line("Bicycle bell", 1, 10000, 800)])
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'USD')}.")
    wish = {"order": sale.id, "reason": "goodwill", "amount": 6000}
    cast.say("support", f"Two agents ask for {money(6000, 'USD')} each, at the same moment.")
    both = await asyncio.gather(*(cast.support.post("/v1/refunds", wish) for _ in range(2)))
    yes, no = sorted(both, key=lambda answer: answer.status)
    refund = await cast.support.becomes(yes.good(201)["id"], "succeeded")
    expect("status and code", (409, "exceeds_remaining"), (no.status, no.body["code"]))
    expect("remaining", 4000, no.body["remaining"])
    left = money(no.body["remaining"], "USD")
    cast.say("amends", f"one is accepted: {paid(refund)} paid.")
    cast.say("amends", f"the other is refused ({no.body['code']}): {left} left.")
    await cast.paid_once(sale, 6000)
    cast.say("ok", "120 % of an order cannot be given back.")


async def review(cast: Cast) -> None:
    """A large amount waits for a second person."""
    sale = await cast.shop.sells(cast.support, "EUR", [Line("Espresso machine", 1, 48000, 7664)])
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'EUR')}.")
    refund = await cast.support.refund({"order": sale.id, "reason": "damaged"}, wait=5)
    expect("state", "review", refund["state"])
    amount = money(refund["amount"], "EUR")
    cast.say("support", f"asks for all of it, {amount}.")
    cast.say("amends", f"review ({rule_of(refund)}); the amount is reserved.")
    expect("movements", [], await cast.provider.movements(sale))
    path, shown = f"/v1/refunds/{refund['id']}/approve", {"shown": refund["shown"]}
    own = await cast.support.post(path, shown)
    expect("status", 403, own.status)
    cast.say("support", f"tries to approve it too: refused ({own.body['code']}).")
    (await cast.lead.post(path, shown)).good(200)
    refund = await cast.support.becomes(refund["id"], "succeeded")
    expect("who decided", f"key:{cast.lead.name}", refund["decided_by"])
    cast.say("lead", "approves exactly what was shown, with a key of their own.")
    await cast.paid_once(sale, 48000)
    cast.say("ok", f"{paid(refund)} paid; the trail names who asked, who approved.")


async def exponents(cast: Cast) -> None:
    """Currencies without cents, and with three decimals."""
    yen = await cast.shop.sells(cast.support, "JPY", [Line("Teacup", 2, 4980, 452)])
    wish = {"order": yen.id, "reason": "return", "lines": [{"id": "1", "quantity": 1}]}
    refund = await cast.support.becomes((await cast.support.refund(wish))["id"], "succeeded")
    await cast.paid_once(yen, 2490)
    cast.say("shop", f"sells order {yen.number}: two teacups, {money(yen.total, 'JPY')}.")
    cast.say("support", f"One of them came back: {paid(refund)} paid.")
    dinar = await cast.shop.sells(cast.support, "KWD", [Line("Saffron", 1, 12340)])
    odd = await cast.support.post("/v1/refunds", {"order": dinar.id, "amount": 7255})
    expect("status and code", (409, "amount_not_payable"), (odd.status, odd.body["code"]))
    cast.say("shop", f"sells order {dinar.number}: saffron, {money(dinar.total, 'KWD')}.")
    cast.say("support", f"gives {money(7255, 'KWD')} as goodwill.")
    step = money(odd.body["multiple_of"], "KWD")
    cast.say("amends", f"refused before anything is sent: only in steps of {step}.")
    even = {"order": dinar.id, "amount": 7250, "reason": "goodwill"}
    refund = await cast.support.becomes((await cast.support.refund(even))["id"], "succeeded")
    await cast.paid_once(dinar, 7250)
    cast.say("support", f"gives {money(7250, 'KWD')} then: paid.")
    cast.say("ok", "0 and 3 decimals: integers in each currency's own unit.")


async def unavailable(cast: Cast) -> None:
    """What cannot be delivered is let go before the money is taken."""
    sale = await cast.shop.sells(cast.support, "SEK", [Line("Lamp", 2, 89800, 17960)], paid=False)
    cast.say("shop", f"Order {sale.number}: {money(sale.total, 'SEK')} authorized, not captured.")
    body = {"order": sale.number, "lines": [{"id": "1", "quantity": 2}]}
    (await cast.shop.tells("inventory.unavailable", body)).good(200)
    refund = await cast.support.only_refund(sale, "succeeded")
    expect("kind", "void", refund["legs"][0]["kind"])
    made = await cast.provider.movements(sale)
    expect("movements", [("void", sale.total)], [(m["kind"], m["amount"]) for m in made])
    cast.say("shop", "Both lamps are out of stock.")
    cast.say("amends", f"cancels the authorization: {money(sale.total, 'SEK')} never leave.")
    lines = [Line("Rug", 1, 45000, 9000), Line("Chair", 2, 60000, 12000), Line("Vase", 1, 15000)]
    sale = await cast.shop.sells(cast.support, "SEK", lines, paid=False)
    cast.say("shop", f"Order {sale.number}: {money(sale.total, 'SEK')}; only the rug is missing.")
    body = {"order": sale.number, "lines": [{"id": "1", "quantity": 1}]}
    (await cast.shop.tells("inventory.unavailable", body)).good(200)
    await cast.support.only_refund(sale, "succeeded")
    made = await cast.provider.movements(sale)
    expect("movements", [("capture", 75000)], [(m["kind"], m["amount"]) for m in made])
    freed, taken = money(45000, "SEK"), money(75000, "SEK")
    cast.say("amends", f"captures the rest, {taken}; that frees {freed}.")
    payment = await until(
        "the payment captured", lambda: cast.support.payment(sale), lambda p: p["captured"] == 75000
    )
    if payment["refunded"] or payment["pending"]:
        raise Unexpected("nothing refunded", payment)
    cast.say("ok", "Not one krona was taken and given back.")
