"""Worlds whose payments are at several providers: each request, webhook and fault at its own."""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from amends.doors.cli import app
from amends.gateways.spec import Request
from amends.sim.checker import Checker, Violation
from amends.sim.checker.view import Told, listen
from amends.sim.play.game import Game
from amends.sim.play.parties import PARTIES
from amends.sim.play.room import room
from amends.sim.play.run import play
from amends.sim.play.trouble import PROFILES, REQUEST, WEBHOOK
from amends.sim.play.wish import Report, Wish
from tests.sim.adyen_bench import ACCOUNT, PSP, AdyenBench
from tests.sim.checked import World
from tests.sim.paypal_bench import PayPalBench

MIXED = ("stripe", "adyen", "paypal")


def played(seed: int, providers: tuple[str, ...], **given: Any) -> Report:
    usual = {"days": 8.0, "orders": 20, "profile": PROFILES["default"]}
    with room("", "mixed") as (url, folder):
        return play(Wish(seed, url, folder, providers=providers, **{**usual, **given}))


@pytest.fixture(scope="module")
def mixed() -> Report:
    profile = replace(PROFILES["storm"], world=3.0)
    return played(3, MIXED, profile=profile, days=6.0, orders=24)


@pytest.mark.slow
def test_nothing_is_violated_and_all_are_paid_from(mixed: Report) -> None:
    assert mixed.violations == []
    assert min(mixed.movements_at[name] for name in MIXED) > 5
    assert sum(mixed.movements_at.values()) == mixed.movements


@pytest.mark.slow
def test_faults_are_counted_at_each(mixed: Report) -> None:
    at = mixed.faults_at
    for name in MIXED:
        assert sum(at[name].get(kind, 0) for kind in REQUEST) > 0, name
        assert sum(at[name].get(kind, 0) for kind in WEBHOOK) > 0, name
    for kind in (*REQUEST, *WEBHOOK):
        assert sum(found.get(kind, 0) for found in at.values()) == mixed.faults.get(kind, 0), kind


@pytest.mark.slow
def test_what_nobody_could_tell_us_of_does_not_strike(mixed: Report) -> None:
    assert set(mixed.faults_at["adyen"]) & PARTIES["adyen"].without == set()


@pytest.mark.slow
def test_requests_go_to_the_payments_own_provider(mixed: Report) -> None:
    sent = [line.text for line in mixed.chronicle if line.text.startswith("sent POST ")]
    assert any("/v72/payments/ad_" in text for text in sent)
    assert any("/v1/refunds" in text for text in sent)
    assert any("/v2/payments/captures/PP" in text for text in sent)
    assert not any("/v72/payments/pi_" in text for text in sent)


def test_an_order_keeps_its_story_wherever_it_is_paid() -> None:
    """All but where: what is bought and asked for is drawn apart from that."""
    quiet = PROFILES["none"]
    stories = []
    for providers in (("stripe",), MIXED):
        report = played(3, providers, days=3.0, orders=8, profile=quiet)
        assert report.violations == []
        paid = (line for line in report.chronicle if " pays " in line.text)
        stories.append([(line.at, line.number, line.text.partition(", as ")[0]) for line in paid])
    assert stories[0] == stories[1]


def test_a_game_says_its_providers() -> None:
    assert "--providers" not in Game(1).command()
    assert "--providers stripe,adyen,paypal" in Game(1, providers=MIXED).command()


@pytest.mark.parametrize(
    ("given", "said"),
    [("nobody", "there are stripe, adyen, paypal"), (",", "at least one")],
)
def test_providers_that_cannot_be_played(given: str, said: str) -> None:
    environment = {"COLUMNS": "200", "NO_COLOR": "1"}
    told = CliRunner().invoke(app, ["simulate", "--providers", given], env=environment)
    assert told.exit_code == 2 and said in told.stderr


# -- the checker ---------------------------------------------------------------------------------


def heard(bench: AdyenBench) -> Told:
    """What the checker reads in everything the look-alike sends."""
    told = Told()
    deliveries = bench.due(1)
    listen(told, [{"raw": delivery.body, "state": "done"} for delivery in deliveries])
    return told


def test_the_checker_reads_adyens_webhooks() -> None:
    bench = AdyenBench()
    bench.listen()
    bench.payment(capture="manual")
    capture = bench.modify("captures", 9_000)["pspReference"]
    bench.now += 1
    bench.world.books.run_due(bench.now)
    names = [bench.modify("refunds", amount)["pspReference"] for amount in (1_000, 2_000, 99_000)]
    bench.now += 1
    bench.world.books.run_due(bench.now)
    bench.control("fail_refund", refund=names[1])
    dispute = bench.control("open_dispute", payment=PSP, amount=500)["dispute"]
    bench.control("close_dispute", payment=PSP, status="won")
    warning = bench.control("fraud_warning", payment=PSP)["warning"]
    told = heard(bench)
    assert told.captures == {PSP: {capture: 9_000}} and told.warnings == {warning}
    assert told.refunds == {
        *((names[0], "succeeded"), (names[1], "succeeded"), (names[1], "failed")),
        (names[2], "failed"),
    }
    assert told.disputes >= {
        (dispute, "chargeback", 500),
        (dispute, "chargeback_reversed", 0),
        (dispute, "issuer_response_timeframe_expired", 0),
    }
    assert (dispute, "chargeback", 0) not in told.disputes
    (row,) = bench.world.disputes()
    assert (row["id"], row["status"], row["withdrawn"]) in told.disputes


