"""The simulator's checker on the real engine: silent on stories that go well, however the provider
and the people behave, and loud when a guard is taken away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from amends.core import answers, tenders
from amends.core.amounts import Fallback
from amends.core.facts import PaidOutside
from amends.core.policy import built_in
from amends.core.requests import (
    CustomerIn,
    LineIn,
    LinePick,
    OrderIn,
    OrderKey,
    ShippingIn,
    TaxIn,
    TenderIn,
)
from amends.engine import actions, review_desk
from amends.engine.actions import Caller
from amends.kernel.time import DAY, HOUR
from tests.engine import crash_tales, test_guards
from tests.engine.evidence import Scribe
from tests.engine.lab import STRIPE, Lab, all_orders, laboratory, report


@pytest.fixture
def scribe(monkeypatch: pytest.MonkeyPatch) -> Scribe:
    return Scribe(monkeypatch)


def first_refund(lab: Lab) -> str:
    return str(lab.movements()[0]["psp_refund_id"])


# -- what other people and the provider do --------------------------------------------------------


async def itemised(lab: Lab) -> None:
    """Units, shipping, amounts and the rest, with taxes that do not divide, to the last cent."""
    lab.control("payment", id="pi_9", amount=3347)
    lines = (
        LineIn("a", 3, 1000, taxes=(TaxIn("VAT", 167), TaxIn("city", 11))),
        LineIn("b", 1, 1347, taxes=(TaxIn("VAT", 225),)),
    )
    shipping = (ShippingIn("s", 1000, taxes=(TaxIn("VAT", 167),)),)
    paid = TenderIn(3347, "payment", STRIPE, "pi_9", 3347)
    order = await lab.nodes[0].report(
        OrderIn(OrderKey("shop-1", "9"), "EUR", lines, (paid,), shipping=shipping)
    )
    for picks in ((LinePick("a", 1),), (LinePick("a", 1), LinePick("b", 1))):
        await lab.nodes[0].refund(order.id, lines=picks)
        await lab.settle(HOUR)
    await lab.nodes[0].refund(order.id, shipping=333)
    await lab.nodes[0].refund(order.id, amount=7)
    await lab.nodes[0].refund(order.id)


async def dashboard_beside_ours(lab: Lab) -> None:
    order = await lab.order()
    await lab.nodes[0].refund(order.id, amount=4000)
    lab.control("dashboard_refund", payment="pi_1", amount=5000)
    await lab.settle(HOUR)
    await lab.nodes[0].refund(order.id)


async def bounced_and_given_again(lab: Lab) -> None:
    """A late failure, half of the money for something else, then all that is left."""
    order = await lab.order()
    await lab.nodes[0].refund(order.id, amount=6000)
    await lab.settle(HOUR)
    lab.control("fail_refund", refund=first_refund(lab))
    await lab.settle(HOUR)
    await lab.nodes[0].refund(order.id, amount=3000)
    await lab.settle(HOUR)
    await lab.nodes[0].refund(order.id)


async def bounced(lab: Lab) -> str:
    """A refund that was paid and came back; its id."""
    order = await lab.order()
    await lab.nodes[0].refund(order.id, amount=6000)
    await lab.settle(HOUR)
    lab.control("fail_refund", refund=first_refund(lab))
    await lab.settle(HOUR)
    (refund,) = (await lab.one(order.id)).refunds
    return refund.id


async def bounced_and_retried(lab: Lab) -> None:
    refund = await bounced(lab)
    await actions.retry(lab.nodes[0].engine, Caller("key:a", "key:a"), refund)


async def bounced_and_canceled(lab: Lab) -> None:
    refund = await bounced(lab)
    await actions.cancel(lab.nodes[0].engine, Caller("key:a", "key:a"), refund)


async def bounced_and_paid_by_hand(lab: Lab) -> None:
    refund = await bounced(lab)
    said = PaidOutside(refund, "SEPA-1")
    await actions.payout(lab.nodes[0].engine, Caller("key:a", "key:a"), said)


async def falls_back(lab: Lab, how: Fallback, consent: str = "ticket-7", amount: int = 4000) -> str:
    """Of a refund by two means that came back, its fallback's id; "" if that was not heard."""
    lab.nodes[0].engine._policy = built_in(10**9, fallback=how)
    lab.control("payment", id="pi_9", amount=3347)
    paid = TenderIn(3347, "payment", STRIPE, "pi_9", 3347)
    gift = TenderIn(2000, "gift_card", reference="GC-1")
    who = CustomerIn("c-1")
    order = await lab.nodes[0].report(
        OrderIn(OrderKey("shop-1", "9"), "EUR", (), (gift, paid), customer=who)
    )
    await lab.nodes[0].refund(order.id, amount=amount, tenders="proportional", consent=consent)
    await lab.settle(HOUR)
    lab.control("fail_refund", refund=first_refund(lab))
    await lab.settle(HOUR)
    first, *fallbacks = (await lab.one(order.id)).refunds
    assert [one.fallback_of for one in fallbacks] in ([], [first.id])
    return fallbacks[0].id if fallbacks else ""


