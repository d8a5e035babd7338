"""Worlds with one thing broken, and the sentence the checker must say about it."""

from __future__ import annotations

from collections.abc import Callable

from amends.sim.checker import Ask
from tests.sim.broken_causes import CAUSES
from tests.sim.broken_holds import HOLDS
from tests.sim.broken_news import NEWS
from tests.sim.broken_sellers import SELLERS
from tests.sim.checked import ADA, AT, World, out, share

Change = Callable[[World], object]


def paid_twice(w: World) -> None:
    w.movements.append(w.movement("re_a") | {"psp_refund_id": "re_x"})


def paid_twice_and_adopted(w: World) -> None:
    paid_twice(w)
    w.movement("re_x").update(amount=200)
    w.leg("e")["psp_refund_id"] = w.booked["ord_1"][6][3]
    w.journal.dashboard.clear()


def never_heard_of(w: World) -> None:
    w.movements.append(w.movement("re_a") | {"psp_refund_id": "re_x", "amount": 50})
    w.journal.dashboard.append("re_x")
    w.hear("evt_2", "re_x", "succeeded")


def never_read_again(w: World) -> None:
    """It was to be looked up, and nothing is there that would."""
    never_heard_of(w)
    w.payment["reread"] = True


def released_but_failed(w: World) -> None:
    """The authorization is gone by our own request, and is shown as still there."""
    w.orders["ord_2"]["refunds"][0]["legs"][0]["state"] = "failed"
    w.orders["ord_2"]["payments"][0]["voided"] = 0
    w.booked["ord_2"] = []
    no = {"leg": "leg_v", "was": "sending", "now": "failed", "code": "unexpected"}
    w.story["ord_2"][-1] = ("leg.moved", no, ())


def adopted_and_forgotten(w: World) -> None:
    """Somebody's refund was pending when it was found, and nobody looks what becomes of it."""
    w.leg("e")["state"] = w.movement("re_e")["status"] = "pending"


def failed_but_paid(w: World) -> None:
    w.leg("a")["state"] = "failed"
    w.refund("a")["claimed"] = 0
    w.payment["refunded_ours"] = 0


def late_failure_unbooked(w: World) -> None:
    del w.booked["ord_1"][4]
    w.story["ord_1"] = [(t, b, () if n == (5,) else n) for t, b, n in w.story["ord_1"]]
    w.story["ord_1"] = [(t, b, tuple(i - (i > 5) for i in n)) for t, b, n in w.story["ord_1"]]


def double_entry(w: World) -> None:
    w.booked["ord_1"].append(out("a", 3000))
    w.moved("c", "pending", "pending")
    w.story["ord_1"][-1] = ("leg.news", {"leg": "leg_a"}, (8,))


def claim_given_up_unsaid(w: World) -> None:
    w.booked["ord_1"].append(("claim_lapsed", "rf_b", "", "", CLAIM_B_BACK))
    w.story["ord_1"].append(("leg.news", {"leg": "leg_b"}, (8,)))
    w.refund("b")["claimed"] = 0


CLAIM_B_BACK = [("shipping_refunds", -833), ("tax_payable", -167), ("refunds_payable", 1000)]


def on_another_account(w: World) -> None:
    kind, refund, leg, psp, lines = w.booked["ord_1"][0]
    moved = [(a, n + {"sales_returns": 100, "tax_payable": -100}.get(a, 0)) for a, n in lines]
    w.booked["ord_1"][0] = (kind, refund, leg, psp, moved)


def unbalanced(w: World) -> None:
    w.booked["ord_1"][0][4][0] = ("sales_returns", 2499)


def wrong_connection(w: World) -> None:
    w.booked["ord_1"][1][4][1] = ("clearing:another", -3000)


def payouts_leave_the_debt(w: World) -> None:
    """What is paid out comes off revenue instead of what we owe."""
    for place in (1, 3, 4):
        kind, refund, leg, psp, lines = w.booked["ord_1"][place]
        lines = [("sales_returns", lines[0][1]), lines[1]]
        w.booked["ord_1"][place] = (kind, refund, leg, psp, lines)


