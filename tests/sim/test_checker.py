"""The checker itself: silent on a clean world and on what it must let pass, and each rule finds the
one thing that was broken for it."""

from __future__ import annotations

import pytest

from amends.sim.checker import OF_ONE_ORDER, Ask, Checker, Snapshot, Violation
from amends.sim.checker.view import Told, cases, listen
from tests.sim.broken import (
    WRONG,
    Change,
    bounced_in_the_open,
    claim_given_up_unsaid,
    lost_refund,
    never_heard_of,
    overdrawn,
    refused_as_well,
    still_unknown,
    unpaid_without_a_no,
)
from tests.sim.broken_amounts import WRONG_AMOUNTS
from tests.sim.broken_books import WRONG_BOOKS, closed, late, reversed_claim
from tests.sim.broken_causes import (
    cancelled_by_its_shop,
    half_paid,
    paid_again,
    paid_by_a_closed_attempt,
    tell,
    unpaid,
)
from tests.sim.broken_fx import WRONG_FX, charged, exchanged
from tests.sim.broken_goods import RIGHT_GOODS, WRONG_GOODS, returned
from tests.sim.broken_holds import refused_unsaid
from tests.sim.broken_news import (
    captured_again,
    captured_again_and_not_taken,
    captured_more,
    dispute_not_taken,
    failure_nobody_told_of,
    warning_not_taken,
)
from tests.sim.broken_sellers import market
from tests.sim.broken_small import RIGHT_SMALL, WRONG_SMALL
from tests.sim.checked import ADA, AT, World, claim, out
from tests.sim.spoilt import SPOILT, Spoil, row

EVERY_WRONG = WRONG | WRONG_AMOUNTS | WRONG_FX | WRONG_GOODS | WRONG_SMALL


def found(change: Change, spoil: Spoil = lambda _: None) -> list[Violation]:
    """What is wrong after `change` of the world and `spoil` of its rows."""
    world = World()
    change(world)
    snapshot = world.snapshot()
    spoil(snapshot)
    return Checker().finish(snapshot, world.journal)


def said(violations: list[Violation]) -> list[str]:
    return [f"{v.invariant}: {v.what}" for v in violations]


def test_a_clean_world_is_clean() -> None:
    assert said(found(lambda _: None)) == []
    assert said(found(market)) == []
    assert said(found(exchanged)) == []
    assert said(found(charged)) == []
    assert said(found(lambda w: (market(w), w.in_dollars(9137, 10_000)))) == []

    right = (*RIGHT_GOODS, *RIGHT_SMALL)
    assert [said(found(change)) for change in right] == [[]] * len(right)


@pytest.mark.parametrize(("kept", "defects"), [(10, 0), (9, 1)])
def test_a_fee_given_back_before_the_refund_that_kept_it_failed(kept: int, defects: int) -> None:
    """It is made up for by the next, and no defect as far as that one kept it."""

    def given_back(w: World) -> None:
        w.refund("d")["breakdown"]["fees"] = [{"kind": "handling", "net": -10}]
        w.refund("b")["breakdown"]["fees"] = [{"kind": "handling", "net": kept}]
        w.refund("b")["claimed"] = 0

    assert len([one for one in said(found(given_back)) if "more of fees" in one]) == defects


def test_goods_in_another_currency_are_found() -> None:
    def paid_in(snapshot: Snapshot) -> None:
        row(snapshot, "entries", 7, currency="USD")
        for posting in snapshot.rows["postings"]:
            if posting["account"] in ("inventory", "cost_of_goods"):
                posting["functional"] *= 2

    sentences = said(found(returned, paid_in))
    assert "I5: entry 8 (restock) is in USD" in sentences
    assert "I5: entry 8 (restock) is converted" in sentences


def test_a_closed_month_stays_as_it_was_reported() -> None:
    # The entry's hash is sealed, so that it was late is on the trail as well.
    sentences = said(found(closed, late))
    assert sentences == ["I10: 1 entries in no event, 1 sealed but not there"]


