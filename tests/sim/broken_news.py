"""Worlds in which what the provider told us of others' doing is not what we made of it."""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.checked import World


def dispute_not_taken(w: World) -> None:
    w.dispute("needs_response", 5000)
    w.orders["ord_1"]["disputes"], w.payment["disputed"] = [], 0
    w.booked["ord_1"].pop()
    type_, told, _ = w.story["ord_1"][-1]
    w.story["ord_1"][-1] = (type_, told, ())


def dispute_of_another_amount(w: World) -> None:
    w.dispute("needs_response", 5000)
    w.orders["ord_1"]["disputes"][0]["withdrawn"] = w.payment["disputed"] = 4000


def dispute_still_open(w: World) -> None:
    w.hear_of_dispute("evt_0", "needs_response", 5000)
    w.dispute("lost", 5000)
    w.orders["ord_1"]["disputes"][0]["status"] = "needs_response"


def inquiry_after_its_chargeback(w: World) -> None:
    """Its end was not heard; an old message of how it began was."""
    w.hear_of_dispute("evt_0", "needs_response", 5000)
    w.dispute("warning_needs_response", 0)
    w.disputes[0] |= {"status": "lost", "withdrawn": 5000}


def dispute_nobody_told_of(w: World) -> None:
    w.dispute("lost", 5000)
    w.rows["inbox"].pop()


def dispute_not_booked(w: World) -> None:
    w.dispute("needs_response", 5000)
    w.orders["ord_1"]["disputes"][0]["booked"] = 0


def capture_not_booked(w: World) -> None:
    w.journal.captures = True


def capture_booked_elsewhere(w: World) -> None:
    """Nobody asked for captures in the books."""
    lines = (("clearing:stripe-eu", 12_000), ("customer_receipts", -12_000))
    w.booked["ord_1"].append(("capture", "", "", "", lines))


def dispute_booked_twice(w: World) -> None:
    w.dispute("needs_response", 5000)
    w.booked["ord_1"].append(w.booked["ord_1"][-1])


def lost_dispute_not_given_up(w: World) -> None:
    w.dispute("needs_response", 5000)
    w.dispute("lost", 5000)


def dispute_made_up(w: World) -> None:
    w.dispute("lost", 5000)
    w.disputes.clear()


def dispute_of_another_payment(w: World) -> None:
    w.dispute("lost", 5000)
    w.orders["ord_1"]["disputes"][0]["payment"] = "pay_9"


def captured_more(w: World) -> None:
    """Part of it was captured when the order was placed, the rest since, and we were told."""
    w.payment.update(captured=11_000, captured_peak=11_000)
    w.hear_of("evt_2", {"object": "payment_intent", "id": "pi_1", "amount_received": 12_000})


def charged_more(w: World) -> None:
    w.payment.update(captured=11_000, captured_peak=11_000)
    w.hear_of("evt_2", {"object": "charge", "payment_intent": "pi_1", "amount_captured": 12_000})


def captured_in_parts(w: World) -> None:
    """Each of two captures was told; one of them counted."""
    w.payment.update(captured=6000, captured_peak=6000)
    w.hear_item("CAPTURE", "cap_1", 6000)
    w.hear_item("CAPTURE", "cap_2", 6000)


def failure_not_taken(w: World) -> None:
    w.uncapture(2000)
    w.payment["uncaptured"] = 0


def captured_again(w: World) -> None:
    """What failed was captured again, under another id; both were told, and nothing is missing."""
    w.uncapture(12_000)
    w.tell("paid_twice", 4100)
    w.provider[0]["captured"] = 12_000
    w.hear_item("CAPTURE", "cap_2", 12_000)
    w.payment["uncaptured"] = 0


def captured_again_and_not_taken(w: World) -> None:
    captured_again(w)
    w.payment["uncaptured"] = 12_000


def failure_nobody_told_of(w: World) -> None:
    w.uncapture(2000)
    w.rows["inbox"].pop()


def warning_not_taken(w: World) -> None:
    w.warn()
    w.orders["ord_1"]["alerts"] = []


def warning_made_up(w: World) -> None:
    w.warn()
    w.warnings.clear()


NEWS: dict[str, tuple[Callable[[World], object], str]] = {
    "a dispute that is nowhere": (
        dispute_not_taken,
        "I1: told of dp_1, needs_response with 5000: it is nowhere",
    ),
    "a dispute of another amount": (
        dispute_of_another_amount,
        "I1: dp_1 is needs_response with 4000, the provider says needs_response with 5000",
    ),
    "a dispute still open": (
        dispute_still_open,
        "I1: dp_1 is needs_response with 5000, the provider says lost with 5000",
    ),
    "an inquiry after its chargeback": (
        inquiry_after_its_chargeback,
        "I1: dp_1 is warning_needs_response with 0, the provider says lost with 5000",
    ),
    "a dispute nobody told us of": (
        dispute_nobody_told_of,
        "I1: dp_1 is lost with 5000, the provider says lost with 5000",
    ),
    "a dispute that is not booked": (
        dispute_not_booked,
        "I5: disputes booked 0, which is not what they hold",
    ),
    "a capture that is not booked": (
        capture_not_booked,
        "I5: captures hold {'clearing:stripe-eu': 12000",
    ),
    "a capture booked where none is": (
        capture_booked_elsewhere,
        "I5: captures hold {}, the books {'clearing:stripe-eu': 12000} and 12000",
    ),
    "a dispute booked twice": (
        dispute_booked_twice,
        (
            "I5: disputes hold 5000, 0 of it lost, "
            "the books say {'disputed': 10000, 'dispute_losses': 0}"
        ),
    ),
    "a lost dispute that is no loss on the books": (
        lost_dispute_not_given_up,
        (
            "I5: disputes hold 5000, 5000 of it lost, "
            "the books say {'disputed': 5000, 'dispute_losses': 0}"
        ),
    ),
    "a dispute made up": (dispute_made_up, "I1: the provider knows of no dispute dp_1"),
    "a dispute of another payment": (
        dispute_of_another_payment,
        "I1: dp_1 is of pay_1, not of pay_9",
    ),
    "a capture that changed nothing": (
        captured_more,
        "I1: 12000 of pi_1 is captured, pay_1 says 11000",
    ),
    "a charge that changed nothing": (
        charged_more,
        "I1: 12000 of pi_1 is captured, pay_1 says 11000",
    ),
    "captured by our word alone": (
        lambda w: w.provider[0].update(captured=11_000),
        "I1: 11000 of pi_1 is captured, pay_1 says 12000",
    ),
    "captures that do not add up": (
        captured_in_parts,
        "I1: 12000 of pi_1 is captured, pay_1 says 6000",
    ),
    "a failed capture that is nowhere": (
        failure_not_taken,
        "I1: 2000 of pi_1 failed after its capture, 2000 told, pay_1 says 0",
    ),
    "a failed capture that was made again": (
        captured_again_and_not_taken,
        "I1: 0 of pi_1 failed after its capture, 0 told, pay_1 says 12000",
    ),
    "a failed capture made up": (
        lambda w: w.payment.update(uncaptured=2000),
        "I1: 0 of pi_1 failed after its capture, 0 told, pay_1 says 2000",
    ),
    "a fraud warning that is nowhere": (
        warning_not_taken,
        "I1: told of the warning issfr_1: it is nowhere",
    ),
    "a fraud warning made up": (
        warning_made_up,
        "I1: the provider knows of no warning issfr_1",
    ),
}
