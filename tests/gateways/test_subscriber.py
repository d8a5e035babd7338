"""Subscribers: what leaves is what the reference library takes, signed with every secret; what an
answer means; and which settings are let in."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from standardwebhooks import webhooks

from amends.core.outlets import Happened, Notice
from amends.core.published import PUBLISHED, wants
from amends.gateways import subscriber
from amends.gateways.spec import Failure, Request, Response, Settings
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import DAY, HOUR, SECOND
from tests.gateways.table import NOW, NOW_SECONDS

FIRST = "whsec_" + base64.b64encode(bytes(range(24))).decode()
SECOND_KEY = "whsec_" + base64.b64encode(bytes(range(64))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(32)).decode()
BODY = '{"type":"refund.succeeded","data":{"note":"Rückgabe 返品"}}'
EVENT = Happened(key="evt_1", at=NOW, order="ord_1", type="refund.succeeded", body=BODY)
SETTINGS = Settings(
    name="hooks-1",
    gateway="webhook",
    values={"url": "https://example.com/hooks"},
    webhook_secrets=(FIRST, SECOND_KEY),
)


def tell(
    answer: Response | Failure, event: Any = EVENT, settings: Settings = SETTINGS
) -> tuple[list[Request], Outcome]:
    """What leaves, and what comes of it when each request is answered alike."""
    talk, sent = subscriber.talk(event, settings, NOW), list[Request]()
    try:
        request = next(talk)
        while True:
            sent.append(request)
            request = talk.send(answer)
    except StopIteration as stop:
        outcome: Outcome = stop.value
    return sent, outcome


def answered(status: int, **headers: str) -> Response:
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


class _Clock(datetime):
    """The library reads the machine's clock; this one stands still."""

    @classmethod
    def now(cls, tz: object = None) -> _Clock:
        return cls.fromtimestamp(NOW_SECONDS, UTC)


def test_the_reference_library_takes_it_by_either_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "datetime", _Clock)
    (request,), outcome = tell(answered(204))
    assert outcome == Accepted()
    assert (request.method, request.url, request.public) == (
        "POST",
        "https://example.com/hooks",
        True,
    )
    head = dict(request.headers)
    assert request.body == BODY.encode()
    assert (head["webhook-id"], head["Content-Type"]) == ("evt_1", "application/json")
    for secret in (FIRST, SECOND_KEY):
        standardwebhooks.Webhook(secret).verify(request.body, head, json_parse=False)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(OTHER).verify(request.body, head, json_parse=False)


def test_it_signs_as_the_reference_library_does() -> None:
    (request,), _ = tell(answered(200), settings=replace(SETTINGS, webhook_secrets=(FIRST,)))
    moment = datetime.fromtimestamp(NOW_SECONDS, UTC)
    theirs = standardwebhooks.Webhook(FIRST).sign("evt_1", moment, BODY)
    assert dict(request.headers)["webhook-signature"] == theirs


def test_each_try_has_the_same_id_and_a_time_of_its_own() -> None:
    (one,), _ = tell(answered(500))
    talk = subscriber.talk(EVENT, SETTINGS, NOW + 7 * SECOND)
    again = dict(next(talk).headers)
    assert again["webhook-id"] == dict(one.headers)["webhook-id"]
    assert again["webhook-timestamp"] == str(NOW_SECONDS + 7)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (answered(200), Accepted()),
        (answered(299), Accepted()),
        (answered(301, location="https://10.0.0.1/"), Unknown("answered 301")),
        (answered(400), Unknown("answered 400")),
        (answered(500, retry_after="9"), Unknown("answered 500")),
        (answered(429), Unknown("answered 429")),
        (answered(429, retry_after="30"), NotSent("answered 429", retry_after=30 * SECOND)),
        (answered(503, retry_after="30"), NotSent("answered 503", retry_after=30 * SECOND)),
        (answered(503, retry_after="999999"), NotSent("answered 503", retry_after=DAY)),
        (answered(503, retry_after="soon"), Unknown("answered 503")),
        (Failure(False, "refused"), NotSent("refused")),
        (Failure(True, "no answer in time"), Unknown("no answer in time")),
    ],
)
def test_what_an_answer_means(answer: Response | Failure, outcome: Outcome) -> None:
    assert tell(answer) == ([next(subscriber.talk(EVENT, SETTINGS, NOW))], outcome)


