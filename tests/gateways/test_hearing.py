"""Every party that sends webhooks: signatures that hold, bodies that are read."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.facts import OrderReported
from amends.core.orders import check_order
from amends.gateways.registry import HEARING, PROVIDERS
from amends.gateways.spec import Genuine, Message, NotGenuine, Unreadable
from tests.gateways import (
    adyen_table,
    mollie_table,
    paypal_table,
    reference,
    shopify_table,
    standard_table,
    stripe_table,
    vendure_table,
    woocommerce_table,
)
from tests.gateways.table import NOW, NOW_SECONDS, Table, dumps

TABLES: dict[str, Table] = {
    "adyen": adyen_table.HEARING,
    "mollie": mollie_table.HEARING,
    "stripe": stripe_table.HEARING,
    "paypal": paypal_table.HEARING,
    "shopify": shopify_table.HEARING,
    "standard": standard_table.HEARING,
    "woocommerce": woocommerce_table.HEARING,
    "vendure": vendure_table.HEARING,
}

# Official payloads that hold a signature need their own keys: `test_adyen_webhooks` reads those.
UNSEALED = {n: table for n, table in TABLES.items() if table.payloads and table.seal is None}
VECTORS = {name: table for name, table in TABLES.items() if table.vectors}

every = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)


def _cases() -> list[Any]:
    return [
        pytest.param(table, case, id=f"{name}: {case.name}")
        for name, table in TABLES.items()
        for case in table.heard
    ]


def _unreadable() -> list[Any]:
    return [
        pytest.param(table, body, said, id=f"{name}: {case}")
        for name, table in TABLES.items()
        for case, body, said in table.unreadable
    ]


def _flips(value: str) -> Iterator[str]:
    """`value` with each bit of each character turned over."""
    for at, char in enumerate(value):
        for bit in range(7):
            yield value[:at] + chr(ord(char) ^ 1 << bit) + value[at + 1 :]


def _headers(table: Table, event: str = "") -> dict[str, str]:
    return table.headers(event)


def test_every_party_has_a_table() -> None:
    providers = {name for name, party in HEARING.items() if party.CAPABILITIES.provider}
    assert set(TABLES) == set(HEARING)
    assert providers == set(PROVIDERS)
    for name, party in HEARING.items():
        assert party.CAPABILITIES.name == name


@pytest.mark.parametrize("table", VECTORS.values(), ids=VECTORS)
def test_signature_vectors(table: Table, shared: Path) -> None:
    """Each is judged as the file says; what is genuine is read, but where the file says that it is
    nothing to read."""
    for name in table.vectors:
        document = json.loads((shared / "psp/vectors" / name).read_text())
        assert len(document["cases"]) == reference.VECTORS[name]
        for case in document["cases"]:
            found = table.judge(document, case)
            assert isinstance(found, Genuine) == (case["expect"] == "valid"), case["id"]
            raw = base64.b64decode(case["body_b64"])
            if isinstance(found, Genuine):
                headers = {name.lower(): value for name, value in case["headers"].items()}
                is_read = _is_read(table, raw, headers)
                assert is_read == (case["id"] not in NOTHING_TO_READ), case["id"]


# Genuine by their signature, with bodies their party would not send.
NOTHING_TO_READ = (
    "stripe-valid-signature-not-json",
    *("stripe-valid-official-payload", "sw-valid-official"),  # no type
    # Refunds without the link to their payment, and a return of no order.
    *("paypal-valid", "paypal-valid-nonascii", "paypal-valid-crc-short", "paypal-stale"),
    "sw-valid-nonascii",
    *("shopify-valid-empty-body", "woocommerce-valid-empty-body"),
)


def _is_read(table: Table, raw: bytes, headers: dict[str, str]) -> bool:
    try:
        return bool(table.gateway.read(raw, {**_headers(table), **headers}, table.settings).id)
    except Unreadable:
        return False


@every
@pytest.mark.parametrize("raw", [b"{}", b"", "Rückgabe".encode(), b"\xff\xfe\x00", b"x" * 10_000])
def test_a_genuine_message_is_taken_whatever_its_bytes(table: Table, raw: bytes) -> None:
    headers = table.sign(raw, table.secret, NOW_SECONDS)
    for secrets in ((table.secret,), (table.other_secret, table.secret), ("", table.secret)):
        assert table.verify(raw, headers, secrets, NOW) == Genuine()


@every
def test_time_is_bounded_on_both_sides(table: Table) -> None:
    for off, good in ((-301, False), (-300, True), (300, True), (301, False), (10**9, False)):
        headers = table.sign(b"{}", table.secret, NOW_SECONDS + off)
        found = table.verify(b"{}", headers, (table.secret,), NOW)
        assert isinstance(found, Genuine) is (good or not table.ages), off


@every
def test_another_secret_is_refused(table: Table) -> None:
    headers = _headers(table)
    for secrets in ((), ("",), (table.other_secret,), ("whsec_",), ("whpk_",), ("\udc80ü",)):
        found = table.verify(b"{}", headers, secrets, NOW)
        assert isinstance(found, NotGenuine), secrets


@every
def test_nobody_signs_with_an_empty_secret(table: Table) -> None:
    prefix = "whsec_" if table.secret.startswith("whsec_") else ""
    empty = "" if table.gateway is TABLES["stripe"].gateway else prefix
    headers = table.sign(b"{}", empty, NOW_SECONDS)
    assert isinstance(table.verify(b"{}", headers, (empty,), NOW), NotGenuine)


@every
def test_one_bit_anywhere_is_refused(table: Table) -> None:
    body = dumps(table.heard[0].body if table.seal is None else {"type": "not.sealed"})
    headers = table.sign(body, table.secret, NOW_SECONDS)
    for at in range(len(body)):
        for bit in (0, 5):
            forged = bytearray(body)
            forged[at] ^= 1 << bit
            found = table.verify(bytes(forged), headers, (table.secret,), NOW)
            assert isinstance(found, NotGenuine), (at, bit)
    for name, value in headers.items():
        for flipped in _flips(value):
            forged_headers = {**headers, name: flipped}
            found = table.verify(body, forged_headers, (table.secret,), NOW)
            assert isinstance(found, NotGenuine), (name, flipped)


@every
def test_each_header_is_needed(table: Table) -> None:
    headers = table.sign(b"{}", table.secret, NOW_SECONDS)
    for name in headers:
        for value in ({}, {name: ""}):
            left = {key: held for key, held in headers.items() if key != name} | value
            found = table.verify(b"{}", left, (table.secret,), NOW)
            assert isinstance(found, NotGenuine)


_any_text = st.text(max_size=80) | st.text("tv01a=,. whsec_+/=", max_size=80)


@every
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_verify_never_raises_and_never_believes(table: Table, data: st.DataObject) -> None:
    """A forger may send any headers, and bodies like the party's own, and knows any secret but
    ours."""
    raw = data.draw(st.binary(max_size=60))
    if data.draw(st.booleans()):
        body = data.draw(st.sampled_from(table.heard)).body
        body = body if table.seal is None else table.seal(body, table.other_secret)
        raw = dumps(_mangled(body, data.draw))
    names = list(_headers(table))
    headers = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, _any_text)))
    if data.draw(st.booleans()):
        headers = {**table.sign(raw, table.other_secret, NOW_SECONDS), **headers}
    secrets = data.draw(st.sampled_from([(table.secret,), (), ("",), ("\ud800",), ("whsec_é",)]))
    now = data.draw(st.integers(-(2**70), 2**70) | st.just(NOW))
    assert isinstance(table.verify(raw, headers, secrets, now), NotGenuine)


@pytest.mark.parametrize(("table", "case"), _cases())
def test_facts(table: Table, case: Any) -> None:
    raw, signed = table.genuine(case.body)
    headers = {**_headers(table, case.event), **signed}
    assert table.verify(raw, headers, (table.secret,), NOW) == Genuine()
    message = table.gateway.read(raw, headers, table.settings)
    assert message.facts == case.facts
    assert message.type == (case.event or table.type_of(case.body))
    assert message.id
    assert message.sent_at == NOW or (not table.timed and message.sent_at == 0)


@pytest.mark.parametrize(("table", "case"), _cases())
def test_an_order_that_is_read_is_one_that_is_taken(table: Table, case: Any) -> None:
    """What the gateway makes of a shop's order adds up, or no refund is ever made of it."""
    for item in case.facts:
        if isinstance(item.fact, OrderReported) and "refused" not in case.name:
            check_order(item.fact.order)


