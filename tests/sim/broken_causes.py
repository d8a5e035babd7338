"""Worlds in which what did not pay, or what was asked, has a cause only by the look of it."""

from __future__ import annotations

from collections.abc import Callable

from amends.sim.checker import Ask
from tests.sim.checked import AT, World, out

SHOP = "connection:shop-1"
CLAIM_C_BACK = [("sales_returns", -417), ("tax_payable", -83), ("refunds_payable", 500)]


def unpaid(w: World, **told: str) -> None:
    """The provider never made it; it rests failed all the same."""
    w.leg("c").update(state="failed", psp_refund_id="")
    w.movements.remove(w.movement("re_c"))
    w.refund("c")["claimed"] = 0
    w.payment["pending_ours"] = 400
    w.rows["effects"].pop(0)
    w.booked["ord_1"].append(("claim_lapsed", "rf_c", "", "", CLAIM_C_BACK))
    del w.story["ord_1"][10]
    failed = {"leg": "leg_c", "was": "sending", "now": "failed"} | told
    w.story["ord_1"].append(("leg.moved", failed, ()))
    w.seal_last()


def tell(w: World, what: str, **told: object) -> None:
    w.story["ord_1"].append(("exception.raised", {"what": what, "leg": "leg_c"} | told, ()))


def closed_attempt_surfaced(w: World, closed: bool = True) -> None:
    """An attempt of leg c that was closed as not executed was made after all."""
    if closed:
        w.story["ord_1"].insert(10, ("leg.news", {"leg": "leg_c", "news": "attempt_closed"}, ()))
    w.adopt("x", 500, 417)
    tell(w, "closed_attempt_surfaced", psp_refund_id="re_x")


def paid_by_a_closed_attempt(w: World) -> None:
    unpaid(w)
    closed_attempt_surfaced(w)


def closed_attempt_failed(w: World) -> None:
    """It surfaced, and moved nothing."""
    paid_by_a_closed_attempt(w)
    w.movement("re_x")["status"] = "failed"


def closed_attempt_of_people(w: World) -> None:
    """What surfaced was made in the dashboard."""
    unpaid(w)
    w.story["ord_1"].insert(10, ("leg.news", {"leg": "leg_c", "news": "attempt_closed"}, ()))
    tell(w, "closed_attempt_surfaced", psp_refund_id="re_e")


def never_closed(w: World) -> None:
    """Nobody had settled that the first was not executed."""
    unpaid(w)
    closed_attempt_surfaced(w, closed=False)


def taken_by_nobody(w: World) -> None:
    """Others took of the payment only later."""
    unpaid(w)
    tell(w, "taken_by_others")
    kinds = [kind for kind, _, _ in w.story["ord_1"]]
    w.story["ord_1"].append(w.story["ord_1"].pop(kinds.index("refund.adopted")))


def too_little_of_nothing(w: World) -> None:
    """No capture can have been too small: there was none."""
    unpaid(w)
    tell(w, "exceeds_captured")
    w.payment.update(captured=0, captured_peak=0)


def given_up_before(w: World) -> None:
    """What was given up is what had failed by then, and this was asked for once more since."""
    w.story["ord_1"].append(("refund.canceled", {"refund": "rf_c"}, ()))
    unpaid(w)


def claim_given_up_before(w: World) -> None:
    """The claim was dropped without a word when the money came back: an older one is of no use."""
    lines = [("shipping_refunds", -833), ("tax_payable", -167), ("refunds_payable", 1000)]
    w.booked["ord_1"].append(("claim_lapsed", "rf_b", "", "", lines))
    w.story["ord_1"].append(("leg.news", {"leg": "leg_b"}, ()))
    w.seal_last()
    w.refund("b")["claimed"] = 0
    w.story["ord_1"].insert(6, ("refund.canceled", {"refund": "rf_b"}, ()))


def paid_again(w: World) -> None:
    """The bank had sent it back, and the provider paid it after all."""
    w.leg("b")["state"] = "succeeded"
    w.payment["refunded_ours"] += 1000
    w.movement("re_b")["status"] = "succeeded"
    w.booked["ord_1"].append(out("b", 1000))
    w.moved("b", "failed", "succeeded")
    w.seal_last()


def declined_and_paid(w: World) -> None:
    """It was told as declined, which the provider never said of a refund that it made."""
    paid_again(w)
    back = next(b for _, b, numbers in w.story["ord_1"] if numbers == (5,))
    back |= {"psp_refund_id": "", "code": "charge_disputed"}