def test_an_endpoint_that_is_gone_says_so() -> None:
    _, outcome = tell(answered(410))
    assert isinstance(outcome, Declined)
    assert outcome.code == "gone"


@pytest.mark.parametrize(
    "event",
    [
        Notice(
            key="n-1",
            at=NOW,
            customer="c",
            refund="rf",
            what="x",
            reason="return",
            amount=1,
            currency="EUR",
        ),
        replace(EVENT, key=""),
        replace(EVENT, key="evt\r\nX-Evil: 1"),
        replace(EVENT, key="évt"),
        replace(EVENT, body='{"a":"\ud800"}'),
    ],
)
def test_what_cannot_be_told_is_declined_and_nothing_leaves(event: Any) -> None:
    sent, outcome = tell(answered(200), event)
    assert sent == []
    assert isinstance(outcome, Declined)


@given(status=st.integers(100, 999), pause=st.text(), body=st.text(), key=st.text(max_size=9))
def test_nothing_that_comes_back_raises(status: int, pause: str, body: str, key: str) -> None:
    event = Happened(key=key, at=NOW, type="refund.created", body=body)
    sent, outcome = tell(answered(status, retry_after=pause), event)
    assert len(sent) <= 1
    assert isinstance(outcome, Accepted) is (bool(sent) and 200 <= status < 300)


# --- settings -----------------------------------------------------------------------------------


def test_what_is_not_said_is_what_standard_webhooks_recommends() -> None:
    assert subscriber.trouble(SETTINGS) == ""
    seconds = [pause // SECOND for pause in subscriber.schedule(SETTINGS)]
    assert seconds == [5, 300, 1800, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24))]
    assert subscriber.disable_after(SETTINGS) == 5 * DAY


def test_a_schedule_is_one_line() -> None:
    said = replace(
        SETTINGS, values={**SETTINGS.values, "schedule": " 1s  2h ", "disable_after": "2d"}
    )
    assert subscriber.trouble(said) == ""
    assert subscriber.schedule(said) == (SECOND, 2 * HOUR)
    assert subscriber.disable_after(said) == 2 * DAY


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"url": "http://example.com/"}, "url must be https; plain http only together with"),
        ({"url": "ftp://example.com/"}, "must be https"),
        ({"url": "https://"}, "must name a host"),
        ({"url": "https://a:b@example.com/"}, "and no user and no fragment"),
        ({"url": "https://example.com/#x"}, "and no user and no fragment"),
        ({"url": "https://example.com/\r\nX: y"}, "must name a host"),
        ({"url": "https://[::1"}, "is not an address"),
        ({"url": "https://example.com:x/"}, "is not an address"),
        ({"allow_private": "1"}, "allow_private is true or false"),
        ({"schedule": "5s soon"}, "schedule: 'soon' is not a duration"),
        ({"schedule": " "}, "schedule has 1 to 50 pauses"),
        ({"schedule": "1s " * 51}, "schedule has 1 to 50 pauses"),
        ({"disable_after": "long"}, "disable_after: 'long' is not a duration"),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, str], said: str) -> None:
    assert said in subscriber.trouble(replace(SETTINGS, values={**SETTINGS.values, **values}))


def test_plain_http_and_private_addresses_only_where_allowed() -> None:
    values = {"url": "http://10.0.0.7:8080/hooks", "allow_private": "true"}
    said = replace(SETTINGS, values=values)
    assert subscriber.trouble(said) == ""
    (request,), _ = tell(answered(200), settings=said)
    assert not request.public


@pytest.mark.parametrize("secrets", [(), ("whsec_",), ("whsec_!",), (FIRST, "whsec_c2hvcnQ=")])
def test_a_secret_is_long_enough_to_be_one(secrets: tuple[str, ...]) -> None:
    assert "secret" in subscriber.trouble(replace(SETTINGS, webhook_secrets=secrets))


def test_events_are_names_that_exist() -> None:
    good = replace(SETTINGS, lists={"events": ("refund.*", "order.updated", "*")})
    assert subscriber.trouble(good) == ""
    wrong = replace(SETTINGS, lists={"events": ("refund.*", "refunds.made")})
    assert "nothing is called 'refunds.made'" in subscriber.trouble(wrong)


def test_a_pattern_is_a_name_or_its_beginning() -> None:
    assert all(wants(("*",), name) for name in PUBLISHED)
    assert wants(("order.*", "refund.*"), "refund.created")
    assert not wants(("refund.create", "order.*"), "refund.created")
    assert not wants((), "refund.created")