@pytest.mark.parametrize(("table", "case"), _cases())
def test_reading_twice_is_equal_and_new_fields_are_ignored(table: Table, case: Any) -> None:
    headers = _headers(table, case.event)
    once = table.gateway.read(dumps(case.body), headers, table.settings)
    again = table.gateway.read(dumps({**case.body, "tomorrow": [1]}), headers, table.settings)
    assert replace(again, id=once.id) == once  # some know a message by its body


@pytest.mark.parametrize(("table", "body", "said"), _unreadable())
def test_unreadable_says_why(table: Table, body: bytes, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        table.gateway.read(body, _headers(table), table.settings)
    assert said in str(caught.value)


@pytest.mark.parametrize("table", UNSEALED.values(), ids=UNSEALED)
def test_official_payloads_are_read(table: Table, shared: Path) -> None:
    for name in table.payloads:
        rows = json.loads((shared / "psp/payloads" / name).read_text())["events"]
        assert len(rows) == reference.PAYLOADS[name]
        for row in rows:
            if row["event"].startswith("("):
                continue  # what an event holds, alone; or a greeting, which is not read
            headers = _headers(table, row["event"])
            message = table.gateway.read(dumps(row["payload"]), headers, table.settings)
            assert message.type == row["event"]
            assert bool(message.facts) is row["event"].startswith(table.moves), row["event"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def _mangled(value: Any, draw: Any) -> Any:
    """`value` with some of its parts replaced by anything, or left out."""
    if draw(st.integers(0, 9)) == 0:
        return draw(_json)
    if isinstance(value, dict):
        kept = {key: held for key, held in value.items() if draw(st.integers(0, 11))}
        return {key: _mangled(held, draw) for key, held in kept.items()}
    return [_mangled(item, draw) for item in value] if isinstance(value, list) else value


@every
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_read_raises_nothing_but_unreadable(table: Table, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(table.heard))
    raw = data.draw(st.binary(max_size=40)) if data.draw(st.integers(0, 9)) == 0 else None
    raw = dumps(_mangled(case.body, data.draw)) if raw is None else raw
    try:
        message = table.gateway.read(raw, _headers(table, case.event), table.settings)
    except Unreadable as error:
        assert str(error)
    else:
        assert isinstance(message, Message)


@every
@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"a":' * 100_000, b'{"type":' + b"9" * 5000 + b"}"]
)
def test_read_survives_hostile_json(table: Table, raw: bytes) -> None:
    with pytest.raises(Unreadable):
        table.gateway.read(raw, _headers(table), table.settings)
