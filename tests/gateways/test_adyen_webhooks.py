"""Adyen's webhooks: signatures inside the body, item by item; facts by what is signed alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from Adyen.util import generate_notification_sig, is_valid_hmac_notification
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.core.facts import Addressed, RefundReported
from amends.gateways import adyen
from amends.gateways.spec import Genuine, Message, NotGenuine
from amends.kernel.outcome import Accepted
from tests.gateways.adyen_money_table import REFUND, answer, received
from tests.gateways.adyen_table import (
    ACCOUNT,
    HEARING,
    OTHER_SECRET,
    PSP,
    SECRET,
    SETTINGS,
    body,
    item,
    one,
    ours,
    seal,
    sign,
    signature,
    signed_text,
)
from tests.gateways.reference import PAYLOADS
from tests.gateways.table import NOW, dumps

# --- signatures --------------------------------------------------------------------------------


def _genuine(message: Any, *secrets: str, headers: dict[str, str] | None = None) -> bool:
    raw = message if isinstance(message, bytes) else dumps(message)
    verdict = adyen.verify(raw, headers or {}, secrets or (SECRET,), NOW)
    assert isinstance(verdict, Genuine | NotGenuine)
    return isinstance(verdict, Genuine)


SIGNED_PATHS = [
    ("pspReference",),
    ("originalReference",),
    ("merchantAccountCode",),
    ("merchantReference",),
    ("amount", "value"),
    ("amount", "currency"),
    ("eventCode",),
    ("success",),
    ("additionalData", "hmacSignature"),
]


def _set(message: Any, at: int, path: tuple[str, ...], value: Any) -> Any:
    changed = json.loads(dumps(message))
    place = changed["notificationItems"][at]["NotificationRequestItem"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def _get(message: Any, path: tuple[str, ...]) -> Any:
    place = message["notificationItems"][0]["NotificationRequestItem"]
    for key in path:
        place = place[key]
    return place


@pytest.mark.parametrize("path", SIGNED_PATHS, ids=".".join)
def test_one_bit_of_any_signed_part_is_refused(path: tuple[str, ...]) -> None:
    message = seal(ours("REFUND"), SECRET)
    assert _genuine(message)
    value = _get(message, path)
    for at in range(len(str(value))):
        for bit in range(7):
            text = str(value)
            flipped: Any = text[:at] + chr(ord(text[at]) ^ 1 << bit) + text[at + 1 :]
            assert not _genuine(_set(message, 0, path, flipped)), flipped
            if isinstance(value, int) and flipped.isdigit():
                assert not _genuine(_set(message, 0, path, int(flipped))), flipped


@pytest.mark.parametrize("path", SIGNED_PATHS, ids=".".join)
@pytest.mark.parametrize("other", [None, "", True, 1, 1.0, [], {}, "\0"])
def test_no_signed_part_may_be_another_or_missing(path: tuple[str, ...], other: Any) -> None:
    assert not _genuine(_set(seal(ours("REFUND"), SECRET), 0, path, other))


def test_one_bit_anywhere_in_the_body_is_refused_or_changes_nothing() -> None:
    """What is not signed may change under way; then the facts are the same."""
    raw = dumps(seal(ours("REFUND"), SECRET))
    facts = adyen.read(raw, {}, SETTINGS).facts
    believed = 0
    for at in range(len(raw)):
        for bit in range(8):
            forged = bytearray(raw)
            forged[at] ^= 1 << bit
            if _genuine(bytes(forged)):
                believed += 1
                assert adyen.read(bytes(forged), {}, SETTINGS).facts == facts, (at, bit)
    assert 0 < believed < len(raw) * 4


@pytest.mark.parametrize("count", [2, 3])
def test_every_item_of_a_batch_is_verified_on_its_own(count: int) -> None:
    """Adyen's own Python library looks at the first item only."""
    message = seal(body(*[item("REFUND", pspReference=f"R{n}") for n in range(count)]), SECRET)
    assert _genuine(message)
    for at in range(count):
        assert not _genuine(_set(message, at, ("amount", "value"), 3201))
        assert not _genuine(_set(message, at, ("additionalData",), {}))
    signatures = [
        e["NotificationRequestItem"]["additionalData"] for e in message["notificationItems"]
    ]
    assert not _genuine(_set(message, 1, ("additionalData",), signatures[0]))
    message["notificationItems"].append({"NotificationRequestItem": item("REFUND")})
    assert not _genuine(message)


