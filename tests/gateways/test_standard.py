"""What is Standard Webhooks' alone: the reference library as counterparty, and Ed25519."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks import webhooks

from amends.gateways import standard
from amends.gateways.spec import Genuine, NotGenuine
from tests.gateways.standard_table import HEARING, sign
from tests.gateways.table import NOW, NOW_SECONDS

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = (
    "whpk_"
    + base64.b64encode(SIGNER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
)
RAW = '{"type":"order.cancelled","data":{"note":"Rückgabe 返品"}}'.encode()


def _signed_by_key(raw: bytes) -> dict[str, str]:
    signature = SIGNER.sign(f"msg_1.{NOW_SECONDS}.".encode() + raw)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(NOW_SECONDS),
        "webhook-signature": f"v1a,{base64.b64encode(signature).decode()}",
    }


def _verify(raw: bytes, headers: dict[str, str], *secrets: str) -> bool:
    return standard.verify(raw, headers, secrets, NOW) == Genuine()


class _Clock(datetime):
    """The library reads the machine's clock; this one stands still."""

    @classmethod
    def now(cls, tz: object = None) -> _Clock:
        return cls.fromtimestamp(NOW_SECONDS, UTC)


def _library_accepts(raw: bytes, headers: dict[str, str], secret: str) -> bool:
    try:
        standardwebhooks.Webhook(secret).verify(raw, headers, json_parse=False)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def test_the_library_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "datetime", _Clock)
    secret, other = HEARING.secret, HEARING.other_secret
    good = sign(RAW, secret, NOW_SECONDS)
    two = f"{sign(RAW, other, NOW_SECONDS)['webhook-signature']} {good['webhook-signature']}"
    cases = [
        (RAW, good, secret),
        (RAW, good, secret.removeprefix("whsec_")),
        (RAW, good, secret.rstrip("=")),
        (RAW, {**good, "webhook-signature": two}, secret),
        (RAW, {**good, "webhook-signature": two}, other),
        (RAW, good, other),
        (RAW + b" ", good, secret),
        (RAW, {**good, "webhook-id": "msg_2"}, secret),
        (RAW, {**good, "webhook-timestamp": str(NOW_SECONDS + 1)}, secret),
        (RAW, {**good, "webhook-signature": f"v2,{good['webhook-signature'][3:]}"}, secret),
        (RAW, sign(RAW, secret, NOW_SECONDS - 300), secret),
        (RAW, sign(RAW, secret, NOW_SECONDS + 300), secret),
        (RAW, sign(RAW, secret, NOW_SECONDS - 301), secret),
        (RAW, sign(RAW, secret, NOW_SECONDS + 301), secret),
    ]
    verdicts = set()
    for raw, headers, key in cases:
        ours = _verify(raw, headers, key)
        assert ours is _library_accepts(raw, headers, key), (headers, key)
        verdicts.add(ours)
    assert verdicts == {True, False}


def test_what_the_library_signs_is_genuine() -> None:
    at = datetime.fromtimestamp(NOW_SECONDS, UTC)
    signature = standardwebhooks.Webhook(HEARING.secret).sign("msg_1", at, RAW.decode())
    headers = {**sign(RAW, HEARING.secret, NOW_SECONDS), "webhook-signature": signature}
    assert _verify(RAW, headers, HEARING.secret)


def test_a_public_key_takes_its_signatures_only() -> None:
    headers = _signed_by_key(RAW)
    assert _verify(RAW, headers, PUBLIC)
    assert _verify(RAW, headers, HEARING.secret, PUBLIC)
    assert _verify(RAW, headers, PUBLIC.rstrip("="))
    assert not _verify(RAW, headers, HEARING.secret)
    assert not _verify(RAW + b" ", headers, PUBLIC)
    assert not _verify(RAW, {**headers, "webhook-id": "msg_2"}, PUBLIC)


def test_a_public_key_is_no_shared_secret() -> None:
    """Everybody knows it: a MAC under it proves nothing."""
    forged = sign(RAW, PUBLIC.removeprefix("whpk_"), NOW_SECONDS)
    assert not _verify(RAW, forged, PUBLIC)


def test_one_bit_of_an_ed25519_signature_is_refused() -> None:
    headers = _signed_by_key(RAW)
    value = headers["webhook-signature"]
    for at, char in enumerate(value):
        for bit in range(7):
            flipped = value[:at] + chr(ord(char) ^ 1 << bit) + value[at + 1 :]
            assert not _verify(RAW, {**headers, "webhook-signature": flipped}, PUBLIC), flipped


@pytest.mark.parametrize(
    "value",
    [
        "v1,@@@",
        "v1",
        "v1,",
        ",",
        " ",
        "v1a,",
        "v1a,AAAA",
        "v1,é",
        "v1a," + "A" * 86 + "==",
        "\udc80",
    ],
)
@pytest.mark.parametrize("secret", [HEARING.secret, PUBLIC, "whpk_AAAA", "whsec_not base64", "ü"])
def test_rubbish_is_refused(value: str, secret: str) -> None:
    headers = {**sign(RAW, HEARING.secret, NOW_SECONDS), "webhook-signature": value}
    assert isinstance(standard.verify(RAW, headers, (secret,), NOW), NotGenuine)


@pytest.mark.parametrize("stamp", ["", "-1", "1e9", "17_90", " 1790000000", "١٧٩", "9" * 400])
def test_only_digits_are_a_timestamp(stamp: str) -> None:
    headers = {**sign(RAW, HEARING.secret, NOW_SECONDS), "webhook-timestamp": stamp}
    assert isinstance(standard.verify(RAW, headers, (HEARING.secret,), NOW), NotGenuine)