def paid_off_twice(w: World) -> None:
    """On the accounts of a payout, and of no leg."""
    w.booked["ord_1"].append(("claim", "rf_a", "", "", [("refunds_payable", 5), (TAX, -5)]))
    w.story["ord_1"].append(("leg.news", {"leg": "leg_a"}, (8,)))


TAX = "tax_payable"


def another_rate(w: World) -> None:
    w.in_dollars(9, 10)
    w.orders["ord_1"]["rate"]["numerator"] = 8


def both_live(w: World) -> None:
    w.movement("re_b")["status"] = "succeeded"
    retried = w.leg("b") | {"id": "leg_b2", "psp_refund_id": "re_b2"}
    w.refund("b")["legs"].append(retried)
    w.leg("b")["replaced"] = True
    w.movements.append(w.movement("re_b") | {"psp_refund_id": "re_b2"})


def fallback_and_original(w: World) -> None:
    w.refund("c")["fallback_of"] = "rf_a"


def overdrawn(w: World) -> None:
    w.dispute("needs_response", 12_000)


def overdrawn_and_told_of_another(w: World) -> None:
    overdrawn(w)
    w.tell("paid_twice", 4100, "pay_2")


def overdrawn_and_told_of_less(w: World) -> None:
    overdrawn(w)
    w.tell("paid_twice", 4000)
    w.tell("double_benefit", 99)


def overdrawn_again(w: World) -> None:
    """The bank took it, gave it back, and took it once more, and nobody was told of that."""
    overdrawn(w)
    w.tell("paid_twice", 4100)
    w.dispute("won", 0)
    overdrawn(w)


def asked_by_message(w: World) -> None:
    w.story["ord_1"].append(w.story["ord_1"][11])


def reservation_forgotten(w: World) -> None:
    w.payment["pending_ours"] = 500


def bounced_in_the_open(w: World) -> None:
    """The provider took it back and told us, and nothing became of it."""
    w.movement("re_a")["status"] = "failed"
    w.journal.bounced.append("re_a")
    w.hear("evt_2", "re_a", "failed")


def backwards(w: World) -> None:
    w.moved("a", "succeeded", "pending")
    w.moved("a", "pending", "succeeded")


def from_failed(w: World) -> None:
    w.moved("b", "failed", "succeeded")
    w.moved("b", "succeeded", "failed")


def unasked(w: World) -> None:
    w.journal.asks = [ask for ask in w.journal.asks if ask.key != "k-a"]


def refused_as_well(w: World) -> None:
    said = {"actor": "connection:shop-1", "reason": "nothing_left", "asked": "RefundRequested"}
    w.story["ord_1"].append(("refund.refused", said, ()))


def refused_but_paid(w: World) -> None:
    """As many were asked for as were made; the wrong one was."""
    w.journal.asks[0].should_succeed = False
    w.journal.asks[0].status, w.journal.asks[0].answer = 409, {"code": "exceeds_remaining"}


def twice_for_one_unanswered(w: World) -> None:
    unasked(w)
    w.journal.asks[0].status, w.journal.asks[0].answer = 503, None


def repeated_key(w: World) -> None:
    w.journal.asks.append(Ask("a2", AT, "1", {}, key="k-a", status=201, answer={"id": "rf_b"}))


def lost_refund(w: World) -> None:
    w.journal.asks.append(Ask("x", AT, "1", {}, status=201, answer={"id": "rf_x"}))


def lost_message(w: World) -> None:
    w.journal.asks.append(Ask("x", AT, "1", {}, door="message", message="msg_9", status=200))


def too_few(w: World) -> None:
    w.journal.asks[2].should_succeed = True


def too_much_of_a_line(w: World) -> None:
    w.refund("d")["breakdown"]["lines"] = [share("L1", 2, 333, 67)]


def too_much_tax(w: World) -> None:
    w.refund("d")["breakdown"]["lines"] = [share("L1", 0, -201, 601)]


