"""Simulated shoppers: one seed is one stream, kinds overlap, and features know nothing of later."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.core.history import OTHERS_MAX as CORE_OTHERS
from amends.core.history import History, Sight, Tally, Window
from amends.core.requests import OrderIn, RefundIn
from amends.core.risk import Features, score
from amends.core.traits import NAMES
from amends.engine.risk_rows import split
from amends.engine.risk_train import train
from amends.sim.shoppers.kinds import ABUSIVE_VALUE, KINDS
from amends.sim.shoppers.life import DAY, START, Event, fingerprint, stream
from amends.sim.shoppers.memory import OTHERS_MAX, SUMMED, WINDOWS, Memory, Usual
from amends.sim.shoppers.samples import Shopfloor, examples
from amends.sim.shoppers.table import told
from amends.store.open import connect
from amends.store.spec import Batch
from tests.engine.risk_world import made_up

SEED, CUSTOMERS, DAYS = 5, 1200, 150


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return list(stream(SEED, CUSTOMERS, DAYS))


def test_one_seed_is_one_stream() -> None:
    assert fingerprint(1, 60, 60) == fingerprint(1, 60, 60)
    assert fingerprint(1, 60, 60) != fingerprint(2, 60, 60)


def test_the_stream_is_in_the_order_of_time(events: list[Event]) -> None:
    times = [event["at"] for event in events]
    assert times == sorted(times)
    assert times[0] >= START
    assert times[-1] < START + DAYS * DAY


def test_bodies_are_those_of_the_api(events: list[Event]) -> None:
    for event in events:
        if event["kind"] == "order":
            order = msgspec.convert(event["body"], OrderIn)
            assert sum(line.total for line in order.lines) == order.tenders[0].captured
        elif event["kind"] == "refund":
            msgspec.convert(event["body"], RefundIn)


def test_a_request_comes_to_what_the_stream_says(events: list[Event]) -> None:
    """Folding the whole stream, of each request the refund that was made is of its amount."""
    floor = Shopfloor()
    wanted: dict[str, list[int]] = {}
    for event in events:
        floor.take(event)
        if event["kind"] == "refund":
            wanted.setdefault(event["body"]["order"]["order_id"], []).append(event["amount"])
    for number, amounts in wanted.items():
        order = floor._known(number, events[-1]["at"])
        assert [refund.amount for refund in order.refunds] == amounts


def test_the_share_of_abuse_is_near_the_survey() -> None:
    value = Counter[bool]()
    for event in stream(1, 2500, 240):
        if event["kind"] == "refund":
            value[event["truth"]] += event["amount"]
    assert abs(value[True] / value.total() - ABUSIVE_VALUE) < 0.04
    assert abs(sum(kind.share for kind in KINDS) - 1) < 0.01


def test_all_kinds_are_there_and_overlap(events: list[Event]) -> None:
    asked = [event for event in events if event["kind"] == "refund"]
    assert {event["shopper"] for event in asked if event["truth"]} == {
        kind.name for kind in KINDS if not kind.honest
    }
    found = _examples(events)
    points = {name: score(Features(*one.features))[0] for name, one in found.items()}
    abuse = sorted(points[event["name"]] for event in asked if event["truth"])
    honest = sorted(points[event["name"]] for event in asked if not event["truth"])
    assert abuse[len(abuse) // 2] > honest[len(honest) // 2], "it is worth looking"
    assert abuse[len(abuse) // 10] <= honest[len(honest) // 2], "some abusers look honest"
    assert honest[-1] >= abuse[len(abuse) * 3 // 4], "some honest people look bad"
    wrong = [e for e in events if e["kind"] == "found" and e["finding"] != "reviewed"]
    truths = {e["name"]: e["truth"] for e in asked}
    assert any(not truths[e["name"]] for e in wrong), "and some are called abusers"


def _examples(events: list[Event]) -> dict[str, Any]:
    floor = Shopfloor()
    for event in events:
        floor.take(event)
    return floor.examples


@given(st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_what_happens_later_changes_no_feature(percent: int) -> None:
    """The features of every request so far are the same, whatever comes after."""
    events = list(stream(9, 40, 200))
    part = events[: len(events) * percent // 100]
    whole = {name: one.features for name, one in _examples(events).items()}
    for name, one in _examples(part).items():
        assert one.features == whole[name]


def test_a_label_comes_when_it_is_known(events: list[Event]) -> None:
    found = examples(iter(events))
    assert len(found) == sum(event["kind"] == "refund" for event in events)
    labelled = [one for one in found if one.abuse is not None]
    assert all(one.known_at > one.at for one in labelled)
    assert any(one.abuse is None and one.truth for one in found), "not all abuse comes out"
    assert all(len(one.features) == len(NAMES) for one in found)


def test_the_table_says_what_each_threshold_does() -> None:
    made = train(split(made_up(truth=True)))
    head, *lines = told(made).splitlines()
    assert head.split() == "scorer threshold honest approved abuse stopped of its value".split()
    assert [line.split()[0] for line in lines] == ["scorecard"] * 3 + ["model"] * 3
    for line, one in zip(lines, made.choices, strict=True):
        assert line.split()[1:3] == [f"{one.threshold_bp:,}", f"{one.honest_approved:.1%}"]
    for three in (made.choices[:3], made.choices[3:]):
        assert [one.threshold_bp for one in three] == sorted(
            [one.threshold_bp for one in three], reverse=True
        ), "who may hold up more honest people begins lower"
        assert [o.abuse_stopped for o in three] == sorted(o.abuse_stopped for o in three)


# -- memory --------------------------------------------------------------------------------------

FACTS = st.lists(
    st.tuples(st.integers(0, 800), st.sampled_from(SUMMED), st.integers(1, 50)), max_size=40
)


@given(FACTS, st.integers(0, 800))
def test_memory_sums_whole_days(facts: list[tuple[int, str, int]], today: int) -> None:
    memory = Memory()
    for day, name, more in facts:
        memory.add("c-1", day * DAY + 7, **{name: more})
    past = memory.past("c-1", {}, today * DAY + 5)
    known = [day for day, _, _ in facts if day <= today]
    assert past["first_day"] == (min(known) if known else 0)
    for window, length in WINDOWS.items() if known else ():
        for name in SUMMED:
            wanted = [m for d, n, m in facts if n == name and today - length < d <= today]
            assert past[window][name] == sum(wanted)
    msgspec.convert(past, History)


def test_memory_has_the_fields_of_history() -> None:
    assert Window.__struct_fields__ == SUMMED
    assert OTHERS_MAX == CORE_OTHERS
    memory = Memory()
    for n in range(30):
        memory.saw(f"c-{n}", {"card": "x"})
    memory.add("c-1", DAY, order_max=5)
    memory.add("c-1", DAY, order_max=3)
    past = memory.past("c-1", {"card": "x"}, DAY)
    assert (past["card_others"], past["order_max"]) == (OTHERS_MAX, 5)
    assert memory.past("c-29", {"card": "y"}, DAY) == {"first_day": 0, "card_others": 0}


async def test_memory_knows_what_rows_know(tmp_path: Path) -> None:
    """The same facts, told to the memory and to a store, are the same history."""
    random = Random(3)
    store, memory, batch = connect(f"sqlite:///{tmp_path}/a.db"), Memory(), Batch()
    today = 20_500
    for _ in range(300):
        customer, day = f"c-{random.randrange(6)}", today - random.randrange(-40, 500)
        sums = {random.choice(SUMMED): random.randrange(1, 9) for _ in range(3)}
        largest = random.randrange(900)
        memory.add(customer, day * DAY, **sums, order_max=largest)
        batch.tallies.append(Tally("main", customer, day, **sums, order_max=largest))
        kind: Any = random.choice(("card", "address"))
        memory.saw(customer, {kind: f"{kind}-{random.randrange(3)}"})
    for (kind, value), people in memory._seen.items():
        batch.sights += [Sight(kind, value, "main", one) for one in sorted(people)]
    sights = {"card": "card-1", "address": "address-2"}
    await store.migrate()
    await store.open()
    try:
        async with store.turn() as turn:
            await turn.write(batch)
        wanted = [("main", f"c-{n}", tuple(sights.items())) for n in range(7)]
        async with store.turn() as turn:
            found = await turn.history(wanted, today)
    finally:
        await store.close()
    for n in range(7):
        past = memory.past(f"c-{n}", sights, today * DAY)
        assert msgspec.convert(past, History) == found["main", f"c-{n}"]


def test_what_is_usual_is_reckoned_once_a_day() -> None:
    usual = Usual()
    usual.sold("tea", 1000)
    for amount in range(1, 101):
        usual.asked(amount, {"tea": 2})
    before = usual.shown(5 * DAY)
    assert (before["count"], len(before["quantiles"])) == (100, 19)
    assert (before["quantiles"][0], before["quantiles"][-1]) == (6, 96)
    assert before["categories"] == {"tea": 2000}
    usual.asked(1, {})
    assert usual.shown(5 * DAY + 1) == before
    assert usual.shown(6 * DAY)["count"] == 101