def test_keys_are_hex_of_either_case_and_rotate() -> None:
    message = seal(ours("REFUND"), SECRET)
    for good in ((SECRET,), (SECRET.lower(),), (OTHER_SECRET, SECRET), ("", "no hex", SECRET)):
        assert _genuine(message, *good), good
    for bad in ("", OTHER_SECRET, SECRET[:-1], SECRET[:-2], "é", "\ud800"):
        assert not _genuine(message, bad), bad
    assert isinstance(adyen.verify(dumps(message), {}, (), NOW), NotGenuine)
    mixed = body(item("REFUND"), item("CAPTURE"))
    first, second = seal(mixed, SECRET), seal(mixed, OTHER_SECRET)
    both = {
        **first,
        "notificationItems": [first["notificationItems"][0], second["notificationItems"][1]],
    }
    assert _genuine(both, SECRET, OTHER_SECRET)
    assert not _genuine(both, SECRET)


def test_nobody_signs_items_with_an_empty_key() -> None:
    """Which is what a text that is no hex would come to."""
    for secret in ("", " ", "no hex", SECRET[:-1]):
        assert not _genuine(seal(ours("REFUND"), ""), secret)


def test_text_cannot_move_between_signed_values() -> None:
    """Nothing is escaped: the same signature fits any other way to part the same text. All of them
    but the account are refused, and an account that is not ours has no facts."""
    first = item("REFUND", originalReference=None, merchantReference=f"{PSP}:{ACCOUNT}:1001")
    message = seal(body(first), SECRET)
    assert _genuine(message)
    mac = _get(message, ("additionalData", "hmacSignature"))
    moved = [
        {"pspReference": first["pspReference"], "originalReference": f":{ACCOUNT}"},
        {"pspReference": f"{first['pspReference']}::{ACCOUNT}", "originalReference": PSP},
        {"originalReference": f":{ACCOUNT}:{PSP}"},
    ]
    for change in moved:
        forged = {**first, **change, "additionalData": {"hmacSignature": mac}}
        for reference in (f"{PSP}:{ACCOUNT}:1001", f"{ACCOUNT}:1001", "1001"):
            assert not _genuine(body({**forged, "merchantReference": reference}))
    account = {
        **first,
        "merchantAccountCode": f"{ACCOUNT}:{PSP}",
        "merchantReference": f"{ACCOUNT}:1001",
    }
    assert signed_text(account) == signed_text(first)
    forged = body({**account, "additionalData": {"hmacSignature": mac}})
    assert _genuine(forged)
    assert adyen.read(dumps(forged), {}, SETTINGS).facts == ()


def test_neither_kind_of_signature_stands_for_the_other() -> None:
    """A header does not sign items, and what signs an item does not sign it as a body."""
    unsealed = dumps(ours("REFUND"))
    assert not _genuine(unsealed, headers=sign(unsealed, SECRET, 0))
    text = signed_text(item("REFUND"))
    headers = {"hmacsignature": signature(text.encode(), SECRET)}
    assert not _genuine(unsealed, headers=headers)
    report = {"type": "balancePlatform.report.created", "environment": "live", "data": {}}
    raw = dumps(report)
    assert _genuine(raw, headers=sign(raw, SECRET, 0))
    assert not _genuine(raw)
    message = adyen.read(raw, {}, SETTINGS)
    assert (message.type, message.facts, message.live) == (report["type"], (), True)
    assert message.id == adyen.read(raw, {}, SETTINGS).id