async def bounced_to_store_credit(lab: Lab) -> None:
    await falls_back(lab, "store_credit")


async def bounced_to_a_person(lab: Lab) -> None:
    """Who has not paid yet."""
    await falls_back(lab, "store_credit", consent="")


async def bounced_to_a_person_who_pays(lab: Lab) -> None:
    refund = await falls_back(lab, "manual")
    caller = Caller("key:a", "key:a")
    if refund:
        await actions.payout(lab.nodes[0].engine, caller, PaidOutside(refund, "SEPA-1"))


async def bounced_to_a_person_who_declines(lab: Lab) -> None:
    refund = await falls_back(lab, "manual")
    if refund:
        await review_desk.decline(lab.nodes[0].engine, Caller("key:a", "key:a"), refund)


async def refused_and_credited(lab: Lab) -> None:
    """The provider refuses the refund for good: nothing was ever paid."""
    lab.nodes[0].engine._policy = built_in(10**9, fallback="store_credit")
    lab.control("refund_outcome", status="failed", count=1)
    order = await lab.order()
    await lab.nodes[0].refund(order.id, amount=4000, consent="ticket-7")
    await lab.settle(HOUR)
    assert len((await lab.one(order.id)).refunds) == 2


async def too_old_for_its_provider(lab: Lab) -> None:
    """One is paid by hand, another in store credit, a third still waits for somebody."""
    lab.control("payment", id="pi_9", amount=3347)
    paid = TenderIn(3347, "payment", STRIPE, "pi_9", 3347, method="bacs_debit")
    old = OrderIn(OrderKey("shop-1", "9"), "EUR", (), (paid,), placed_at="2020-01-01T00:00:00Z")
    order = await lab.nodes[0].report(old)
    for amount in (1000, 700, 300):
        await lab.nodes[0].refund(order.id, amount=amount)
    first, second, _ = (await lab.one(order.id)).refunds
    engine, caller = lab.nodes[0].engine, Caller("key:a", "key:a")
    await actions.payout(engine, caller, PaidOutside(first.id, "SEPA-1"))
    await actions.payout(engine, caller, PaidOutside(second.id, "GC-7", "store_credit", "ticket-7"))


async def disputed_after_a_refund(lab: Lab) -> None:
    order = await lab.order()
    await lab.nodes[0].refund(order.id, amount=4000)
    await lab.settle(HOUR)
    lab.control("open_dispute", payment="pi_1")
    await lab.settle(HOUR)
    await lab.nodes[0].refund(order.id)


async def partly_released(lab: Lab) -> None:
    order = await lab.order(capture="manual")
    await lab.nodes[0].refund(order.id, amount=2500)
    await lab.settle(HOUR)
    await lab.nodes[0].refund(order.id)


async def captured_before_the_release(lab: Lab) -> None:
    order = await lab.order(capture="manual")
    lab.control("fault", kind="unavailable", count=1, retry_after=60)
    await lab.nodes[0].refund(order.id)
    await lab.nodes[0].quiet()
    lab.control("dashboard_capture", payment="pi_1")


async def expired_before_the_release(lab: Lab) -> None:
    order = await lab.order(capture="manual")
    lab.control("fault", kind="unavailable", count=1, retry_after=60)
    await lab.nodes[0].refund(order.id, amount=2500)
    await lab.nodes[0].quiet()
    lab.control("expire", payment="pi_1")


async def without_money(lab: Lab) -> None:
    lab.control("balance", currency="eur", amount=0, refuse=True)
    order = await lab.order()
    await lab.nodes[0].refund(order.id, amount=4000)
    await lab.settle(3 * HOUR)
    lab.control("balance", currency="eur", amount=0, refuse=False)
    await lab.settle(3 * HOUR)
    lab.control("fund", currency="eur", amount=5000)


async def slow_bank(lab: Lab) -> None:
    lab.control("refund_outcome", status="pending", then="succeeded", after_s=3 * 86_400)
    order = await lab.order()
    await lab.nodes[0].refund(order.id, key="k", amount=4000)
    await lab.nodes[0].refund(order.id, key="k", amount=4000)
    lab.control("webhook_fault", kind="lose", probability=1)


async def a_message_and_a_review(lab: Lab) -> None:
    order = await lab.order()
    lab.control("fraud_warning", payment="pi_1", fraud_type="made_with_stolen_card")
    lab.control("open_dispute", payment="pi_1", reason="fraudulent", amount=500)
    await lab.settle(HOUR)
    await lab.nodes[0].refund(order.id, amount=300)


async def two_orders_more_versions(lab: Lab) -> None:
    one, two = await lab.order("1"), await lab.order("2", amount=4999)
    await lab.nodes[0].refund(one.id, amount=1)
    await lab.nodes[0].report(report("1", version=2))
    await lab.nodes[0].refund(two.id)
    await lab.nodes[0].refund(two.id)