def parts_missing(w: World) -> None:
    w.refund("d")["breakdown"]["lines"] = [share("L2", 0, 332, 67)]


def all_but_not_exactly(w: World) -> None:
    """Everything went back, and a cent of it is nobody's."""
    w.payment.update(captured=4000, captured_peak=4000)
    w.provider[0].update(captured=4000)
    lines = [{"id": "L1", "quantity": 2, "total": 3000, "taxes": [{"name": "VAT", "amount": 500}]}]
    shipping = [{"id": "S", "total": 1000, "taxes": [{"name": "VAT", "amount": 167}]}]
    w.journal.reports["1"] = {"lines": lines, "shipping": shipping}
    w.orders["ord_1"] |= {"lines": lines, "shipping": shipping}
    w.orders["ord_1"]["refunds"] = w.orders["ord_1"]["refunds"][:2]
    w.refund("b")["breakdown"] = {"shipping": [share("S", 0, 832, 167)], "unallocated": 1}


def intent_missing(w: World) -> None:
    w.story["ord_1"] = [s for s in w.story["ord_1"] if s[1].get("key") != "leg_a-1"]


def sent_in_review(w: World) -> None:
    w.leg("d")["state"] = "sending"


def still_unknown(w: World) -> None:
    w.leg("c").update(state="unknown", psp_refund_id="")
    w.movements.remove(w.movement("re_c"))


def short_of_money(w: World) -> None:
    w.leg("c").update(state="awaiting_funds", psp_refund_id="")
    w.movements.remove(w.movement("re_c"))


def unpaid_without_a_no(w: World) -> None:
    """The provider never said no and never made it; it was given up all the same."""
    short_of_money(w)
    w.leg("c")["state"] = "failed"
    w.refund("c")["claimed"] = 0
    w.payment["pending_ours"] = 400
    w.rows["effects"].pop(0)
    _, *names, lines = w.booked["ord_1"][5]
    w.booked["ord_1"].append(("claim_lapsed", *names, [(a, -n) for a, n in lines]))
    del w.story["ord_1"][10]
    given_up = {"leg": "leg_c", "was": "sending", "now": "failed"}
    w.story["ord_1"].append(("leg.moved", given_up, (8,)))


def unpaid_for_want_of_money(w: World) -> None:
    unpaid_without_a_no(w)
    w.story["ord_1"][-1][1]["code"] = "balance_insufficient"


def unpaid_after_an_older_no(w: World) -> None:
    """It was asked again since, and what came of that nobody said."""
    unpaid_without_a_no(w)
    no = {"leg": "leg_c", "news": "doubted", "code": "charge_disputed"}
    w.story["ord_1"].insert(9, ("leg.news", no, ()))


def long_settled(w: World) -> None:
    w.movement("re_c")["status"] = "succeeded"


def waits_for_its_order(w: World) -> None:
    w.hear("evt_2", "re_x", "succeeded")
    w.rows["inbox"][-1] |= {"state": "unmatched", "refs": '["stripe-eu/pi_1"]'}


