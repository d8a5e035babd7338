"""Stories of Adyen, which tells everything later, and of PayPal, which signs a checksum."""

from __future__ import annotations

import msgspec

from amends.doors.demo.cast import Cast, paid
from amends.doors.demo.forger import listening, with_crc_of
from amends.doors.demo.means import fallback_of
from amends.doors.demo.parties import ADYEN, PAYPAL, Json, Line, expect, until
from amends.doors.demo.told import money

SOON, LATER = 0.2, 3.0  # seconds until Adyen's webhook; long enough to be asked again meanwhile


def _adyen(op: str, **wish: object) -> Json:
    return {"op": op, "gateway": "adyen", **wish}


def _paypal(op: str, **wish: object) -> Json:
    return {"op": op, "gateway": "paypal", **wish}


async def failed_days_later(cast: Cast) -> None:
    """Adyen takes a refund up, says that it was made, and days later that it failed."""
    sale = await cast.shop.sells(cast.support, "EUR", [Line("Armchair", 1, 8900, 1421)], at=ADYEN)
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'EUR')}, paid at Adyen.")
    await cast.provider.does(_adyen("settings", outcome_delay_s=1.0))
    asked = await cast.support.refund({"order": sale.id, "reason": "return"}, wait=0)
    await cast.support.becomes(asked["id"], "pending")
    cast.say("adyen", "answers “received”, which promises nothing: pending.")
    refund = await cast.support.becomes(asked["id"], "succeeded")
    await cast.provider.does(_adyen("settings", outcome_delay_s=SOON))
    first = await cast.paid_once(sale, 8900)
    latest = refund["expected_by"]["latest"]
    cast.say("adyen", f"Its webhook says REFUND: {paid(refund)} are on their way.")
    cast.say("amends", f"can tell until when: {latest}, by Adyen's own figures.")
    await cast.provider.does(_adyen("fail_refund", refund=first))
    cast.say("adyen", "Days later: REFUND_FAILED, with “success” set to “true”.")
    refund = await cast.support.becomes(asked["id"], "failed")
    owed = await cast.owed(sale)
    expect("refunds payable", 8900, owed)
    expect("when to expect it", None, refund["expected_by"])
    cast.say("amends", f"books it back. The claim stands: {money(owed, 'EUR')} are owed.")
    task = await fallback_of(cast, refund, "review")
    expect("task", ("manual_payout", 8900), (task["task"]["what"], task["task"]["amount"]))
    reference = {"reference": f"SEPA-{sale.number}"}
    path = f"/v1/refunds/{task['id']}/payout"
    no = await cast.support.post(path, reference)
    expect("status and code", (403, "self_approval"), (no.status, no.body["code"]))
    refund = (await cast.lead.post(path, reference)).good(200)
    expect("state", "succeeded", refund["state"])
    expect("refunds payable", 0, await cast.owed(sale))
    cast.say("lead", "a second person, pays by bank and records the reference.")
    found = [(m["amount"], m["status"]) for m in await cast.provider.movements(sale)]
    expect("movements", [(8900, "failed")], found)
    cast.say("ok", f"{paid(refund)} paid by hand, booked as that; nothing is owed.")


async def same_bytes(cast: Cast) -> None:
    """Adyen's answer is lost, and Adyen cannot be asked what became of a refund."""
    sale = await cast.shop.sells(cast.support, "USD", [Line("Turntable", 1, 7900)], at=ADYEN)
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'USD')}, paid at Adyen.")
    lost = _adyen("fault", kind="lost_answer", payment=sale.payment, count=1)
    await cast.provider.does(_adyen("settings", outcome_delay_s=LATER), lost)
    asked = await cast.support.refund({"order": sale.id, "reason": "damaged"}, wait=0)
    await cast.support.becomes(asked["id"], "unknown")
    cast.say("adyen", "takes it up. The answer is lost, the webhook is slow.")
    cast.say("amends", "Unknown. Nothing can be looked up, nothing is guessed.")
    await cast.support.becomes(asked["id"], "pending")
    cast.say("amends", "sends the same bytes, same key: the first answer again.")
    refund = await cast.support.becomes(asked["id"], "succeeded")
    await cast.provider.does(_adyen("settings", outcome_delay_s=SOON))
    events = await cast.support.timeline(asked["id"])
    states = [event["body"]["now"] for event in events if event["type"] == "leg.moved"]
    expect("what its leg went through", ["unknown", "pending", "succeeded"], states)
    await cast.paid_once(sale, 7900)
    (made,) = await cast.provider.movements(sale)
    keys = [event["body"]["key"] for event in events if event["type"] == "leg.sending"]
    expect("the key it was sent under", keys, [made["key"]])
    cast.say("ok", f"Asked twice, paid once: {paid(refund)}.")