TALES: dict[str, Callable[[Lab], Awaitable[None]]] = {
    tale.__name__: tale
    for tale in (
        *(itemised, dashboard_beside_ours, bounced_and_given_again, bounced_and_retried),
        *(bounced_and_canceled, bounced_and_paid_by_hand, too_old_for_its_provider),
        *(bounced_to_store_credit, bounced_to_a_person, bounced_to_a_person_who_pays),
        *(bounced_to_a_person_who_declines, refused_and_credited),
        *(disputed_after_a_refund, partly_released),
        *(captured_before_the_release, expired_before_the_release, without_money, slow_bank),
        *(a_message_and_a_review, two_orders_more_versions),
    )
}


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    (tmp_path / "amends.db").write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{tmp_path / 'amends.db'}"


@pytest.mark.parametrize("listens", [True, False], ids=["webhooks", "no-webhooks"])
@pytest.mark.parametrize("name", TALES)
async def test_it_is_silent(
    name: str, listens: bool, scribe: Scribe, sqlite_url: str, tmp_path: Path
) -> None:
    """At a quiet point an hour later and at the end, with every webhook or without any."""
    async with laboratory(sqlite_url, tmp_path) as lab:
        if listens:
            lab.listen()
        await TALES[name](lab)
        await lab.settle(HOUR)
        assert await scribe.check(lab) == []
        await lab.settle(5 * DAY)
        assert await scribe.check(lab, end=True) == []


# Those whose asks and reports pass the ways in that the scribe listens at.
HEARD = (
    *("plain", "asked again", "from nothing", "void", "part released", "lost answer"),
    *("hidden answer", "stored 500, not done", "stored 500, done", "late failure"),
    *("one fails, one waits", "dashboard"),
)


@pytest.mark.parametrize("name", HEARD)
async def test_it_is_silent_on_the_tales_of_crashes(
    name: str, scribe: Scribe, sqlite_url: str, tmp_path: Path
) -> None:
    tale = crash_tales.TALES[name]
    async with laboratory(sqlite_url, tmp_path, **tale.settings) as lab:
        lab.listen()
        await tale.prepare(lab)
        await tale.story(lab)
        assert await scribe.check(lab, end=True) == []


@pytest.mark.parametrize("mutated", [False, True], ids=["guarded", "mutated"])
@pytest.mark.parametrize(
    "name", ["idempotency key", "look-up past key retention", "not found counts after lookup_delay"]
)
async def test_it_finds_a_guard_taken_away(
    name: str,
    mutated: bool,
    scribe: Scribe,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story, mutate, after = test_guards.GUARDS[name]
    if mutated:
        mutate(monkeypatch)
    async with laboratory(sqlite_url, tmp_path, indeterminate_after=after) as lab:
        await story(lab)
        violations = await scribe.check(lab, end=True)
    assert {v.invariant for v in violations} == ({"I2"} if mutated else set())


async def bounced_and_tried_again(lab: Lab) -> None:
    """Somebody tries the original again, though the fallback has paid."""
    name = await falls_back(lab, "store_credit", amount=1000)
    (order,) = await all_orders(lab.nodes[0].store)
    original = order.refund(name).fallback_of  # type: ignore[union-attr]
    await actions.retry(lab.nodes[0].engine, Caller("key:a", "key:a"), original)
    await lab.settle(HOUR)


async def more_than_the_card_took(lab: Lab) -> None:
    lab.control("payment", id="pi_9", amount=3347)
    paid = TenderIn(3347, "payment", STRIPE, "pi_9", 3347)
    gift = TenderIn(2000, "gift_card", reference="GC-1")
    order = await lab.nodes[0].report(OrderIn(OrderKey("shop-1", "9"), "EUR", (), (gift, paid)))
    await lab.nodes[0].refund(order.id, amount=4000)
    await lab.settle(HOUR)


def _both_pay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answers, "covered", lambda order: frozenset())


def _cashed_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tenders, "in_turn", lambda amount, room: [(room[0][0], amount)])


@pytest.mark.parametrize("mutated", [False, True], ids=["guarded", "mutated"])
@pytest.mark.parametrize(
    ("tale", "mutate", "by"),
    [
        (bounced_and_tried_again, _both_pay, "I12"),
        (more_than_the_card_took, _cashed_out, "liveness"),  # the next guard does not send it
    ],
)
async def test_edge_09_and_19_it_finds_money_given_twice(
    tale: Callable[[Lab], Awaitable[None]],
    mutate: Callable[[pytest.MonkeyPatch], None],
    by: str,
    mutated: bool,
    scribe: Scribe,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fallback beside its original, and a gift card that is cashed out through the card."""
    if mutated:
        mutate(monkeypatch)
    async with laboratory(sqlite_url, tmp_path) as lab:
        lab.listen()
        await tale(lab)
        violations = await scribe.check(lab)
    assert (by in {v.invariant for v in violations}) == mutated, violations
    assert mutated or not violations