@pytest.mark.parametrize("name", WRONG_BOOKS)
def test_wrong_books_are_found(name: str) -> None:
    change, spoil, words = WRONG_BOOKS[name]
    sentences = said(found(change, spoil))
    assert any(sentence.startswith(words) for sentence in sentences), sentences


def test_a_reversal_names_what_it_reverses() -> None:
    sentences = said(found(reversed_claim))
    assert not [sentence for sentence in sentences if "CN-" in sentence]


# -- what must be found -------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_WRONG)
def test_it_is_found(name: str) -> None:
    change, words = EVERY_WRONG[name]
    sentences = said(found(change))
    assert any(sentence.startswith(words) for sentence in sentences), sentences


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_row_is_found(name: str) -> None:
    spoil, words = SPOILT[name]
    sentences = said(found(lambda _: None, spoil))
    assert any(sentence.startswith(words) for sentence in sentences), sentences


# -- what must be let pass ----------------------------------------------------------------------


def unheard_dashboard(w: World) -> None:
    never_heard_of(w)
    w.rows["inbox"].pop()


def dashboard_to_be_read(w: World) -> None:
    never_heard_of(w)
    w.payment["reread"] = True
    w.rows["effects"].append(w.rows["effects"][0] | {"id": "fx_1_all", "leg_id": ""})


def unheard_bounce(w: World) -> None:
    bounced_in_the_open(w)
    w.rows["inbox"].pop()


def being_looked_up(w: World) -> None:
    still_unknown(w)
    w.movements.append(w.movement("re_a") | {"psp_refund_id": "re_x", "amount": 500})


def overdrawn_and_raised(w: World) -> None:
    overdrawn(w)
    w.tell("paid_twice", 4100)


def overdrawn_and_raised_twice(w: World) -> None:
    overdrawn(w)
    w.tell("paid_twice", 4000)
    w.tell("double_benefit", 100)


def given_up(w: World) -> None:
    claim_given_up_unsaid(w)
    w.story["ord_1"].append(("refund.superseded", {"refund": "rf_b"}, ()))


def pending_unheard(w: World) -> None:
    w.movement("re_c")["status"] = "succeeded"


def kept_for_a_parked_order(w: World) -> None:
    lost_refund(w)
    w.rows["inbox"].append(w.rows["inbox"][0] | {"connection": "parked", "message": "x"})


def released_by_hand(w: World) -> None:
    """The authorization expired: nobody here asked for it, and the payment shows it."""
    w.orders["ord_2"]["refunds"], w.booked["ord_2"] = [], []
    w.story["ord_2"] = w.story["ord_2"][:1]
    w.journal.asks.pop()


def never_answered(w: World) -> None:
    """The process ended before its caller heard."""
    w.journal.asks[1].status, w.journal.asks[1].answer = 0, None


def refused_by_message(w: World) -> None:
    refused_as_well(w)
    w.journal.messages.append("msg_3")
    w.rows["inbox"].append(w.rows["inbox"][1] | {"message": "msg_3"})
    w.journal.asks.append(Ask("d2", AT, "1", {}, door="message", message="msg_3", status=200))


def declined_there(w: World) -> None:
    unpaid_without_a_no(w)
    w.story["ord_1"][-1][1]["code"] = "charge_disputed"


def taken_back(w: World) -> None:
    unpaid_without_a_no(w)
    w.story["ord_1"].append(("refund.canceled", {"refund": "rf_c"}, ()))


def left_alone_as_others_took_it(w: World) -> None:
    """Somebody refunded by hand before this one had left."""
    unpaid(w, failure="taken_by_others", news="said_failed")
    tell(w, "taken_by_others", amount=500)


def came_back_after_the_rest_was_given_up(w: World) -> None:
    """Of two parts one was declined and given up; the other was paid and came back days later."""
    rest = {"id": "leg_b2", "psp_refund_id": "", "amount": 700, "replaced": True}
    w.refund("b")["legs"].append(w.leg("b") | rest)
    no = {"leg": "leg_b2", "was": "sending", "now": "failed", "code": "charge_disputed"}
    given_up = ("refund.canceled", {"refund": "rf_b", "amount": 700}, ())
    back = next(i for i, step in enumerate(w.story["ord_1"]) if step[2] == (5,))
    w.story["ord_1"][back:back] = [("leg.moved", no, ()), given_up]


