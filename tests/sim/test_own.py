"""What only some providers have strikes there alone, and its guards are needed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amends.gateways import adyen_events, adyen_items
from amends.gateways.spec import Request
from amends.sim.play import people
from amends.sim.play.parties import ITEMS, PARTIES, PAYPAL_URL
from amends.sim.play.room import room
from amends.sim.play.run import play
from amends.sim.play.trouble import OWN
from amends.sim.play.wish import Report, Wish
from tests.sim.adyen_bench import AdyenBench
from tests.sim.worlds import _only

HERE = ("adyen", "paypal")


def played(*kinds: str, **given: Any) -> Report:
    usual: dict[str, Any] = {"seed": 1, "days": 6.0, "orders": 40, "providers": HERE}
    usual |= {"profile": _only(*kinds, request=1.0)}
    with room("", "own") as (url, folder):
        return play(Wish(store=url, folder=folder, **{**usual, **given}))


@pytest.fixture(scope="module")
def own() -> Report:
    return played(*OWN)


def said(report: Report, *words: str) -> list[str]:
    """Lines of the chronicle in which all these words stand."""
    return [line.text for line in report.chronicle if all(w in line.text for w in words)]


def test_each_strikes_where_it_can(own: Report) -> None:
    assert own.violations == []
    for name in HERE:
        struck = {kind for kind in OWN if own.faults_at[name].get(kind)}
        assert struck == set(PARTIES[name].own), name


def test_what_meets_a_void_token_leaves_once_more(own: Report) -> None:
    refused = said(own, "sent POST ", "/refund: 401 (token_revoked)")
    assert len(refused) > 1
    assert len(said(own, "sent POST /v1/oauth2/token: 200")) > own.faults["token_revoked"] // 2


def test_a_webhook_without_its_certificate_comes_again(own: Report) -> None:
    assert said(own, "/v1/notifications/certs/", ": 503 (certificate_away)")
    assert said(own, "webhook PAYMENT.", ": 503")


def test_items_of_others_are_passed_over_and_bad_ones_refuse_all(own: Report) -> None:
    assert said(own, "webhook ", ": 200 (foreign_item)")
    assert said(own, "webhook ", ": 401 (bad_item)")
    assert not said(own, "webhook ", ": 401 (foreign_item)")
    assert not said(own, "webhook ", ": 200 (bad_item)")


def test_refunds_of_several_captures_are_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no capture holds one alone, and the shop told of none."""
    monkeypatch.setattr(people, "IN_PARTS", 1.0)
    lost = _only("several_captures", "lose", webhook=1.0)  # what tells of captures
    report = played(profile=lost, providers=("paypal",), orders=24)
    assert report.violations == []
    assert report.faults["several_captures"] > 10
    assert said(report, "wrote leg.news", "news split")


def test_what_was_captured_unsaid_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a reversal, or by a refund if it is told of before that leaves; what others gave back
    meanwhile is not given back twice."""
    shares = {"UNSAID": 1.0, "BY_HAND": 0.4, "BOUNCES": 0.7, "DISPUTED": 0.9}
    for name, share in shares.items():
        monkeypatch.setattr(people, name, share)
    given: dict[str, Any] = {"personas": ("canceller",), "orders": 120, "providers": ("adyen",)}
    report = played("unsaid_capture", seed=3, **given)
    assert report.violations == []
    for words in (
        ("sent POST /v72/payments/ad_", "/reversals: 201"),
        ("webhook CANCEL_OR_REFUND:true",),
        ("webhook CANCEL_OR_REFUND:false",),
        ("wrote leg.news", "news reversed"),
        ("wrote leg.news", "news captured_first"),
        ("webhook CAPTURE:true",),
        ("shop's payment.captured",),
        ("wrote exception.raised", "release_refused"),
        ("fail_refund at the provider: refund ",),
        ("open_dispute at the provider: payment ", "status chargeback"),
    ):
        assert said(report, *words), words


def test_an_item_of_another_account_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken for ours it would be money that nobody moved."""
    whole = adyen_items.items

    def ours(body: Any) -> Any:
        said = json.loads(json.dumps(body).replace("AnotherMerchant", "TestMerchant"))
        return whole(said)

    monkeypatch.setattr(adyen_events, "items", ours)
    found = {violation[1] for violation in played("foreign_item", orders=16).violations}
    assert "I2" in found


def test_an_item_nobody_signed_refuses_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adyen_items, "all", any, raising=False)
    said = [violation[3] for violation in played("bad_item", orders=16).violations]
    assert any("a webhook with bad_item was answered 200" in text for text in said)


def test_one_message_with_two_items() -> None:
    bench = AdyenBench()
    bench.listen()
    bench.payment()
    bench.modify("refunds", 1_000)
    (delivery,) = bench.due(1)
    for kind in ITEMS:
        for first in (True, False):
            raw = PARTIES["adyen"].batch(delivery.body, kind, first)
            both = [
                entry["NotificationRequestItem"] for entry in json.loads(raw)["notificationItems"]
            ]
            ours = json.loads(delivery.body)["notificationItems"][0]["NotificationRequestItem"]
            assert both.index(ours) == (1 if first else 0)
            (other,) = [item for item in both if item != ours]
            assert other["merchantAccountCode"] != ours["merchantAccountCode"] or (
                other["success"] != ours["success"]
            )


def test_what_strikes_which_request() -> None:
    party = PARTIES["paypal"]
    certificate = Request("GET", f"{PAYPAL_URL}/v1/notifications/certs/CERT-1")
    bearing = Request("GET", f"{PAYPAL_URL}/v2/x", (("Authorization", "Bearer A21"),))
    login = Request("POST", f"{PAYPAL_URL}/v1/oauth2/token", (("Authorization", "Basic eA=="),))
    asked = [party.strikes_request(request) for request in (certificate, bearing, login)]
    assert asked == ["certificate_away", "token_revoked", ""]
    assert PARTIES["stripe"].strikes_request(bearing) == ""
