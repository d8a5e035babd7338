"""The world does what its kinds of trouble say, and counts only what happened."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from amends.sim.play.parties import PARTIES
from amends.sim.play.room import room
from amends.sim.play.run import play
from amends.sim.play.trouble import GROUPS, PROFILES, SILENCE
from amends.sim.play.wish import Line, Report, Wish
from tests.sim.worlds import _only

SILENCE_S = PARTIES["stripe"].silence_s


def played(**given: Any) -> Report:
    usual = {"seed": 1, "days": 6.0, "orders": 12, "profile": _only()}
    with room("", "world") as (url, folder):
        return play(Wish(store=url, folder=folder, **{**usual, **given}))


def of(report: Report, *words: str) -> Iterator[Line]:
    """Lines of the chronicle in which all these words stand."""
    return (line for line in report.chronicle if all(word in line.text for word in words))


@pytest.fixture(scope="module")
def silent() -> Report:
    """Long enough for more than a day of silence between two quiet points, and the first seed in
    which there are several that nobody ended."""
    some = {"profile": _only(SILENCE, request=12.0), "days": 12.0, "orders": 14}
    people = ("honest", "impatient", "abuser")  # who ask early and wait
    seeds = (played(seed=seed, personas=people, **some) for seed in range(1, 9))
    return next(report for report in seeds if report.faults.get("key_pruned", 0) > 1)


def test_nothing_gets_through_a_silence(silent: Report) -> None:
    assert silent.violations == []
    begun = list(of(silent, "sent ", "(silence)"))
    assert len(begun) == silent.faults["silence"] > 1
    for line in begun:
        during = range(round(line.at) + 1, round(line.at + SILENCE_S))
        for other in silent.chronicle:
            if other.number == line.number and round(other.at) in during:
                assert not (other.text.startswith("webhook") and other.text.endswith(": 200"))
                assert not (other.text.startswith("sent") and "refused" not in other.text)


def test_a_key_was_pruned_where_nobody_had_said_what_became_of_it(silent: Report) -> None:
    """So the silent POST is followed by no word at all until a request finds the provider."""
    for line in of(silent, "sent POST", "(silence)"):
        after = (o for o in silent.chronicle if o.number == line.number and o.at > line.at + 1)
        told = next(o for o in after if o.text.startswith("sent ") and "refused" not in o.text)
        assert told.at > line.at + SILENCE_S
    assert 1 < silent.faults["key_pruned"] <= silent.faults["silence"]


@pytest.fixture(scope="module")
def lossy() -> Report:
    profile = _only("lose", "delay", webhook=0.6)
    return played(profile=profile, orders=14)


def events(lines: Iterator[Line]) -> set[str]:
    """The ids of the events of these lines."""
    return {line.text.split()[2].strip(":") for line in lines}


def test_what_is_lost_never_comes(lossy: Report) -> None:
    assert lossy.violations == []
    lost = events(of(lossy, "webhook ", "lost for ever"))
    assert len(lost) == lossy.faults["lose"] > 3
    assert not lost & events(of(lossy, "webhook ", ": 200"))


def test_what_is_late_comes_signed_anew(lossy: Report) -> None:
    late = {line.text.split()[2]: line.at for line in of(lossy, "webhook ", "no answer (delay)")}
    assert len(late) > 2
    assert not list(of(lossy, "webhook ", ": 401"))
    came = events(of(lossy, "webhook ", ": 200"))
    lost = events(of(lossy, "webhook ", "lost for ever"))
    assert {name.strip(":") for name in late} <= came | lost


STORM = PROFILES["storm"]


def asked(report: Report) -> dict[str, list[str]]:
    """What was asked for of each order, in turn, quotes by what they were of."""
    found = defaultdict(list)
    for line in of(report, ": asks for "):
        found[line.number].append(re.sub("quote qt_.*", "quote", line.text))
    return found


def test_an_order_keeps_its_story_when_troubles_are_left_out() -> None:
    some = {"days": 3.0, "orders": 26, "personas": ("disputer", "canceller", "dashboard", "quoter")}
    without = frozenset((*GROUPS["story"], *GROUPS["request"], *GROUPS["webhook"]))
    bare = msgspec.structs.replace(STORM, without=without)
    whole, less = asked(played(profile=STORM, **some)), asked(played(profile=bare, **some))
    assert whole == less
    assert len(whole) > 5


def test_people_do_all_that_can_be_done() -> None:
    """Over two seeds in which nobody pays in the place of a provider: see `Wish.fallback`."""
    lines: list[Line] = []
    for seed in (3, 9):
        report = played(seed=seed, orders=60, profile=_only("webhook"))
        assert report.violations == []
        lines += report.chronicle
    both = msgspec.structs.replace(report, chronicle=lines)
    seen = Counter(" ".join(line.text.split()[:2]) for line in lines)
    for event in (
        *("order.cancelled", "lines.unavailable", "refund.canceled", "refund.retried"),
        *("refund.declined", "refund.superseded", "dispute.updated"),
    ):
        assert seen[f"wrote {event}"], event
    assert any(" and pi_" in line.text for line in of(both, " pays "))
    assert any("_2" in line.text for line in of(both, "wrote leg.moved", "now succeeded"))
    assert any("quote qt_" in line.text for line in of(both, ": asks for "))


def test_some_orders_have_what_is_drawn_besides() -> None:
    """Credit, sellers and time, and in each seed another fallback; no kind of it at zero."""
    legs: Counter[str] = Counter()
    entries: Counter[str] = Counter()
    asks: list[str] = []
    for seed in (1, 2):  # a person pays what failed; it becomes store credit, and captures count
        report = played(seed=seed, orders=80, providers=("stripe", "adyen", "paypal"))
        assert report.violations == []
        legs.update(report.legs)
        entries.update(report.entries)
        asks += [line.text for line in of(report, ": asks for ")]
    assert {"refund", "credit", "manual", "void"} <= set(legs)
    sellers = {"seller_share", "seller_taken", "seller_paid"}
    assert {"capture", "claim", "payout", "payout_failed", "fx_settled", *sellers} <= set(entries)
    for said in ("proportional", "last_in_first_out", "consent chat-", "unused ["):
        assert any(said in text for text in asks), said


def test_what_could_not_be_done_does_not_count() -> None:
    report = played(seed=3, orders=90, personas=("disputer", "dashboard", "canceller"))
    for kind, said in (
        ("dispute", "open_dispute at the provider: payment"),
        ("dashboard_refund", "dashboard_refund at the provider: payment"),
        ("capture_race", "dashboard_capture at the provider: payment"),
        ("fraud_warning", "fraud_warning at the provider: payment"),
    ):
        done = sum(1 for line in of(report, said))
        assert report.faults[kind] == done > 0, kind