def paid_by_the_first_after_all(w: World) -> None:
    """What had taken its place had not left yet, and does not."""
    paid_again(w)
    heir = {"id": "leg_b2", "psp_refund_id": "", "state": "failed", "replaced": True}
    w.refund("b")["legs"].append(w.leg("b") | heir)
    stopped = {"leg": "leg_b2", "was": "awaiting_funds", "now": "failed"}
    w.story["ord_1"].append(("leg.moved", stopped, ()))


def review_of_what_is_owed(w: World) -> None:
    """A person is to decide whether it takes the place of what came back."""
    w.refund("d")["breakdown"] = w.refund("b")["breakdown"]
    w.refund("d")["amount"] = w.leg("d")["amount"] = 1000
    w.payment["pending_ours"] = 1500


def paid_and_short_of_money(w: World) -> None:
    """A provider that lacks funds says "pending" again."""
    w.moved("c", "pending", "succeeded")
    w.moved("c", "succeeded", "awaiting_funds")
    w.moved("c", "awaiting_funds", "pending")


def next_in_line(w: World) -> None:
    """It leaves once what became of the one before it is known."""
    still_unknown(w)
    w.refund("d").update(stage="active", claimed=400)
    w.leg("d")["state"] = "sending"
    w.booked["ord_1"].append(claim("d", 333, 67))
    w.story["ord_1"].append(("refund.approved", {"refund": "rf_d"}, ()))
    w.seal_last()


def disputed_while_free(w: World) -> None:
    w.dispute("needs_response", 5000)


def dispute_unheard(w: World) -> None:
    dispute_not_taken(w)
    w.rows["inbox"].pop()


def dispute_ended_unheard(w: World) -> None:
    """What was said earlier still stands here."""
    w.dispute("needs_response", 5000)
    w.disputes[0] |= {"status": "won", "withdrawn": 0}


def capture_unheard(w: World) -> None:
    captured_more(w)
    w.rows["inbox"].pop()


def failure_unheard(w: World) -> None:
    failure_nobody_told_of(w)
    w.payment["uncaptured"] = 0


def captured_again_unheard(w: World) -> None:
    captured_again_and_not_taken(w)
    w.rows["inbox"].pop()


def uncaptured_and_raised(w: World) -> None:
    w.uncapture(12_000)
    w.tell("paid_twice", 4100)


def left_alone_as_a_capture_failed(w: World) -> None:
    w.uncapture(4000)
    unpaid(w, failure="taken_by_others", news="said_failed")
    tell(w, "taken_by_others", amount=500)
    adopted = [step for step in w.story["ord_1"] if step[0] == "refund.adopted"]
    w.story["ord_1"].remove(adopted[0])  # the only ones who took anything by then
    w.story["ord_1"].append(adopted[0])


def captured_in_two(w: World) -> None:
    w.hear_item("CAPTURE", "cap_1", 6000)
    w.hear_item("CAPTURE", "cap_2", 6000)


def refused_and_released(w: World) -> None:
    refused_unsaid(w)
    w.hear_item("CANCELLATION", "cancel_1", 2000, success="false")


def warning_unheard(w: World) -> None:
    warning_not_taken(w)
    w.rows["inbox"].pop()


def paid_and_open_again(w: World) -> None:
    w.moved("c", "pending", "succeeded")
    w.moved("c", "succeeded", "requires_action")
    w.moved("c", "requires_action", "pending")


def a_report_not_taken(w: World) -> None:
    w.journal.reports["1"] = w.journal.reports["1"] | {"version": 2, "lines": []}