_values = (
    st.none() | st.booleans() | st.integers() | st.text(":AB1", max_size=6) | st.text(max_size=6)
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_only_what_was_signed_is_believed(data: st.DataObject) -> None:
    """A forger may turn each part of a genuine webhook into anything. If it is still taken, it says
    what was signed."""
    genuine = item("REFUND")
    message = seal(body(genuine), SECRET)
    for path in data.draw(st.lists(st.sampled_from(SIGNED_PATHS), min_size=1, max_size=4)):
        message = _set(message, 0, path, data.draw(_values))
    if _genuine(message):
        forged = message["notificationItems"][0]["NotificationRequestItem"]
        assert signed_text(forged) == signed_text(genuine)
        known = adyen.read(dumps(message), {}, SETTINGS).facts
        assert known in ((), adyen.read(dumps(one("REFUND")), {}, SETTINGS).facts)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_facts_follow_from_signed_values_alone(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(HEARING.heard))
    before = adyen.read(dumps(case.body), {}, SETTINGS)
    changed = json.loads(dumps(case.body))
    for entry in changed["notificationItems"]:
        target = entry["NotificationRequestItem"]
        for key in ("eventDate", "paymentMethod", "operations", "additionalData"):
            target[key] = data.draw(
                _values | st.dictionaries(st.text(max_size=4) | st.just("arn"), _values, max_size=2)
            )
    changed["live"] = data.draw(_values)
    after = adyen.read(dumps(changed), {}, SETTINGS)
    assert (after.id, after.type) == (before.id, before.type)
    assert [_decisive(told) for told in after.facts] == [_decisive(told) for told in before.facts]


def _decisive(told: Addressed) -> Addressed:
    """Without what is only shown to people."""
    if not isinstance(told.fact, RefundReported):
        return told
    label = {"bank_reference": "", "bank_reference_type": ""}
    refund = msgspec.structs.replace(told.fact.refund, **label)
    return msgspec.structs.replace(told, fact=msgspec.structs.replace(told.fact, refund=refund))


@settings(max_examples=100, deadline=None)
@given(reason=st.text(max_size=60) | st.sampled_from(["INSUFFICIENT BALANCE", "x not found: Jo"]))
def test_a_reason_is_only_ever_one_of_our_labels(reason: str) -> None:
    """It is not signed, may name people (I15), and changes nothing else."""
    message = adyen.read(dumps(ours("REFUND", success="false", reason=reason)), {}, SETTINGS)
    [told] = message.facts
    assert isinstance(told.fact, RefundReported)
    assert told.fact.refund.status == "failed"
    assert told.fact.refund.failure_reason in (
        "not_captured",
        "insufficient_balance",
        "not_found",
        "refused",
    )


# --- webhooks ----------------------------------------------------------------------------------


def _read(message: dict[str, Any]) -> Message:
    return adyen.read(dumps(message), {}, SETTINGS)


def test_edge_07_duplicates_share_an_id_and_news_does_not() -> None:
    first = _read(ours("REFUND"))
    same = ours("REFUND", eventDate="2026-09-22T10:00:00+02:00", reason="x", paymentMethod="mc")
    assert _read(same).id == first.id
    others = [
        ours("REFUND", success="false"),
        ours("REFUND_FAILED"),
        ours("REFUND", pspReference="ANOTHER000TABLE2"),
        ours("REFUND", value=3201),
        body(item("REFUND"), item("CAPTURE")),
        body(item("REFUND"), item("REFUND", pspReference="R2")),
    ]
    ids = [_read(message).id for message in others]
    assert len({first.id, *ids}) == len(others) + 1


def test_a_batch_has_one_id_in_any_order() -> None:
    items = [item("REFUND"), item("CAPTURE"), item("CHARGEBACK")]
    assert _read(body(*items)).id == _read(body(*reversed(items))).id


def test_edge_06_the_webhook_names_the_leg_the_answer_would_have_named() -> None:
    """Whichever comes first, both say the same refund of the same leg and epoch."""
    outcome = adyen.parse(REFUND, answer(201, received()))
    assert isinstance(outcome, Accepted)
    assert outcome.refund is not None
    reference = json.loads(adyen.write(REFUND, SETTINGS).body)["reference"]
    [told] = _read(one("REFUND", merchantReference=reference)).facts
    assert isinstance(told.fact, RefundReported)
    heard = told.fact.refund
    assert msgspec.structs.replace(heard, status="pending") == outcome.refund
    assert heard.status == "succeeded"


@pytest.mark.parametrize(
    ("said", "live"), [("true", True), ("false", False), (True, None), ("yes", None), (None, None)]
)
def test_the_mode_is_a_text(said: Any, live: bool | None) -> None:
    assert _read(body(item("REFUND"), live=said)).live is live


def test_a_date_that_is_none_is_not_known() -> None:
    for date in (None, "", "yesterday", "2026-09-21T16:13:20", 7):
        assert _read(one("REFUND", eventDate=date)).sent_at == 0


PAYLOADS_WITHOUT_FACTS = {
    "AUTHORISATION_ADJUSTMENT",
    "MANUAL_REVIEW_ACCEPT",
    "MANUAL_REVIEW_REJECT",
    "ORDER_CLOSED",
    "ORDER_OPENED",
    "REPORT_AVAILABLE",
    "VOID_PENDING_REFUND",
}


def test_official_payloads_are_genuine_and_read(shared: Path) -> None:
    rows = json.loads((shared / "psp/payloads" / HEARING.payloads[0]).read_text())["events"]
    company = msgspec.structs.replace(
        SETTINGS, values={"merchant_account": "YOUR_MERCHANT_ACCOUNT"}
    )
    assert len(rows) == PAYLOADS[HEARING.payloads[0]]
    for row in rows:
        raw, payload = dumps(row["payload"]), row["payload"]["notificationItems"]
        assert _genuine(raw, row["hmac_key"]), row["event"]
        message = adyen.read(raw, {}, company)
        assert message.type == row["event"]
        assert message.sent_at > 0
        succeeded = payload[0]["NotificationRequestItem"]["success"] == "true"
        told = succeeded or row["event"] in ("REFUND", "CAPTURE", "CANCELLATION")
        assert bool(message.facts) is (told and row["event"] not in PAYLOADS_WITHOUT_FACTS), row
        assert adyen.read(raw, {}, SETTINGS).facts == (), "an account that is not ours"


def test_every_published_code_is_known_or_has_no_facts(shared: Path) -> None:
    codes = json.loads((shared / "psp" / "webhook_events.json").read_text())["adyen"]
    moving = [*codes["refund"], *codes["auth_void_capture"], *codes["dispute"], *codes["fraud"]]
    silent = PAYLOADS_WITHOUT_FACTS | {"OFFER_CLOSED"}
    names = {name.partition("(")[0] for name in moving}
    told = {name for name in names if _read(one(name)).facts}
    assert names - told == silent - {"REPORT_AVAILABLE"}


def test_the_table_s_items_have_the_fields_adyen_publishes(shared: Path) -> None:
    schemas = json.loads((shared / "psp/openapi/adyen-webhooks-v1.json").read_text())
    published = schemas["components"]["schemas"]["RefundNotificationRequestItem"]["properties"]
    assert set(item("REFUND")) <= set(published)


def test_adyen_s_own_library_agrees_on_signatures() -> None:
    for case in HEARING.heard:
        for entry in case.body["notificationItems"]:
            said = entry["NotificationRequestItem"]
            asked = {key: value for key, value in said.items() if value is not None}
            if {"amount", "merchantReference"} <= set(asked):  # it cannot do without
                message = seal(body(asked), SECRET)
                assert is_valid_hmac_notification(message, SECRET), case.name
                mac = generate_notification_sig(asked, SECRET).decode()
                assert mac == signature(signed_text(asked).encode(), SECRET)
                assert _genuine(message)
