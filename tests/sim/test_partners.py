"""Those who are told: what they are told and answer, and that the checker finds what is wrong
between them and us."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from amends.core.outlets import Booked, Books, Notice, RefundPaid, Telling
from amends.engine.notify import kinds_told
from amends.gateways import subscriber
from amends.gateways.spec import Request, Response, Settings
from amends.kernel.outcome import Accepted, Declined, Outcome, Unknown
from amends.kernel.time import SECOND
from amends.sim.checker import Checker
from amends.sim.erp import Answer, Erp
from amends.sim.play.partners import SECRET
from tests.sim.broken_goods import returned
from tests.sim.checked import World

NOW_S = 1_790_000_000
SETTINGS = Settings(
    name="erp",
    gateway="webhook",
    values={"url": "https://erp.example/hooks"},
    webhook_secrets=(SECRET,),
)
PAID = RefundPaid(
    key="ord_1-2-3",
    at=NOW_S * SECOND,
    order="ord_1",
    note="ord_1-2",
    refund="rf_1",
    amount=500,
    currency="EUR",
    account="clearing:stripe-eu",
    booked=(
        Booked("refunds_payable", 500, "EUR", 500),
        Booked("clearing:stripe-eu", -500, "EUR", -500),
    ),
)
DAY = Books(
    key="books-main-2026-09-21", at=NOW_S * SECOND, day="2026-09-21", currency="EUR", lines=()
)


def erp(secret: str = SECRET) -> Erp:
    return Erp("erp", secret, lambda: float(NOW_S))


def written(telling: Telling) -> Request:
    return next(subscriber.talk(telling, SETTINGS, NOW_S * SECOND))


def answered(telling: Telling, answer: Answer) -> Outcome:
    talk = subscriber.talk(telling, SETTINGS, NOW_S * SECOND)
    next(talk)
    with pytest.raises(StopIteration) as end:
        talk.send(Response(answer.status, {}, answer.body))
    outcome: Outcome = end.value.value
    return outcome


def heard(party: Erp, telling: Telling) -> Answer:
    request = written(telling)
    return party.handle({k.lower(): v for k, v in request.headers}, request.body)


# -- what is said ----------------------------------------------------------------------------------


def test_it_is_told_the_telling_under_its_own_name() -> None:
    request = written(PAID)
    message = json.loads(request.body)
    assert dict(request.headers)["webhook-id"] == "ord_1-2-3"
    assert message["type"] == "erp.refund_paid"
    assert message["timestamp"] == "2026-09-21T14:13:20.000000Z"
    assert (message["data"]["note"], message["data"]["amount"]) == ("ord_1-2", 500)
    assert message["data"]["booked"][1]["account"] == "clearing:stripe-eu"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(204), Accepted()),
        (Answer(409, b"The period is closed."), Declined("answered_409", "The period is closed.")),
        (Answer(422), Declined("answered_422", "The endpoint answered 422.")),
        (Answer(500), Unknown("answered 500")),
        (Answer(400), Unknown("answered 400")),
    ],
)
def test_what_an_answer_means(answer: Answer, outcome: Outcome) -> None:
    assert answered(PAID, answer) == outcome


def test_who_asks_by_name_is_told_what_an_erp_is() -> None:
    def told(*events: str) -> set[str]:
        lists = {"events": events} if events else {}
        return set(
            kinds_told(Settings(name="x", gateway="webhook", lists=lists))  # type: ignore[arg-type]
        )

    erps = {"credit_note", "refund_paid", "goods_returned", "lines_released", "books"}
    assert told() == told("*") == told("refund.*") == {"event"}
    assert told("erp.*") == {"event"} | erps
    assert told("shop.refund_recorded", "access.*") == {
        *("event", "refund_recorded", "access_changed")
    }


def test_nobody_is_told_whom_a_notice_is_for() -> None:
    words = {"customer": "c", "refund": "rf", "what": "x", "reason": "return"}
    notice = Notice(key="n", at=0, amount=1, currency="EUR", **words)
    with pytest.raises(StopIteration) as end:
        next(subscriber.talk(notice, SETTINGS, 0))
    assert isinstance(end.value.value, Declined)


# -- who is told -----------------------------------------------------------------------------------


def test_it_takes_a_message_once() -> None:
    party = erp()
    assert [heard(party, PAID).status for _ in range(3)] == [204] * 3
    assert party.accounts == {("refunds_payable", "EUR"): 500, ("clearing:stripe-eu", "EUR"): -500}
    assert party.effects == [("ord_1-2-3", "erp.refund_paid")]


def test_it_takes_nothing_that_is_not_signed_for_it() -> None:
    party = erp("whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA==")
    assert heard(party, PAID).status == 401
    assert (party.effects, party.accounts) == ([], Counter())


def test_it_refuses_what_lies_in_a_closed_period_until_that_is_open() -> None:
    party = erp()
    party.shut.add("ord_1-2-3")
    assert heard(party, PAID).status == 409
    party.shut.clear()
    assert heard(party, PAID).status == 204


def test_it_says_what_cannot_be() -> None:
    party = erp()
    heard(party, PAID)
    heard(party, DAY)
    assert party.complaints == [
        "ord_1-2-3 pays ord_1-2, of which nothing is known yet",
        "ord_1-2-3 pays 500 more than ord_1-2 owes",
    ]


# -- what the checker finds ------------------------------------------------------------------------


def there(w: World, **truth: Any) -> None:
    known = {"name": "erp", "effects": [], "accounts": [], "stock": [], "complaints": []}
    w.partners = [known | truth]


def told(w: World) -> None:
    """The ERP was told of what came back; its accounts are ours."""
    returned(w)
    w.told("ord_1-8", "credit_note")
    w.told("ord_1-m1", "goods_returned")
    sums: Counter[tuple[str, str]] = Counter()
    worth: Counter[tuple[str, str]] = Counter()
    for row in w.snapshot().rows["postings"]:
        if not row["account"].startswith("memo_"):
            sums[row["account"], row["currency"]] += row["amount"]
            worth[row["account"], row["currency"]] += row["functional"]
    there(
        w,
        effects=[["ord_1-8", "erp.credit_note"], ["ord_1-m1", "erp.goods_returned"]],
        accounts=[[*place, n, worth[place]] for place, n in sums.items()],
        stock=[["ord_1", "L1", "S1", "restock", 1]],
    )


def _turned(w: World) -> None:
    w.partners[0]["effects"].reverse()


def _forgets(w: World) -> None:
    w.partners[0]["effects"].pop()


def _off(w: World) -> None:
    row = next(row for row in w.partners[0]["accounts"] if row[0] == "inventory")
    row[2], row[3] = row[2] + 1, row[3] + 1


Change = Callable[[World], object]
WRONG: dict[str, tuple[Change, str]] = {
    "told under a second name": (
        lambda w: w.told("ord_1-8", "credit_note"),
        "I2: erp is to be told ord_1-8 2 times",
    ),
    "told and not written": (
        lambda w: w.partners[0]["effects"].append(["ord_1-9", "erp.refund_paid"]),
        "I3: erp was told ord_1-9, which is written nowhere",
    ),
    "done and not told": (_forgets, "liveness: erp never heard of ord_1-m1"),
    "told out of turn": (_turned, "I9: erp was told ord_1-8 after what followed it"),
    "never told": (
        lambda w: w.told("ord_1-9", "refund_paid", "open"),
        "liveness: erp was never told refund_paid ord_1-9",
    ),
    "given up": (
        lambda w: w.told("ord_1-9", "refund_paid", "dropped"),
        "liveness: refund_paid ord_1-9 was given up, erp needs it",
    ),
    "refused without a word": (
        lambda w: w.told("ord_1-9", "refund_paid", "stuck"),
        "liveness: erp refused refund_paid ord_1-9 without a word",
    ),
    "books apart": (_off, "I5: the ledger has (451, 451) EUR on inventory, erp (452, 452)"),
    "ghost stock": (
        lambda w: w.partners[0]["stock"].append(["ord_1", "L2", "S2", "restock", 1]),
        "I8: 0 units of line L2 came back (restock), erp has 1",
    ),
    "stock not told": (
        lambda w: w.partners[0]["stock"].clear(),
        "I8: 1 units of line L1 came back (restock), erp has 0",
    ),
    "its own complaint": (
        lambda w: w.partners[0]["complaints"].append("so it is"),
        "liveness: erp says: so it is",
    ),
}


def found(change: Change) -> list[str]:
    world = World()
    told(world)
    change(world)
    violations = Checker().finish(world.snapshot(), world.journal)
    return [f"{v.invariant}: {v.what}" for v in violations]


def test_a_world_in_which_all_was_told_is_clean() -> None:
    assert found(lambda _: None) == []
    assert found(lambda w: w.told("evt_1", "event", "dropped")) == []
    assert found(lambda w: w.told("ord_1-9", "refund_paid", "stuck", detail="It is shut.")) == []


@pytest.mark.parametrize("name", WRONG)
def test_it_is_found(name: str) -> None:
    change, words = WRONG[name]
    assert words in found(change)