ALLOWED: dict[str, Change] = {
    "a dashboard refund nobody told us of": unheard_dashboard,
    "a dashboard refund whose payment will be read": dashboard_to_be_read,
    "a late failure nobody told us of": unheard_bounce,
    "a movement whose leg is being looked up": being_looked_up,
    "a leg that waits for another of its payment": next_in_line,
    "overdrawn by others, and said": overdrawn_and_raised,
    "overdrawn by others and by us, and said": overdrawn_and_raised_twice,
    "a claim given up by a new refund": given_up,
    "settled there, its news still to come": pending_unheard,
    "a refund kept for a parked order": kept_for_a_parked_order,
    "an authorization that expired": released_by_hand,
    "a dispute over what is left": disputed_while_free,
    "declined by the provider": declined_there,
    "taken back by people": taken_back,
    "left alone since others took the money": left_alone_as_others_took_it,
    "paid by an attempt that had been closed": paid_by_a_closed_attempt,
    "paid by the leg whose place it took": paid_by_the_first_after_all,
    "paid after all, by the provider's word": paid_again,
    "a claim that stands after another part was given up": came_back_after_the_rest_was_given_up,
    "a review that wants the parts of what is owed": review_of_what_is_owed,
    "an order cancelled when nothing was left": cancelled_by_its_shop,
    "a refund whose caller was never answered": never_answered,
    "a message that was refused": refused_by_message,
    "a dispute nobody told us of": dispute_unheard,
    "the end of a dispute nobody told us of": dispute_ended_unheard,
    "an inquiry that was closed": lambda w: w.dispute("warning_closed", 0),
    "a capture nobody told us of": capture_unheard,
    "captured in two": captured_in_two,
    "a capture that failed": lambda w: w.uncapture(2000),
    "a capture that failed, nobody told us of": failure_unheard,
    "a capture made again": captured_again,
    "a capture made again, nobody told us of": captured_again_unheard,
    "overdrawn by a capture that failed, and said": uncaptured_and_raised,
    "left alone since a capture failed": left_alone_as_a_capture_failed,
    "a release that was refused, and done after all": refused_and_released,
    "a fraud warning": lambda w: w.warn(),
    "a fraud warning nobody told us of": warning_unheard,
    "paid and open again by the provider's word": paid_and_open_again,
    "paid and short of money again": paid_and_short_of_money,
    "another currency than the books'": lambda w: w.in_dollars(92, 100),
    "one that is worth more": lambda w: w.in_dollars(299, 1),
    "one that is worth next to nothing": lambda w: w.in_dollars(6, 10_000),
    "a report that was refused": a_report_not_taken,
}


@pytest.mark.parametrize("name", ALLOWED)
def test_it_is_let_pass(name: str) -> None:
    world = World()
    ALLOWED[name](world)
    assert said(Checker().check(world.snapshot(), world.journal)) == []


@pytest.mark.parametrize("amounts", [(0, 0, 0), (2300, 461, -2761), (2299, 460, -2759)])
def test_a_rate_is_held_to_a_unit_a_line_and_half_of_one_a_side(amounts: tuple[int, ...]) -> None:
    """2500 and 500 make 3000, or 2760 at 0.92."""

    def booked(snapshot: Snapshot) -> None:
        for posting, functional in zip(snapshot.rows["postings"], amounts, strict=False):
            posting["functional"] = functional

    sentences = said(found(lambda w: w.in_dollars(92, 100), booked))
    assert f"I5: rf_a comes to {amounts[2]} EUR for -3000 by claim" in sentences


def test_half_a_refund_is_shown_as_failed_and_has_not_succeeded() -> None:
    sentences = said(found(half_paid, lambda s: row(s, "refunds", 0, state="failed")))
    assert sentences == [
        "liveness: 1 of 2 refunds that could succeed did; not all of ['1']",
    ]