async def revoked(cast: Cast) -> None:
    """PayPal declares every token void between two refunds."""
    lines = [Line("Raincoat", 1, 4200, 671), Line("Umbrella", 1, 1850, 295)]
    sale = await cast.shop.sells(cast.support, "EUR", lines, at=PAYPAL)
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'EUR')}, paid by PayPal.")
    wish = {"order": sale.id, "reason": "return", "lines": [{"id": "1", "quantity": 1}]}
    refund = await cast.support.becomes((await cast.support.refund(wish))["id"], "succeeded")
    cast.say("amends", f"signs in for a token and pays {paid(refund)}.")
    await cast.provider.does(_paypal("revoke_tokens"))
    cast.say("paypal", "declares every token void: the next request is answered 401.")
    wish["lines"] = [{"id": "2", "quantity": 1}]
    refund = await cast.support.becomes((await cast.support.refund(wish))["id"], "succeeded")
    cast.say("amends", f"takes a new token, sends the same again: {paid(refund)}.")
    found = [(m["amount"], m["status"]) for m in await cast.provider.movements(sale)]
    expect("movements", [(4200, "succeeded"), (1850, "succeeded")], found)
    cast.say("ok", "Two refunds, two movements: a 401 executes nothing.")


async def same_crc(cast: Cast) -> None:
    """A stranger who has seen one message of PayPal writes another with the same checksum."""
    sale = await cast.shop.sells(cast.support, "EUR", [Line("Tent", 1, 9000, 1437)], at=PAYPAL)
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'EUR')}, paid by PayPal.")
    secret = cast.stage.secrets.paypal_webhook
    async with listening() as (url, heard):
        await cast.provider.does(_paypal("webhook", url=url, secret=secret))
        wish = {"order": sale.id, "reason": "goodwill", "amount": 1000}
        refund = await cast.support.becomes((await cast.support.refund(wish))["id"], "succeeded")
        cast.say("amends", f"pays {paid(refund)} as goodwill; PayPal's webhook tells of it.")
        await until("a message on the line", heard.count, lambda count: count > 0)
        head, genuine = heard.messages[0]
        hook = f"{cast.stage.server_url}/webhooks/{PAYPAL}"
        again = _paypal("webhook", url=hook, secret=secret)
        await cast.provider.does(_paypal("clear_webhooks"), again)
    event = msgspec.json.decode(genuine)
    event["id"] = f"WH-{sale.number}"
    event["resource"]["amount"]["value"] = "90.00"
    forged = with_crc_of(genuine, event)
    cast.say("stranger", "was on the line, makes it 90.00 EUR: same CRC-32.")
    answer = await cast.shop.posts(PAYPAL, forged, head)
    expect("status", 200, answer.status)
    cast.say("amends", "The signature holds: it covers no more than that sum.")
    left = (await cast.support.order(sale))["remaining"]
    expect("remaining", 8000, left)
    cast.say("amends", "So it asks PayPal itself, which knows of 10.00 EUR.")
    rest = await cast.support.refund({"order": sale.id, "reason": "return"})
    refund = await cast.support.becomes(rest["id"], "succeeded")
    expect("amount", 8000, refund["amount_succeeded"])
    found = [(m["amount"], m["status"]) for m in await cast.provider.movements(sale)]
    expect("movements", [(1000, "succeeded"), (8000, "succeeded")], found)
    cast.say("ok", f"The other {paid(refund)} are there, and paid when asked for.")


async def rest_captured(cast: Cast) -> None:
    """Part of an authorization is let go by capturing the rest, never by a void of all."""
    lines = [Line("Desk lamp", 1, 6000, 1000), Line("Bulb", 1, 1500, 250)]
    sale = await cast.shop.sells(cast.support, "GBP", lines, paid=False, at=PAYPAL)
    cast.say("shop", f"Order {sale.number}: {money(sale.total, 'GBP')} authorized, not captured.")
    body = {"order": sale.number, "lines": [{"id": "2", "quantity": 1}]}
    (await cast.shop.tells("inventory.unavailable", body)).good(200)
    cast.say("shop", "The bulb is out of stock.")
    refund = await cast.support.only_refund(sale, "succeeded")
    expect("kind", "void", refund["legs"][0]["kind"])
    made = await cast.provider.movements(sale)
    expect("movements", [("capture", 6000)], [(m["kind"], m["amount"]) for m in made])
    freed, taken = money(1500, "GBP"), money(6000, "GBP")
    cast.say("amends", f"captures {taken} for good: that lets {freed} go.")
    payment = await until(
        "the payment captured", lambda: cast.support.payment(sale), lambda p: p["captured"] == 6000
    )
    expect("refunded, pending", (0, 0), (payment["refunded"], payment["pending"]))
    cast.say("ok", f"{taken} taken, {freed} never were.")
