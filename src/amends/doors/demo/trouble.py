"""Stories of what goes wrong: lost answers, repeats, strangers, late failures, other hands."""

from __future__ import annotations

from datetime import timedelta

from amends.doors.demo.cast import Cast, paid
from amends.doors.demo.means import fallback_of
from amends.doors.demo.parties import PROVIDER, Json, Line, Unexpected, expect, until
from amends.doors.demo.told import money


async def lost_answer(cast: Cast) -> None:
    """The provider did the work; its answer and its webhook are lost."""
    sale = await cast.shop.sells(cast.support, "USD", [Line("Headphones", 1, 4500, 0)])
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'USD')}.")
    fault = {"op": "fault", "kind": "lost_answer", "payment": sale.payment, "count": 1}
    await cast.provider.does(fault)
    before = await cast.provider.falls_silent()
    asked = await cast.support.refund({"order": sale.id, "reason": "not_received"}, wait=0)
    cast.say("support", f"asks for {money(4500, 'USD')}: it never arrived.")
    await _answered_somehow(cast, asked["id"])
    made = await cast.paid_once(sale, 4500)
    cast.say(
        "provider",
        f"pays {money(4500, 'USD')} ({made}). Then the line breaks: its answer is lost, and so is "
        "its webhook.",
    )
    payment = await cast.support.payment(sale)
    expect("reserved or paid", 4500, payment["pending"] + payment["refunded"])
    cast.say("amends", "State unknown: the amount stays reserved, no blind retry.")
    refund = await cast.support.becomes(asked["id"], "succeeded")
    await cast.provider.speaks_again(before)
    expect("the provider's id", made, refund["legs"][0]["psp_refund_id"])
    await _was_unknown(cast, asked["id"])
    cast.say("amends", f"looks it up and finds {made}.")
    await cast.paid_once(sale, 4500)
    cast.say("ok", f"The customer has {paid(refund)}, once.")


async def _answered_somehow(cast: Cast, refund: str) -> None:
    """The refund is no longer on the wire; how it is comes out later."""
    await until(
        "a refund that is no longer sending",
        lambda: cast.support.get(f"/v1/refunds/{refund}"),
        lambda found: found["state"] != "sending",
    )


async def _was_unknown(cast: Cast, refund: str) -> None:
    """By the trail: first nobody knew, then it was found to have succeeded."""
    events = await cast.support.timeline(refund)
    states = [event["body"]["now"] for event in events if event["type"] == "leg.moved"]
    expect("what its leg went through", ["unknown", "succeeded"], states)


async def repeats(cast: Cast) -> None:
    """The shop and the provider both send their webhooks more than once."""
    sale = await cast.shop.sells(cast.support, "SEK", [Line("Scarf", 2, 39800, 7960)])
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'SEK')}.")
    disturbance = {"op": "webhook_fault", "kind": "duplicate", "copies": 2, "type": "*refund*"}
    await cast.provider.does(disturbance)
    body = {"order": sale.number, "lines": [{"id": "1", "quantity": 1}], "reason": "return"}
    raw, headers = cast.shop.message("refund.requested", body)
    told = [(await cast.shop.delivers(raw, headers)).good(200) for _ in range(3)]
    expect("duplicates", [False, True, True], [answer["duplicate"] for answer in told])
    cast.say("shop", "One scarf came back. The shop's webhook arrives three times.")
    refund = await cast.support.only_refund(sale, "succeeded")
    await cast.provider.has_delivered()
    await cast.provider.does({"op": "clear_webhook_faults"})
    cast.say("provider", "announces the refund three times as well.")
    cast.say("amends", "acts on the first of each, acknowledges the others.")
    await cast.paid_once(sale, 19900)
    entries = await cast.entries(sale)
    expect("journal entries", ["claim", "payout"], [entry["kind"] for entry in entries])
    cast.say("ok", f"One refund of {paid(refund)}, two journal entries.")


async def webhook_first(cast: Cast) -> None:
    """The webhook of a refund overtakes the answer to it."""
    sale = await cast.shop.sells(cast.support, "GBP", [Line("Notebook", 4, 3600, 600)])
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'GBP')}.")
    fault = {"op": "fault", "kind": "webhook_before_answer", "payment": sale.payment, "count": 1}
    await cast.provider.does(fault)
    wish = {"order": sale.id, "reason": "wrong_item", "lines": [{"id": "1", "quantity": 2}]}
    refund = await cast.support.becomes((await cast.support.refund(wish))["id"], "succeeded")
    cast.say("provider", "delivers its webhook first, and only then its answer.")
    events = await cast.support.timeline(refund["id"])
    actors = [e["actor"] for e in events if e["body"].get("now") == "succeeded"]
    expect("who told it succeeded", [f"connection:{PROVIDER}"], actors)
    cast.say("amends", "knows its own mark; the answer after it changes nothing.")
    await cast.paid_once(sale, 1800)
    entries = await cast.entries(sale)
    expect("journal entries", ["claim", "payout"], [entry["kind"] for entry in entries])
    cast.say("ok", f"One refund of {paid(refund)}, booked once.")