@pytest.mark.parametrize(("last", "clean"), [(0, True), (1, False), (2, False)])
def test_what_is_paid_in_two_is_converted_as_one(last: int, clean: bool) -> None:
    """3000 are claimed, which is 2.25 and so 2; 2000 are 1.5 and so 2: nothing is left for 1000."""
    world = World()
    half_paid(world)
    world.in_dollars(75, 100_000)
    world.leg("a2")["state"] = world.movement("re_a2")["status"] = "succeeded"
    world.payment["refunded_ours"] = 3000
    world.story["ord_1"][-1][1]["now"] = "succeeded"
    world.story["ord_1"][-1][1]["psp_at"] = AT
    kind, refund, _, _, lines = out("a", 1000)
    world.booked["ord_1"].append((kind, refund, "leg_a2", "re_a2", lines))
    world.seal_last()
    snapshot = world.snapshot()
    for posting, functional in zip(snapshot.rows["postings"][-4:-2], (last, -last), strict=True):
        posting["functional"] = functional
    wrong = [s for s in said(Checker().check(snapshot, world.journal)) if s.startswith("I5")]
    assert (wrong == []) is clean, wrong


def test_only_one_movement_is_excused_by_one_look_up() -> None:
    def twice(w: World) -> None:
        being_looked_up(w)
        w.movements.append(w.movement("re_x") | {"psp_refund_id": "re_y"})

    sentences = said(found(twice))
    assert "I2: re_y of 500 on pi_1 was paid by us and belongs to no leg" in sentences


# -- from one quiet point to the next ------------------------------------------------------------


def later(change: Change, spoil: Spoil = lambda _: None) -> list[str]:
    """What is wrong at a second quiet point, where the first was clean."""
    checker, world = Checker(), World()
    assert checker.check(world.snapshot(), world.journal) == []
    world.rows = {name: [dict(row) for row in rows] for name, rows in world.rows.items()}
    change(world)
    snapshot = world.snapshot()
    spoil(snapshot)
    return said(checker.check(snapshot, world.journal))


def test_nothing_changed_is_nothing_wrong() -> None:
    assert later(lambda _: None) == []


def test_what_is_appended_continues_the_chain() -> None:
    assert later(lambda w: w.story["ord_1"].append(("order.updated", {}, ()))) == []


def test_a_rewritten_trail_is_found() -> None:
    """With every hash made anew, so that the chain itself holds."""
    sentences = later(lambda w: w.story["ord_1"][0][1].update(version=2))
    assert "I10: events ('ord_1', 1) is changed" in sentences


def test_a_row_that_is_gone_is_found() -> None:
    sentences = later(lambda _: None, lambda s: s.rows["postings"].pop(0))
    assert "I5: postings ('ord_1', 1, 1) is gone" in sentences


def test_a_leg_that_went_back_is_found() -> None:
    sentences = later(lambda w: w.leg("a").update(state="sending"))
    assert "I9: leg_a was succeeded and is sending" in sentences


def test_what_only_grows_is_held_to_it() -> None:
    sentences = later(lambda w: w.payment.update(captured=11_000))
    assert "I9: pay_1 went back from (12000, 12000) to (12000, 11000)" in sentences


def test_a_name_is_looked_for_in_new_rows() -> None:
    sentences = later(lambda w: w.story["ord_1"].append(("order.updated", {"by": ADA}, ())))
    assert sentences == ["I15: 'Ada Lovelace' stands in events"]


def test_what_was_told_is_remembered() -> None:
    """Raw bodies expire; what they said does not."""
    checker, world = Checker(), World()
    unheard_dashboard(world)
    world.hear("evt_2", "re_x", "succeeded")
    assert said(checker.check(world.snapshot(), world.journal))
    world.rows["inbox"][-1]["raw"] = None
    assert said(checker.check(world.snapshot(), world.journal))


def test_every_rule_has_been_seen_to_find_something() -> None:
    """No rule of one order is silent over all the broken worlds above."""
    loud = set()
    for change, _ in EVERY_WRONG.values():
        world = World()
        change(world)
        told = Told()
        listen(told, world.rows["inbox"])
        for case in cases(world.snapshot(), world.journal, told):
            loud |= {rule.__name__ for rule in OF_ONE_ORDER if list(rule(case))}
    # What the builder makes of its own documents cannot differ from them; SPOILT does that.
    by_rows = {"rows_are_the_document", "head_is_the_last_event", "functional_is_the_rate"}
    assert loud | by_rows == {rule.__name__ for rule in OF_ONE_ORDER}
