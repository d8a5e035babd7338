"""I5 and the ledger's side of I12: entries against legs, claims and the provider's balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from amends.sim.checker.fx import FX, valued
from amends.sim.checker.money import unheard_bounce
from amends.sim.checker.spec import Violation
from amends.sim.checker.view import (
    BY_HAND,
    GIFT_CARDS,
    GONE,
    OPEN,
    Case,
    Entry,
    Leg,
    Movement,
    Refund,
)

Found = Iterator[Violation]

# Where each kind of entry may post; a name that ends in ":" stands for all that begin with it.
_RETURNED = (
    *("sales_returns", "shipping_refunds", "tax_payable"),
    *("charge_refunds", "goodwill", "fees_kept"),
)
# They move nothing of what was paid: they value it, or are beside it.
_BESIDE = ("capture", "provider_fee", "fx_settled")
# Not in the order's currency.
_OTHERWISE = ("provider_fee", "restock")
ACCOUNTS: dict[str, tuple[str, ...]] = {
    "capture": ("customer_receipts", "clearing:"),
    "claim": (*_RETURNED, "refunds_payable"),
    "claim_lapsed": (*_RETURNED, "refunds_payable"),
    "payout": ("refunds_payable", "clearing:", *BY_HAND.values(), GIFT_CARDS, FX),
    "payout_failed": ("refunds_payable", "clearing:", BY_HAND["credit"], FX),
    "external": (*_RETURNED, "clearing:", FX),
    "fx_settled": ("clearing:", *BY_HAND.values(), FX),
    "provider_fee": ("provider_fees", "clearing:"),
    "void": ("memo_released", "memo_authorizations"),
    "restock": ("inventory", "cost_of_goods"),
    **dict.fromkeys(
        ("seller_share", "seller_share_back"),
        ("seller_receivable:", "seller_shares", "platform_fees"),
    ),
    "seller_paid": ("seller_shares", "platform_fees", "clearing:"),
    **dict.fromkeys(("seller_taken", "seller_returned"), ("seller_receivable:", "clearing:")),
    **dict.fromkeys(
        ("dispute", "dispute_returned", "dispute_lost"),
        ("disputed", "dispute_losses", "clearing:", FX),
    ),
}


def entries_balance(case: Case) -> Found:
    """Every entry sums to zero in its currency and in the functional one; none is missing."""
    numbers = [entry.row["number"] for entry in case.entries]
    if numbers != list(range(1, case.order.entries + 1)):
        yield case.wrong("I5", f"entries are {numbers}, the order counts {case.order.entries}")
    for entry in case.entries:
        name = f"entry {entry.row['number']} ({entry.row['kind']})"
        totals = [sum(line[1] for line in entry.lines), sum(line[2] for line in entry.lines)]
        if totals != [0, 0] or not entry.lines:
            yield case.wrong("I5", f"{name} with {len(entry.lines)} lines sums to {totals}")
        if entry.row["currency"] != case.order.currency and entry.row["kind"] not in _OTHERWISE:
            yield case.wrong("I5", f"{name} is in {entry.row['currency']}")


def entries_keep_to_their_accounts(case: Case) -> Found:
    """Each kind of entry posts on its own accounts alone: what is paid comes off what we owe."""
    for entry in case.entries:
        kind = entry.row["kind"]
        for account, _, _ in entry.lines:
            whole = account.partition(":")[0] + ":" if ":" in account else account
            if whole not in ACCOUNTS.get(kind, ()):
                yield case.wrong("I5", f"entry {entry.row['number']} ({kind}) is on {account}")


def functional_is_the_rate(case: Case) -> Found:
    """In the functional currency each entry is its amounts at the rate the order was recorded with:
    equal where that is the same currency, else a side of an entry rounded once, which is half a
    unit, and split over its lines, which is less than one more for each. What is claimed for a
    refund, and what is paid of it, is rounded as the whole it comes to, so that an entry of it is
    the step between two of them. What left is booked at what it was worth (see `fx`)."""
    rate = case.order.rate
    off = (3 * rate.denominator, rate.denominator) if rate.converts else (1, 0)
    for entry in case.entries:
        # Of sellers each line is rounded by itself, and one balances them.
        line_off, side_off = (n * len(entry.lines) if _of_sellers(entry) else n for n in off)
        name = f"entry {entry.row['number']} ({entry.row['kind']})"
        if entry.row["functional_currency"] != rate.quote:
            yield case.wrong("I5", f"{name} is converted to {entry.row['functional_currency']}")
        if entry.row["kind"] in ("fx_settled", *_OTHERWISE):
            continue
        stepped = {"refunds_payable", "disputed", "dispute_losses", "customer_receipts"}
        times = 2 if stepped & {account for account, _, _ in entry.lines} else 1
        lines = [line for line in entry.lines if not (rate.converts and valued(line[0]))]
        for account, amount, functional in lines:
            if rate.off(amount, functional) >= line_off * times:
                yield case.wrong("I5", f"{name} has {functional} for {amount} on {account}")
        for sign in (1, -1):
            side = [line for line in lines if line[1] * sign > 0]
            amount, functional = sum(line[1] for line in side), sum(line[2] for line in side)
            if rate.off(amount, functional) > side_off * times:
                yield case.wrong("I5", f"{name} has {functional} for {amount} on one side")
    yield from _owed_is_rounded_as_a_whole(case, off[1])


def _owed_is_rounded_as_a_whole(case: Case, side_off: int) -> Found:
    for refund in case.order.refunds:
        if refund.fallback_of:
            continue
        family = {one.id for one in case.family(refund)}
        sums = {"claim": (0, 0), "payout": (0, 0)}
        for entry in case.entries:
            if entry.row["refund_id"] not in family:
                continue
            side = entry.row["kind"].partition("_")[0]
            for account, amount, functional in entry.lines:
                if account == "refunds_payable" and side in sums:
                    sums[side] = (sums[side][0] + amount, sums[side][1] + functional)
                    whole, converted = sums[side]
                    if case.order.rate.off(whole, converted) > side_off:
                        told = f"{converted} {case.order.rate.quote} for {whole}"
                        yield case.wrong("I5", f"{refund.id} comes to {told} by {side}")
        (claimed, claimed_as), (paid, paid_as) = sums["claim"], sums["payout"]
        if claimed + paid == 0 and claimed_as + paid_as:
            rest = claimed_as + paid_as
            yield case.wrong("I5", f"{refund.id} owes nothing but {rest} {case.order.rate.quote}")


def the_rate_is_the_recorded_one(case: Case) -> Found:
    """The document converts at the rate that the trail recorded with the order."""
    rate = case.order.rate
    for event in case.events:
        if event.type == "order.recorded":
            recorded = event.body.get("rate") or [0, 0]
            if recorded[:2] != [rate.numerator, rate.denominator]:
                yield case.wrong("I5", f"the rate is {rate.text}, recorded was {recorded[:2]}")


def payable_is_what_is_owed(case: Case) -> Found:
    """Refunds payable holds, over all refunds of an order, what is claimed and not paid."""
    own = [refund for refund in case.order.refunds if not refund.external]
    claimed = sum(refund.claimed for refund in own)
    legs = [leg for refund in own for leg in refund.legs if leg.kind != "void"]
    paid = sum(leg.amount for leg in legs if leg.state == "succeeded")
    booked = -sum(entry.on("refunds_payable") for entry in case.entries)
    if booked != claimed - paid:
        what = f"{claimed} is claimed and {paid} paid, refunds payable says {booked}"
        yield case.wrong("I5", what)


def legs_are_booked(case: Case) -> Found:
    """Money out is booked when a leg succeeds and booked back when it fails late, in turn, each
    exactly once; so the entries of a leg end with "out" if and only if it is succeeded (I12)."""
    for refund in case.order.refunds:
        for leg in refund.legs:
            yield from _leg_booked(case, refund, leg)
    known = {leg.id for leg in case.order.legs} | {""}
    for entry in case.entries:
        if entry.row["leg_id"] not in known:
            yield case.wrong("I5", f"entry {entry.row['number']} is of {entry.row['leg_id']}")


def _of_sellers(entry: Entry) -> bool:
    """Between a seller and us; `sellers` looks at those."""
    return str(entry.row["kind"]).startswith("seller_")


def _leg_booked(case: Case, refund: Refund, leg: Leg) -> Found:
    mine = [e for e in case.entries if e.row["leg_id"] == leg.id and not _of_sellers(e)]
    own = [e for e in mine if e.row["kind"] not in _BESIDE]
    if leg.kind == "void":
        booked = [e.row["kind"] for e in own]
        if booked != (["void"] if leg.state == "succeeded" else []):
            yield case.wrong("I5", f"{leg.id} is a void, {leg.state}, with entries {booked}")
        return
    payment = next(p for p in case.order.payments if p.id == leg.payment)
    account = BY_HAND.get(leg.kind, f"clearing:{payment.connection}")
    account = GIFT_CARDS if payment.kind == "gift_card" else account
    moved = [-e.on(account) for e in own]
    expected = [leg.amount if turn % 2 == 0 else -leg.amount for turn in range(len(moved))]
    if moved != expected:
        yield case.wrong("I5", f"{leg.id} of {leg.amount} moved {moved} on the clearing account")
    out, paid = sum(moved), leg.amount if leg.state == "succeeded" else 0
    if out != paid:
        invariant = "I12" if out > paid else "I5"
        yield case.wrong(invariant, f"{leg.id} is {leg.state}, the books say {out} left for it")
    names = {e.row["psp_refund_id"] for e in own}
    kinds = {e.row["kind"] for e in own}
    if not names <= {leg.psp_refund_id} or (refund.external and not kinds <= {"external"}):
        yield case.wrong("I5", f"entries {kinds} of {leg.id} ({leg.psp_refund_id}) name {names}")


def claims_stand(case: Case) -> Found:
    """What we owe is booked from the approval on, reversed only when nothing will be paid, and
    stands after a late failure until somebody gives it up (I12)."""
    for refund in case.order.refunds:
        own = [e for e in case.entries if e.row["refund_id"] == refund.id]
        claims = [e for e in own if e.row["kind"] in ("claim", "claim_lapsed")]
        claimed = -sum(e.on("refunds_payable") for e in claims)
        if claimed != refund.claimed:
            yield case.wrong("I5", f"{refund.id} claims {refund.claimed}, the books {claimed}")
        least, most = _owed(case, refund, own)
        if not least <= claimed <= most:
            yield case.wrong("I5", f"{refund.id} owes {least} to {most}, the books say {claimed}")


def _owed(case: Case, refund: Refund, own: list[Entry]) -> tuple[int, int]:
    """The least and the most that may stand on the books as claimed."""
    if refund.stage == "held":  # owed, and not paid yet
        return refund.amount, refund.amount
    if refund.external or refund.stage != "active" or refund.fallback_of:
        return 0, 0
    legs = [leg for leg in refund.current if leg.kind != "void"]
    whole = sum(leg.amount for leg in legs)
    alive = sum(leg.amount for leg in legs if leg.state not in GONE)
    if alive:
        return alive, whole  # what failed of it is owed until it is given up
    was_paid = any(e.row["kind"] == "payout" for e in own)
    if not was_paid and len(case.family(refund)) == 1:
        return 0, 0  # what fell back is owed until it is paid or given up
    return (0, 0) if _given_up(case, refund) else (whole, whole)


def _given_up(case: Case, refund: Refund) -> bool:
    """Somebody gave up what had failed by then; what fails or comes back later is owed again."""
    own, given_up = {leg.id for leg in refund.legs}, False
    for event in case.events:
        if event.type in ("refund.superseded", "refund.canceled"):
            given_up = given_up or event.body.get("refund") == refund.id
        elif event.type == "leg.moved" and event.body.get("leg") in own:
            given_up = given_up and event.body.get("now") not in GONE
    return given_up


def claims_name_their_parts(case: Case) -> Found:
    """A whole claim (or an adopted refund) is booked on tax, shipping and sales as itemised."""
    for refund in case.order.refunds:
        kinds = ("external",) if refund.external else ("claim", "claim_lapsed")
        own = [
            e for e in case.entries if e.row["refund_id"] == refund.id and e.row["kind"] in kinds
        ]
        against = "clearing:" if refund.external else "refunds_payable"
        if -sum(e.on(against) for e in own) != refund.amount:
            continue  # nothing claimed, or a part (the rest was an authorization)
        parts = refund.breakdown
        tax = [sum(t.amount for x in some for t in x.taxes) for some in (parts.parts, parts.kept)]
        lost = [x for x in parts.kept if x.promotion]
        goods, freight = (sum(x.net for x in lost if x.on == on) for on in ("line", "shipping"))
        expected = {
            "tax_payable": tax[0] - tax[1],
            "shipping_refunds": sum(part.net for part in parts.shipping) - freight,
            "sales_returns": sum(part.net for part in parts.lines) + parts.unallocated - goods,
            "charge_refunds": sum(part.net for part in parts.charges),
            "goodwill": parts.compensation,
            "fees_kept": -sum(fee.net for fee in parts.fees),
        }
        for account, amount in expected.items():
            booked = sum(e.on(account) for e in own)
            if booked != amount:
                yield case.wrong("I5", f"{refund.id} booked {booked} on {account}, is {amount}")


def clearing_is_the_providers(case: Case) -> Found:
    """The clearing accounts hold what the provider paid and settled. A movement may differ only
    while its news has not reached us, and then by its own amount."""
    beside = [e for e in case.entries if e.row["kind"] in _BESIDE or _of_sellers(e)]
    booked = -sum(e.on("clearing:") for e in case.entries if e not in beside)
    settled = sum(_settled(case, m) for made in case.movements.values() for m in made)
    settled += sum(dispute.booked for dispute in case.order.disputes)
    if booked != settled:
        yield case.wrong("I5", f"the provider paid {settled}, the clearing accounts say {booked}")


def captures_are_booked(case: Case) -> Found:
    """Where captures are booked, what they brought and did not lose again stands at each provider
    and as received from the customer; elsewhere nothing does."""
    held: Counter[str] = Counter()
    paid = [payment for payment in case.order.payments if payment.kind == "payment"]
    for payment in paid if case.captures else ():
        held[f"clearing:{payment.connection}"] += payment.captured - payment.uncaptured
    own = [entry for entry in case.entries if entry.row["kind"] == "capture"]
    booked = {account: sum(e.on(account) for e in own) for e in own for account, _, _ in e.lines}
    received = -booked.pop("customer_receipts", 0)
    if received != held.total() or any(booked.get(a, 0) != n for a, n in held.items()):
        yield case.wrong("I5", f"captures hold {dict(held)}, the books {booked} and {received}")


def disputes_are_booked(case: Case) -> Found:
    """What disputes hold stands on the books once: as disputed or, where lost, as a loss."""
    taken = sum(dispute.booked for dispute in case.order.disputes)
    lost = sum(dispute.booked for dispute in case.order.disputes if dispute.status == "lost")
    foreign = any(
        event.type == "exception.raised" and event.body.get("what") == "dispute_currency"
        for event in case.events
    )
    if not foreign and taken != sum(dispute.withdrawn for dispute in case.order.disputes):
        yield case.wrong("I5", f"disputes booked {taken}, which is not what they hold")
    on = {name: sum(e.on(name) for e in case.entries) for name in ("disputed", "dispute_losses")}
    beyond = sum(d.beyond for d in case.order.disputes)
    beyond_lost = sum(d.beyond for d in case.order.disputes if d.status == "lost")
    within = taken - lost - (beyond - beyond_lost)
    if on != {"disputed": within, "dispute_losses": lost - beyond_lost}:
        yield case.wrong("I5", f"disputes hold {taken}, {lost} of it lost, the books say {on}")


def _settled(case: Case, movement: Movement) -> int:
    """What the books must hold for a movement, from what we can know of it."""
    if movement.kind != "refund":
        return 0
    states = [leg.state for _, leg in case.owners(movement)]
    if movement.status != "succeeded":
        stale = "succeeded" in states and unheard_bounce(case, movement)
        return movement.amount if stale else 0
    early = any(
        p.psp_payment_id == movement.psp_payment_id and case.to_be_read(p)
        for p in case.order.payments
    )
    news_is_due = not case.was_told(movement) or bool(case.order.parked) or early
    return 0 if news_is_due and all(state in OPEN for state in states) else movement.amount


def no_strangers(rows: Iterable[dict[str, object]], orders: set[str]) -> Found:
    """Every entry and posting is of an order that is there."""
    for order in sorted({str(row["order_id"]) for row in rows} - orders):
        yield Violation("I5", "", f"the books have entries of {order}, which is no order")