def half_paid(w: World) -> None:
    """30.00 were asked for; 20.00 were paid, and 10.00 the provider canceled."""
    w.leg("a")["amount"] = w.payment["refunded_ours"] = w.movement("re_a")["amount"] = 2000
    canceled = {"id": "leg_a2", "amount": 1000, "state": "canceled", "psp_refund_id": "re_a2"}
    w.refund("a")["legs"].append(w.leg("a") | canceled)
    there = {"psp_refund_id": "re_a2", "amount": 1000, "status": "canceled"}
    w.movements.append(w.movement("re_a") | there)
    w.booked["ord_1"][1] = out("a", 2000)
    sending = next(said for kind, said, _ in w.story["ord_1"] if kind == "leg.sending")
    w.story["ord_1"].append(("leg.sending", sending | {"leg": "leg_a2", "amount": 1000}, ()))
    moved = {"leg": "leg_a2", "was": "sending", "now": "canceled", "psp_refund_id": "re_a2"}
    w.story["ord_1"].append(("leg.moved", moved, ()))


def cancelled_by_its_shop(w: World) -> None:
    """A cancellation came in, and nothing was left to give back."""
    w.journal.messages.append("msg_c")
    row = w.rows["inbox"][1] | {"message": "msg_c", "type": "order.cancelled"}
    w.rows["inbox"].append(row)
    both = {"actor": SHOP, "fact": "fact-cancelled", "reason": "nothing_left"}
    w.story["ord_1"].append(("order.cancelled", both, ()))
    w.story["ord_1"].append(("refund.refused", both | {"asked": "RefundRequested"}, ()))


def lost_beside_a_cancellation(w: World) -> None:
    cancelled_by_its_shop(w)
    w.journal.asks.append(Ask("x", AT, "1", {}, door="message", message="msg_9", status=200))


def twice_by_one_cancellation(w: World) -> None:
    """A message that asked and was never acted on makes up for nothing."""
    lost_beside_a_cancellation(w)
    w.story["ord_1"].append(w.story["ord_1"][-1])


def paid_by_a_cancellation_instead(w: World) -> None:
    """The message's own request waits; the one that was paid is of the cancellation."""
    cancelled_by_its_shop(w)
    w.refund("a")["requested_by"] = SHOP
    w.story["ord_1"][1][1].update(actor=SHOP, fact="fact-cancelled")
    w.story["ord_1"].pop()
    w.journal.asks = [ask for ask in w.journal.asks if ask.id != "a"]
    next(ask for ask in w.journal.asks if ask.id == "d").should_succeed = True


CAUSES: dict[str, tuple[Callable[[World], object], str]] = {
    "a closed attempt that failed": (
        closed_attempt_failed,
        "liveness: leg_c rests failed and nobody said no",
    ),
    "a closed attempt that was others' doing": (
        closed_attempt_of_people,
        "liveness: leg_c rests failed and nobody said no",
    ),
    "a closed attempt and its leg, both paid": (
        closed_attempt_surfaced,
        "I2: re_x of 500 on pi_1 was adopted as others' doing, but it was ours: paid twice",
    ),
    "an attempt that nobody closed": (
        never_closed,
        "I2: re_x of 500 on pi_1 was adopted as others' doing, but it was ours: paid twice",
    ),
    "taken by others who took nothing yet": (
        taken_by_nobody,
        "liveness: leg_c rests failed and nobody said no",
    ),
    "too little captured of nothing": (
        too_little_of_nothing,
        "liveness: leg_c rests failed and nobody said no",
    ),
    "lost after something else was given up": (
        given_up_before,
        "liveness: leg_c rests failed and nobody said no",
    ),
    "a claim given up before it came back": (
        claim_given_up_before,
        "I5: rf_b owes 1000 to 1000, the books say 0",
    ),
    "alive again after a no": (declined_and_paid, "I9: leg_b went from failed back to succeeded"),
    "half of it shown as all": (
        half_paid,
        "I2: rf_a is shown succeeded, its legs are {'failed'}",
    ),
    "half of it taken for all": (half_paid, "liveness: 1 of 2 refunds that could succeed did"),
    "a message forgotten beside a cancellation": (
        lost_beside_a_cancellation,
        "I13: 2 messages asked for refunds, 1 were decided",
    ),
    "one cancellation, two outcomes": (
        twice_by_one_cancellation,
        "I9: 0 refunds by message and 2 refused, 1 were asked for",
    ),
    "a cancellation paid instead of a request": (
        paid_by_a_cancellation_instead,
        "liveness: 1 of 2 refunds that could succeed did",
    ),
}