async def late_failure(cast: Cast) -> None:
    """A refund that succeeded comes back days later."""
    sale = await cast.shop.sells(cast.support, "EUR", [Line("Rucksack", 1, 6450, 1030)])
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'EUR')}.")
    wish = {"order": sale.id, "reason": "return"}
    refund = await cast.support.becomes((await cast.support.refund(wish))["id"], "succeeded")
    first = await cast.paid_once(sale, 6450)
    cast.say("amends", f"pays {paid(refund)}: succeeded.")
    reason = "lost_or_stolen_card"
    await cast.provider.does({"op": "fail_refund", "refund": first, "failure_reason": reason})
    cast.say("provider", f"takes it back: failed after all ({reason}).")
    refund = await cast.support.becomes(refund["id"], "failed")
    owed = await cast.owed(sale)
    expect("refunds payable", 6450, owed)
    cast.say("amends", f"Dr clearing, Cr refunds payable: {money(owed, 'EUR')} are owed again.")
    task = await fallback_of(cast, refund, "review")
    (await cast.support.post(f"/v1/refunds/{task['id']}/decline", {})).good(200)
    path = f"/v1/refunds/{refund['id']}/retry"
    (await cast.support.post(path, {})).good(200)
    cast.say("support", "declines the task to pay by hand, and tries again.")
    refund = await cast.support.becomes(refund["id"], "succeeded")
    made = await cast.provider.movements(sale)
    found = [(m["amount"], m["status"]) for m in made]
    expect("movements", [(6450, "failed"), (6450, "succeeded")], found)
    expect("refunds payable", 0, await cast.owed(sale))
    cast.say("ok", f"{paid(refund)} paid by a second movement; nothing is owed.")


async def dashboard(cast: Cast) -> None:
    """Somebody refunds in the provider's dashboard, behind everybody's back."""
    sale = await cast.shop.sells(cast.support, "GBP", [Line("Jacket", 1, 9000, 1500)])
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'GBP')}.")
    await cast.provider.does({"op": "dashboard_refund", "payment": sale.payment, "amount": 5000})
    cast.say("provider", f"Somebody gives back {money(5000, 'GBP')} in the dashboard.")
    refund = await cast.support.only_refund(sale, "succeeded")
    expect("reason", "external", refund["reason"])
    cast.say("amends", f"adopts it: {paid(refund)} booked, asked by {refund['requested_by']}.")
    no = await cast.support.post("/v1/refunds", {"order": sale.id, "amount": 5000})
    expect("status and code", (409, "exceeds_remaining"), (no.status, no.body["code"]))
    left = money(no.body["remaining"], "GBP")
    cast.say("support", f"asks for another {money(5000, 'GBP')}: refused, {left} are left.")
    rest = await cast.support.refund({"order": sale.id, "reason": "return"})
    refund = await cast.support.becomes(rest["id"], "succeeded")
    expect("amount", 4000, refund["amount"])
    cast.say("ok", f"The rest, {paid(refund)}, is paid: the price, and not more.")


async def forged(cast: Cast) -> None:
    """Messages that the shop did not sign, or signed long ago."""
    sale = await cast.shop.sells(cast.support, "EUR", [Line("Watch", 1, 9900, 1581)])
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'EUR')}.")
    wish = {"order": sale.number, "amount": 100, "reason": "goodwill"}
    raw, headers = cast.shop.message("refund.requested", wish)
    answer = await cast.shop.delivers(raw.replace(b":100,", b":9900,"), headers)
    _refused(answer.status, answer.body)
    cast.say("stranger", f"turns {money(100, 'EUR')} of a signed message into 99.00 EUR.")
    cast.say("amends", f"{answer.status} {answer.body['code']}; the body is not even read.")
    raw, headers = cast.shop.message("refund.requested", wish, age=timedelta(minutes=10))
    answer = await cast.shop.delivers(raw, headers)
    _refused(answer.status, answer.body)
    cast.say("stranger", "plays back a genuine message, ten minutes old.")
    cast.say("amends", f"{answer.status} {answer.body['code']}: older than five minutes.")
    order = await cast.support.order(sale)
    if order["refunds"] or order["remaining"] != 9900:
        raise Unexpected("an order nobody touched", order)
    cast.say("ok", f"No refund, and {money(9900, 'EUR')} are still there to refund.")


def _refused(status: int, body: Json) -> None:
    expect("status and code", (401, "signature_invalid"), (status, body.get("code")))


async def stored_error(cast: Cast) -> None:
    """The provider does the work, answers 500, and keeps that 500 under the key."""
    sale = await cast.shop.sells(cast.support, "USD", [Line("Camera strap", 1, 2995, 0)])
    cast.say("shop", f"sells order {sale.number} for {money(sale.total, 'USD')}.")
    slow = {"op": "webhook_fault", "kind": "delay", "seconds": 3, "type": "*refund*"}
    fault = {"op": "fault", "kind": "error_500", "payment": sale.payment, "count": 1}
    await cast.provider.does(slow, fault)
    asked = await cast.support.refund({"order": sale.id, "reason": "return"}, wait=0)
    await _answered_somehow(cast, asked["id"])
    made = await cast.paid_once(sale, 2995)
    await cast.provider.does({"op": "clear_webhook_faults"})
    cast.say(
        "provider",
        f"pays {money(2995, 'USD')} ({made}), and answers HTTP 500. Whoever repeats the request "
        "gets that 500 again, and its webhook is slow today.",
    )
    cast.say("amends", "takes a 500 for what it is, unknown, and looks it up.")
    refund = await cast.support.becomes(asked["id"], "succeeded")
    await _was_unknown(cast, asked["id"])
    await cast.paid_once(sale, 2995)
    cast.say("ok", f"Found, not repeated: {paid(refund)}, once.")