def test_a_message_taken_for_any_provider_is_looked_for() -> None:
    world = World()
    world.journal.events.append("REFUND:X:true:1:EUR")
    found = Checker(psps=("stripe-eu", "adyen-eu")).check(world.snapshot(), world.journal)
    said = "REFUND:X:true:1:EUR of stripe-eu or adyen-eu was taken and is not there"
    assert Violation("I13", "", said) in found
    world.rows["inbox"].append(
        {**world.rows["inbox"][0], "connection": "adyen-eu", "message": "REFUND:X:true:1:EUR"}
    )
    found = Checker(psps=("stripe-eu", "adyen-eu")).check(world.snapshot(), world.journal)
    assert not [violation for violation in found if violation.invariant == "I13"]


def test_a_forged_webhook_says_something_else() -> None:
    bench = AdyenBench()
    bench.listen()
    bench.payment()
    bench.modify("refunds", 1_000)
    (delivery,) = bench.due(1)
    party = PARTIES["adyen"]
    assert party.word(delivery.body, bench.world).proves == "refund_pending"
    forged = party.forged(delivery.body)
    assert party.word(forged, bench.world).proves == "refund_fails"
    assert party.forged(forged) == delivery.body
    assert json.loads(forged)["notificationItems"]
    assert party.word(delivery.body, bench.world).payment == PSP and ACCOUNT.encode() in forged


# -- PayPal --------------------------------------------------------------------------------------


def test_paypal_is_paid_only_what_it_carries() -> None:
    party = PARTIES["paypal"]
    assert party.takes("EUR") and not party.takes("KWD")
    report = played(3, ("paypal",), days=3.0, orders=30, profile=PROFILES["none"])
    paid = [line.text for line in report.chronicle if " pays " in line.text]
    assert report.violations == [] and 10 < len(paid) < 30
    assert not any("KWD" in text for text in paid)
    assert any(text.startswith("canceller") for text in paid)


def test_the_names_of_payments_at_paypal_say_their_order() -> None:
    party = PARTIES["paypal"]
    assert [party.name(name) for name in ("17", "17_2")] == ["PP17", "PP17X2"]
    assert [party.number(name) for name in ("PP17", "PP17X2", "")] == ["17", "17", ""]
    bench = PayPalBench()
    bench.control("payment", id="PP17X2", amount=100, capture="manual")
    charge = bench.control("dashboard_capture", payment="PP17X2")["charge"]
    for name in ("OPP17X2", charge):
        asked = Request("GET", f"http://psp.sim/paypal/v2/payments/any/{name}")
        assert party.payment(asked, bench.world) == "PP17X2"
    assert (
        party.payment(Request("POST", "http://psp.sim/paypal/v1/oauth2/token"), bench.world) == ""
    )


def test_the_checker_reads_paypals_webhooks() -> None:
    bench = PayPalBench()
    bench.listen()
    bench.captured(id="PP7")
    bench.control("refund_outcome", status="pending", count=1)
    refund = bench.refund("10.00", "PP7")["id"]
    bench.control("settle_refund", refund=refund)
    bench.control("fail_refund", refund=refund)
    case = bench.control("open_dispute", payment="PP7", amount=500)["dispute"]
    closed = bench.control("close_dispute", payment="PP7", status="lost")
    party, told = PARTIES["paypal"], Told()
    deliveries = bench.due()
    listen(told, [{"raw": delivery.body, "state": "done"} for delivery in deliveries])
    words = ("pending", "succeeded", "failed")
    assert told.refunds == {(refund, word) for word in words} | {(closed["refund"], "succeeded")}
    opened, lost = "WAITING_FOR_SELLER_RESPONSE", "RESOLVED_BUYER_FAVOUR"
    assert told.disputes == {(case, opened, 0), (case, lost, 0)}
    (row,) = bench.world.disputes()
    assert (row["id"], row["status"], row["withdrawn"]) in told.disputes
    said = [party.word(delivery.body, bench.world) for delivery in deliveries]
    assert {word.payment for word in said} == {"PP7"}
    assert [word.proves for word in said if word.proves] == ["refund_pending", "refund_fails"]


def test_a_forged_webhook_of_paypals_has_another_checksum() -> None:
    bench = PayPalBench()
    bench.listen()
    bench.captured(announce=True)
    bench.control("open_dispute", payment="CAP1")
    for delivery in bench.due():
        forged = PARTIES["paypal"].forged(delivery.body)
        assert crc32(forged) != crc32(delivery.body)
        assert json.loads(forged)["id"] == delivery.event_id