WRONG: dict[str, tuple[Change, str]] = {
    # money
    "more than captured": (
        lambda w: w.movement("re_a").update(amount=13_000),
        "I1: 13500 left pi_1 by our hand, 12000 was captured",
    ),
    "more than the provider took": (
        lambda w: w.provider[0].update(captured=3600),
        "I1: 3700 left pi_1, the provider took 3600",
    ),
    "legs beyond the capture": (
        lambda w: w.payment.update(captured_peak=3800),
        "I1: legs of 3900 stand on pi_1, 3800 was captured",
    ),
    "a gift card cashed out": (
        lambda w: w.payment.update(kind="gift_card"),
        "I1: pay_1 is a gift_card and is paid out as {'refund'}",
    ),
    "a review that reserves nothing": (
        reservation_forgotten,
        "I1: pay_1.pending_ours is 500, its parts are 900",
    ),
    "external not counted": (
        lambda w: w.payment.update(external=0),
        "I1: pay_1.external is 0, its parts are 200",
    ),
    "overdrawn and nobody told": (overdrawn, "I1: pay_1 is overdrawn by 4100, unsaid"),
    "overdrawn and told of another payment": (
        overdrawn_and_told_of_another,
        "I1: pay_1 is overdrawn by 4100, unsaid",
    ),
    "overdrawn by more than was told": (
        overdrawn_and_told_of_less,
        "I1: pay_1 is overdrawn by 4100, unsaid",
    ),
    "overdrawn again since that was told": (
        overdrawn_again,
        "I1: pay_1 is overdrawn by 4100, unsaid",
    ),
    **HOLDS,
    "sent in review": (sent_in_review, "I1: leg_d is sending in a refund in review"),
    "a void nobody did": (
        lambda w: w.provider[1].update(status="requires_capture", capturable=2000),
        "I2: 2000 of pay_2 is released, really 0",
    ),
    "paid twice": (paid_twice, "I2: re_x of 3000 on pi_1 was paid by us and belongs to no leg"),
    "paid twice and adopted": (
        paid_twice_and_adopted,
        "I2: re_e of 200 on pi_1 was adopted as others' doing, but it was ours: paid twice",
    ),
    "the dashboard's taken for ours": (
        lambda w: w.journal.dashboard.append("re_a"),
        "I2: leg_a takes for its own re_a of 3000 on pi_1, which people made",
    ),
    "claimed by two legs": (
        lambda w: w.leg("c").update(psp_refund_id="re_a"),
        "I2: re_a of 3000 on pi_1 is claimed by ['leg_a', 'leg_c']",
    ),
    "another amount": (
        lambda w: w.movement("re_a").update(amount=2999),
        "I2: leg_a of 3000 owns re_a of 2999 on pi_1",
    ),
    "told of a dashboard refund": (
        never_heard_of,
        "I1: re_x of 50 on pi_1, made by people and told us, is on no book",
    ),
    "told of it and never read again": (
        never_read_again,
        "I1: re_x of 50 on pi_1, made by people and told us, is on no book",
    ),
    "a re-read forgotten": (
        never_read_again,
        "I3: pay_1 is to be read again and nothing is due for it",
    ),
    "failed but released": (
        released_but_failed,
        "I4: leg_v rests failed while 2000 is released",
    ),
    "succeeded, never made": (
        lambda w: w.movements.remove(w.movement("re_a")),
        "I2: leg_a succeeded, the provider made no 're_a'",
    ),
    "failed but paid": (
        failed_but_paid,
        "I4: leg_a rests failed while re_a of 3000 on pi_1 is succeeded",
    ),
    "no intent": (intent_missing, "I3: re_a of 3000 on pi_1 left without an intent of leg_a"),
    "effect lost": (
        lambda w: w.rows["effects"].pop(0),
        "I3: leg_c is pending and nothing is due for it",
    ),
    "an effect lost beside one that only looks in on another": (
        lambda w: w.leg("a").update(state="sending"),
        "I3: leg_a is sending and nothing is due for it",
    ),
    "a look-up lost beside another's": (
        lambda w: w.leg("a").update(state="unknown"),
        "I3: leg_a is unknown and nothing is due for it",
    ),
    "adopted and not looked in on": (
        adopted_and_forgotten,
        "I3: leg_e is pending and nothing is due for it",
    ),
    "adopted, and pending here alone": (
        lambda w: w.leg("e").update(state="pending"),
        "liveness: leg_e is pending, there it is succeeded",
    ),
    "legs that are not the refund": (
        lambda w: w.refund("d").update(amount=401),
        "I2: rf_d of 401 has legs of 400",
    ),
    "a retry beside its original": (both_live, "I12: rf_b of 1000 paid 2000"),
    "a fallback beside its original": (
        fallback_and_original,
        "I12: rf_a of 3000 and its fallback: 3500",
    ),
    "told that it came back": (
        bounced_in_the_open,
        "I9: told failed of re_a of 3000 on pi_1, leg_a is succeeded",
    ),
    "came back, nobody saw": (
        lambda w: w.movement("re_a").update(status="failed"),
        "I12: leg_a succeeded, the provider says failed",
    ),
    **NEWS,
    # ledger
    "unbalanced": (unbalanced, "I5: entry 1 (claim) with 3 lines sums to [-1, -1]"),
    "late failure not booked": (
        late_failure_unbooked,
        "I12: leg_b is failed, the books say 1000 left for it",
    ),
    "booked twice": (
        double_entry,
        "I5: leg_a of 3000 moved [3000, 3000] on the clearing account",
    ),
    "a claim dropped with its failure": (
        claim_given_up_unsaid,
        "I5: rf_b owes 1000 to 1000, the books say 0",
    ),
    "claims that are not booked": (
        lambda w: w.refund("c").update(claimed=0),
        "I5: rf_c claims 0, the books 500",
    ),
    "booked on another account": (
        on_another_account,
        "I5: rf_a booked 2600 on sales_returns, is 2500",
    ),
    "paid off from revenue": (
        payouts_leave_the_debt,
        "I5: entry 2 (payout) is on sales_returns",
    ),
    "paid and still owed": (
        payouts_leave_the_debt,
        "I5: 4500 is claimed and 3000 paid, refunds payable says 4500",
    ),
    "owed less than claimed": (
        paid_off_twice,
        "I5: 4500 is claimed and 3000 paid, refunds payable says 1495",
    ),
    "another rate than recorded": (another_rate, "I5: the rate is 8/10, recorded was [9, 10]"),
    "booked at another provider": (wrong_connection, "I5: leg_a of 3000 moved [0] on the clearing"),
    "paid and not on the books": (
        lambda w: w.movement("re_a").update(amount=3100),
        "I5: the provider paid 3300, the clearing accounts say 3200",
    ),
    # parts
    "more units than bought": (too_much_of_a_line, "I6: ('line', 'L1', 'units'): 3 was given"),
    "more tax than charged": (
        too_much_tax,
        "I6: ('line', 'L1', 'tax VAT'): 1101 was given back of 1000",
    ),
    "negative parts": (too_much_tax, "I6: rf_d gives back -201 of ('line', 'L1', 'net')"),
    "parts that do not sum": (parts_missing, "I6: rf_d of 400 has parts of 399"),
    "a residue left over": (
        all_but_not_exactly,
        "I6: ('shipping', 'S', 'net'): 832 of 833, though all went back",
    ),
    "another order than reported": (
        lambda w: w.orders["ord_1"]["lines"][0].update(total=6001),
        "I6: version 1 is not what the shop reported",
    ),
    # trail
    "back from succeeded": (
        backwards,
        "I9: leg_a went from succeeded to pending; it is still paid",
    ),
    "back from failed": (from_failed, "I9: leg_b went from failed back to succeeded"),
    "the trail says otherwise": (
        lambda w: w.moved("c", "pending", "requires_action"),
        "I10: leg_c is pending, the trail says requires_action",
    ),
    "no reference": (
        lambda w: w.story["ord_1"][3][1].pop("psp_refund_id"),
        "I10: event 4 (leg.moved) does not say psp_refund_id",
    ),
    "no instant of the answer": (
        lambda w: w.story["ord_1"][3][1].pop("psp_at"),
        "I10: event 4 (leg.moved) does not say psp_at",
    ),
    "no reason": (
        lambda w: w.story["ord_1"][1][1].pop("reason"),
        "I10: event 2 (refund.requested) does not say reason",
    ),
    "nobody did it": (
        lambda w: w.story["ord_1"][1][1].update(actor=""),
        "I10: event 2 (refund.requested) lacks its actor, fact or instant",
    ),
    "an entry no event seals": (
        lambda w: w.story["ord_1"].__setitem__(2 - 1, (*w.story["ord_1"][1][:2], ())),
        "I10: 1 entries in no event, 0 sealed but not there",
    ),
    "one message, two refunds": (
        asked_by_message,
        "I9: 2 refunds by message and 0 refused, 1 were asked for",
    ),
    "one message, a refund and a refusal": (
        refused_as_well,
        "I9: 1 refunds by message and 1 refused, 1 were asked for",
    ),
    "a refund nobody asked for": (
        unasked,
        "I9: ['rf_a'] were made and no caller was told, 0 have no answer",
    ),
    "refused and paid": (
        refused_but_paid,
        "I9: ['rf_a'] were made and no caller was told, 0 have no answer",
    ),
    "made twice for one without an answer": (
        twice_for_one_unanswered,
        "I9: ['rf_a', 'rf_b'] were made and no caller was told, 1 have no answer",
    ),
    # promises
    "one key, two answers": (repeated_key, "I9: key k-a was answered rf_a and rf_b"),
    "an accepted refund lost": (lost_refund, "I13: x was answered 201 with 'rf_x': no such row"),
    "an accepted message forgotten": (
        lost_message,
        "I13: 2 messages asked for refunds, 1 were decided",
    ),
    "a message lost": (
        lambda w: w.journal.messages.append("msg_9"),
        "I13: msg_9 of shop-1 was taken and is not there",
    ),
    "an event lost": (
        lambda w: w.journal.events.append("evt_9"),
        "I13: evt_9 of stripe-eu was taken and is not there",
    ),
    "an order lost": (
        lambda w: w.journal.orders_acked.append("3"),
        "I13: the order was acknowledged and is not there",
    ),
    "an accepted refund of no order": (
        lambda w: w.journal.asks.append(Ask("x", AT, "3", {}, status=201, answer={"id": "rf_x"})),
        "I13: the order was acknowledged and is not there",
    ),
    "a payment that leads nowhere": (
        lambda w: w.rows["payment_refs"].pop(0),
        "I13: pi_1 leads to None, not here",
    ),
    "the inbox twice": (
        lambda w: w.rows["inbox"].append(dict(w.rows["inbox"][0])),
        "I9: ('shop-1', 'msg_1') is 2 times in the inbox",
    ),
    "a name on the trail": (
        lambda w: w.story["ord_1"][1][1].update(note=f"for {ADA}"),
        "I15: 'Ada Lovelace' stands in events",
    ),
    "a name in the document": (
        lambda w: w.orders["ord_1"].update(customer=ADA),
        "I15: 'Ada Lovelace' stands in orders.state",
    ),
    "a name in an answer": (
        lambda w: w.rows["idempotency"][0].update(body=f'{{"name":"{ADA}"}}'.encode()),
        "I15: 'Ada Lovelace' stands in idempotency",
    ),
    # liveness
    "overdue": (
        lambda w: w.rows["effects"][0].update(ready_at=AT - 3_600_000_000),
        "liveness: effect fx_leg_c is due for 3600 s",
    ),
    "parked": (
        lambda w: w.orders["ord_1"].update(parked="InvariantBroken"),
        "liveness: the order is parked: InvariantBroken",
    ),
    "still unknown": (still_unknown, "liveness: leg_c is still unknown"),
    "still without money": (short_of_money, "liveness: leg_c is still awaiting_funds"),
    "pending here alone": (long_settled, "liveness: leg_c is pending, there it is succeeded"),
    "waiting for an order that is there": (
        waits_for_its_order,
        "liveness: message evt_2 is still unmatched",
    ),
    "given up without a no": (
        unpaid_without_a_no,
        "liveness: leg_c rests failed and nobody said no",
    ),
    "given up for want of money": (
        unpaid_for_want_of_money,
        "liveness: leg_c rests failed and nobody said no",
    ),
    "given up after a no to what was before": (
        unpaid_after_an_older_no,
        "liveness: leg_c rests failed and nobody said no",
    ),
    **CAUSES,
    **SELLERS,
    "too few succeeded": (too_few, "liveness: 2 of 3 refunds that could succeed did"),
}
