"""The table of a leg's life is complete, closed, and never moves backwards on stale news."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core import lifecycle
from amends.core.facts import RefundRequested
from amends.core.legs import TABLE_ACTIONS, move
from amends.core.lifecycle import IGNORED, IMPOSSIBLE, NEWS, SAME, STATES, TABLE, News, step
from amends.core.order import LegState
from amends.core.policy import built_in
from amends.core.work import Work
from amends.kernel.check import InvariantBroken
from tests.core import lifecycle_doc
from tests.core.desk import Desk, recorded_id
from tests.core.test_sending import ONE_TEA, sent

PAIRS = list(itertools.product(STATES, NEWS))
MOVED = [pair for pair in PAIRS if pair in TABLE]
HEARD: list[News] = [news for news in NEWS if news.startswith("heard_")]
# How far a leg has come; what ends is the furthest, since money that came back is the last word.
RANK: dict[LegState, int] = {
    "planned": 0,
    "sending": 1,
    "unknown": 1,
    "pending": 2,
    "requires_action": 2,
    "awaiting_funds": 2,
    "succeeded": 3,
    "failed": 4,
    "canceled": 4,
}


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_pair_is_in_exactly_one_list(pair: tuple[LegState, News]) -> None:
    assert [pair in TABLE, pair in IGNORED, pair in IMPOSSIBLE].count(True) == 1


def test_nothing_else_is_in_the_lists() -> None:
    assert {*TABLE, *IGNORED, *IMPOSSIBLE} == set(PAIRS)
    assert set(TABLE_ACTIONS) == set(lifecycle.get_args(lifecycle.Action))
    used = {action for _, actions in TABLE.values() for action in actions}
    assert used == set(TABLE_ACTIONS)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_step_does_what_the_lists_say(pair: tuple[LegState, News]) -> None:
    if pair in IMPOSSIBLE:
        with pytest.raises(InvariantBroken, match="cannot hear"):
            step(*pair)
    elif pair in IGNORED:
        assert step(*pair) == (pair[0], ())
    else:
        assert step(*pair) == TABLE[pair]


def test_what_the_news_says_already_changes_nothing() -> None:
    for state, said, heard in SAME:
        assert step(state, said) == (state, ())
        assert step(state, heard) == (state, ())


@given(state=st.sampled_from(STATES), heard=st.lists(st.sampled_from(HEARD), max_size=12))
def test_what_was_heard_never_moves_back(state: LegState, heard: list[News]) -> None:
    for news in heard:
        if (state, news) in IMPOSSIBLE:
            return
        after, actions = step(state, news)
        assert after == state or RANK[after] > RANK[state]
        assert after != state or set(actions) <= {"reread"}
        state = after


@pytest.mark.parametrize("pair", MOVED, ids="-".join)
def test_the_money_follows_the_state(pair: tuple[LegState, News]) -> None:
    """Reserve, payout and release are where the state changes what is set aside or paid."""
    was, _ = pair
    to, actions = TABLE[pair]
    held = {"planned", "sending", "unknown", "pending", "requires_action", "awaiting_funds"}
    assert ("settle" in actions) == (to == "succeeded" and was != "succeeded")
    assert ("unsettle" in actions) == (was == "succeeded" and to != "succeeded")
    assert ("release" in actions) == (was in held and to in ("failed", "canceled"))
    assert ("reserve" in actions) == (was not in held and (to in held or to == "succeeded")) or (
        was == to
    )


def at(state: LegState) -> Desk:
    """A desk whose only leg has come to `state` by facts alone."""
    if state == "planned":
        desk = Desk(policy=built_in(0))
        desk.tell(RefundRequested(ONE_TEA))
        return desk
    desk = sent()
    if state == "unknown":
        desk.due(lost=True)
    elif state != "sending":
        desk.accept(state)
    assert desk.leg().state == state
    return desk


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_pair_can_be_applied(pair: tuple[LegState, News]) -> None:
    """From every state a leg can be in, every piece of news goes where the table says, with the
    numbers in step; or raises."""
    state, news = pair
    desk = at(state)
    leg = desk.leg()
    order = desk.order
    if order.payment(leg.payment).busy:
        order = replace(order, payments=(replace(order.payments[0], busy=""),))
    recorded = replace(desk.told[-1][0], id=recorded_id(900))
    work = Work(order, recorded, desk.ctx())
    if pair in IMPOSSIBLE:
        with pytest.raises(InvariantBroken):
            move(work, leg.id, news)
        return
    move(work, leg.id, news)
    expected = step(state, news)[0]
    assert work.leg(leg.id)[1].state == expected
    payment = work.payment(leg.payment)
    live = expected not in ("succeeded", "failed", "canceled")
    assert payment.pending_ours == (leg.amount if live else 0)
    assert payment.refunded_ours == (leg.amount if expected == "succeeded" else 0)
    for entry in work.entries:
        assert sum(posting.amount for posting in entry.postings) == 0


@pytest.mark.parametrize("name", lifecycle_doc.PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    written = (lifecycle_doc.DOCS / name).read_text(encoding="utf-8")
    assert written == lifecycle_doc.PAGES[name](), "python -m tests.core.lifecycle_doc writes it"
