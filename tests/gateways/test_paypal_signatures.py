"""Which certificate may be fetched, which is believed, and what a signature does not say."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from string import ascii_letters, digits

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.gateways import paypal
from amends.gateways.spec import Genuine, NotGenuine, Settings, Trust
from amends.kernel.time import DAY, to_datetime
from tests.gateways.paypal_certificates import (
    BETWEEN,
    LIVE,
    LIVE_SIGNER,
    OTHER_KEY,
    ROOT,
    ROOT_KEY,
    SANDBOX,
    SIGNER,
    SIGNER_KEY,
    TRUST,
    URL,
    Issued,
    issue,
    same_crc,
    sign,
    trust,
)
from tests.gateways.paypal_table import SECRET, SETTINGS, event, look, money, refund
from tests.gateways.table import NOW, dumps

RAW = '{"Rückgabe": "💶"}'.encode()
LIVE_URL = "https://api.paypal.com/v1/notifications/certs/CERT-own-2"
_LATER = to_datetime(NOW) + timedelta(days=30)
_EARLIER = to_datetime(NOW) - timedelta(days=30)


def _verify(
    headers: Mapping[str, str], at_hand: Trust | None = TRUST, raw: bytes = RAW, now: int = NOW
) -> bool:
    return paypal.verify(raw, headers, (SECRET,), now, at_hand) == Genuine()


def _connection(environment: str, base_url: str = "") -> Settings:
    values = {**SETTINGS.values, "environment": environment}
    return msgspec.structs.replace(SETTINGS, values=values, base_url=base_url)


# --- which certificate may be fetched ----------------------------------------------------------

PATH = "/v1/notifications/certs/CERT-1"


@pytest.mark.parametrize(
    ("environment", "base_url", "url", "good"),
    [
        ("live", "", f"https://api.paypal.com{PATH}", True),
        ("sandbox", "", f"https://api.sandbox.paypal.com{PATH}", True),
        ("live", "https://api-m.paypal.com", f"https://api.paypal.com{PATH}", True),
        ("live", "", f"https://api.sandbox.paypal.com{PATH}", False),
        ("sandbox", "", f"https://api.paypal.com{PATH}", False),
        ("", "", f"https://api.paypal.com{PATH}", False),
        ("sandbox", "http://127.0.0.1:9400/pp", f"http://127.0.0.1:9400/pp{PATH}", True),
        ("sandbox", "http://127.0.0.1:9400/pp", f"http://127.0.0.1:9400{PATH}", False),
        ("live", "http://127.0.0.1:9400", f"https://api.paypal.com{PATH}", False),
        ("live", "http://127.0.0.1:9400", f"http://127.0.0.1:9400{PATH}", False),
        ("live", "http://[bad", f"https://api.paypal.com{PATH}", False),
    ],
)
def test_the_host_is_the_connection_s_own(
    environment: str, base_url: str, url: str, good: bool
) -> None:
    found = paypal.certificate_url({"paypal-cert-url": url}, _connection(environment, base_url))
    assert found == (url if good else "")


@pytest.mark.parametrize(
    "url",
    [
        "",
        f"http://api.paypal.com{PATH}",
        f"https://api.paypal.com.evil.example{PATH}",
        f"https://api.paypal.com:8443{PATH}",
        f"https://api.paypal.com@evil.example{PATH}",
        f"https://evil.example/?x=https://api.paypal.com{PATH}",
        f"https://www.paypal.com{PATH}",
        f"HTTPS://API.PAYPAL.COM{PATH}",
        f"https://api.paypal.com{PATH}?u=evil",
        f"https://api.paypal.com{PATH}#x",
        f"https://api.paypal.com{PATH}/x",
        f"https://api.paypal.com{PATH}\n",
        f" https://api.paypal.com{PATH}",
        "https://api.paypal.com/v1/notifications/certs/",
        "https://api.paypal.com/v1/notifications/certs/..",
        "https://api.paypal.com/v1/notifications/certs/%2e%2e",
        "https://api.paypal.com/v1/notifications/certs/CERT‐1",
        "file:///etc/passwd",
        "\ud800",
    ],
)
def test_nothing_else_is_fetched(url: str) -> None:
    assert paypal.certificate_url({"paypal-cert-url": url}, _connection("live")) == ""


@settings(max_examples=300, deadline=None)
@given(
    url=st.text(max_size=60)
    | st.text("htps:/.@?#%pial-cmvnofticr1CERT\\", max_size=90)
    | st.text(max_size=9).map(lambda end: f"https://api.paypal.com/v1/notifications/certs/{end}")
)
def test_a_fetched_address_is_pinned_whatever_is_named(url: str) -> None:
    found = paypal.certificate_url({"paypal-cert-url": url}, _connection("live"))
    assert found in ("", url)
    if found:
        segment = found.removeprefix("https://api.paypal.com/v1/notifications/certs/")
        assert segment
        assert set(segment) <= set(f"{ascii_letters}{digits}-_")


# --- which certificate is believed -------------------------------------------------------------


def test_a_chain_to_a_trusted_root_is_believed() -> None:
    headers = sign(RAW, SECRET)
    assert _verify(headers)
    assert _verify(headers, trust(SIGNER, BETWEEN, ROOT))
    assert _verify(headers, trust(issue(SANDBOX, SIGNER_KEY, ROOT)))
    assert _verify(headers, trust(SIGNER, BETWEEN, anchors=_root("Another").pem + ROOT.pem))


def test_live_and_sandbox_sign_by_names_of_their_own() -> None:
    headers = sign(RAW, SECRET, url=LIVE_URL)
    assert _verify(headers, trust(LIVE_SIGNER, BETWEEN, url=LIVE_URL))
    assert not _verify(headers, trust(SIGNER, BETWEEN, url=LIVE_URL))
    assert not _verify(sign(RAW, SECRET), trust(LIVE_SIGNER, BETWEEN))


def test_without_the_very_certificate_it_names_nothing_is_genuine() -> None:
    headers = sign(RAW, SECRET)
    assert paypal.verify(RAW, headers, (SECRET,), NOW) != Genuine()
    for at_hand in (None, trust(SIGNER, BETWEEN, url=""), trust(SIGNER, BETWEEN, url=URL + "2")):
        assert not _verify(headers, at_hand)
    assert not _verify({**headers, "paypal-cert-url": LIVE_URL})


def _root(name: str) -> Issued:
    return issue(name, ec.generate_private_key(ec.SECP256R1()), authority=True)


def _usage(sign_others: bool) -> x509.KeyUsage:
    off = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("encipher_only", "decipher_only"),
        ),
        False,
    )
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=sign_others, crl_sign=sign_others, **off
    )


def _between(
    until: datetime = _LATER,
    authority: bool = True,
    extensions: tuple[x509.ExtensionType, ...] = (),
) -> tuple[Issued, Issued]:
    """The signer under an authority of this kind."""
    made = issue("Between", ROOT_KEY, ROOT, authority=authority, until=until, extensions=extensions)
    return issue(SANDBOX, SIGNER_KEY, made), made


BELIEVED: dict[str, tuple[Issued, ...]] = {
    "an authority that says it may sign others": _between(extensions=(_usage(True),)),
}
NOT_BELIEVED: dict[str, tuple[Issued, ...]] = {
    "self-signed, PayPal's name": (issue(SANDBOX, SIGNER_KEY),),
    "somebody else's root": (issue(SANDBOX, SIGNER_KEY, _root("Amends test root")),),
    "no link to the root": (SIGNER,),
    "another name": (issue("cert.evil.example", SIGNER_KEY, BETWEEN), BETWEEN),
    "a name that begins alike": (issue(f"{SANDBOX}.evil.example", SIGNER_KEY, BETWEEN), BETWEEN),
    "expired": (issue(SANDBOX, SIGNER_KEY, BETWEEN, until=_EARLIER), BETWEEN),
    "not yet valid": (issue(SANDBOX, SIGNER_KEY, BETWEEN, since=_LATER), BETWEEN),
    "an expired authority": _between(until=_EARLIER),
    "signed by what is no authority": _between(authority=False),
    "signed by what may sign no other": _between(extensions=(_usage(False),)),
    "the signer is not the first": (BETWEEN, SIGNER),
    "no RSA key": (issue(SANDBOX, ROOT_KEY, BETWEEN), BETWEEN),
    "another key": (issue(SANDBOX, OTHER_KEY, BETWEEN), BETWEEN),
    "nothing": (),
}


@pytest.mark.parametrize("case", BELIEVED)
def test_believed(case: str) -> None:
    assert _verify(sign(RAW, SECRET), trust(*BELIEVED[case]))


@pytest.mark.parametrize("case", NOT_BELIEVED)
def test_not_believed(case: str) -> None:
    assert not _verify(sign(RAW, SECRET), trust(*NOT_BELIEVED[case]))


def test_validity_is_judged_now_not_when_it_was_sent() -> None:
    """A key that leaks after its certificate has run out could date its messages back."""
    headers = sign(RAW, SECRET)
    assert _verify(headers, now=NOW + 300 * DAY)
    for now in (NOW + 400 * DAY, NOW - 400 * DAY, 2**70, -(2**70)):
        assert not _verify(headers, now=now)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"hello",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        SIGNER.pem[:-60],
        b"\xff" * 200_000,
    ],
)
def test_rubbish_is_no_certificate_and_no_root(pem: bytes) -> None:
    headers = sign(RAW, SECRET)
    assert not _verify(headers, Trust(URL, pem, ROOT.pem))
    assert not _verify(headers, Trust(URL, TRUST.chain, pem))


def test_a_chain_longer_than_any_is_not_read() -> None:
    assert not _verify(sign(RAW, SECRET), Trust(URL, TRUST.chain + b"x" * 70_000, ROOT.pem))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("changed", [SIGNER, BETWEEN], ids=["signer", "authority"])
def test_a_byte_changed_anywhere_in_a_certificate_is_refused(changed: Issued) -> None:
    """And nothing is raised, whatever the library makes of such a certificate. What is signed and
    its signature can be written in more than one way: how many bits of the last byte are unused."""
    headers = sign(RAW, SECRET)
    whole = changed.certificate.public_bytes(Encoding.DER)
    for at in range(len(whole)):
        for bit in (1, 6):
            forged = bytearray(whole)
            forged[at] ^= 1 << bit
            pems = [_pem(bytes(forged)) if c is changed else c.pem for c in (SIGNER, BETWEEN)]
            if _verify(headers, Trust(URL, b"".join(pems), ROOT.pem)):
                taken = x509.load_der_x509_certificate(bytes(forged))
                assert _signed(taken) == _signed(changed.certificate), (at, bit)


def _signed(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    return certificate.tbs_certificate_bytes, certificate.signature


def _pem(der: bytes) -> bytes:
    lines = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("version", [b"\x01", b"\x0a"])
def test_a_certificate_of_another_version_is_refused(version: bytes) -> None:
    """The library has an exception of its own for it, which is no ValueError."""
    der = SIGNER.certificate.public_bytes(Encoding.DER)
    third = b"\xa0\x03\x02\x01\x02"
    for certificate in (der.replace(third, third[:4] + version, 1), b"\x30\x00"):
        pem = _pem(certificate)
        assert not _verify(sign(RAW, SECRET), Trust(URL, pem + BETWEEN.pem, ROOT.pem))
        assert not _verify(sign(RAW, SECRET), Trust(URL, TRUST.chain, pem))


# --- what is signed ----------------------------------------------------------------------------


def test_the_checksum_is_an_unsigned_decimal_number() -> None:
    raw = next(body for n in range(99) if zlib.crc32(body := b"%d" % n) >= 2**31)
    short = next(body for n in range(9999) if zlib.crc32(body := b"%d" % n) < 10**8)
    crc = zlib.crc32(raw)
    for wrong in (f"{crc:x}", str(crc - 2**32), f"{crc:012d}", f"0x{crc:x}", "0"):
        assert not _verify(sign(raw, SECRET, crc=wrong), raw=raw), wrong
    for body in (raw, short):
        assert _verify(sign(body, SECRET), raw=body)


def test_a_signature_is_written_in_one_way() -> None:
    """Base64 of 256 bytes leaves four bits over: fifteen more texts stand for the same bytes."""
    headers = sign(RAW, SECRET)
    name, value = "paypal-transmission-sig", headers["paypal-transmission-sig"]
    assert value.endswith("==")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for letter in letters.replace(value[-3], ""):
        assert not _verify({**headers, name: f"{value[:-3]}{letter}=="})
    for other in (value.rstrip("="), f"{value}=", f"{value}\n", f" {value}", f"{value} {value}"):
        assert not _verify({**headers, name: other})


def test_no_separator_hides_in_what_is_signed() -> None:
    """Else the border between two fields could be moved under the same signature."""
    headers = sign(RAW, f"x|{SECRET}")
    time = f"{headers['paypal-transmission-time']}|x"
    assert not _verify({**headers, "paypal-transmission-time": time})


def test_messages_for_another_webhook_of_the_same_account_are_refused() -> None:
    headers = sign(RAW, "1JE4291016473214C")
    assert not _verify(headers)
    both = (SECRET, "1JE4291016473214C")
    assert paypal.verify(RAW, headers, both, NOW, TRUST) == Genuine()


def test_edge_07_the_signature_holds_for_a_forged_body_and_nothing_in_it_is_believed() -> None:
    """The CRC-32 of a body can be met by another body: a forger who has seen one genuine message
    says a million was refunded. He is answered by a look at the payment."""
    genuine = dumps(event("PAYMENT.CAPTURE.REFUNDED", refund(), "refund"))
    lie = refund(amount=money("1000000.00"), custom_id="amends.ord_01.leg_01.1", note="@" * 64)
    forged = same_crc(genuine, dumps(event("PAYMENT.CAPTURE.REFUNDED", lie, "refund")))
    assert forged != genuine
    assert json.loads(forged)["resource"]["amount"]["value"] == "1000000.00"
    headers = sign(genuine, SECRET)
    assert _verify(headers, raw=genuine)
    assert _verify(headers, raw=forged)
    told = paypal.read(forged, headers, SETTINGS)
    assert (
        told.facts == paypal.read(genuine, headers, SETTINGS).facts == (look("2GG279541U471931P"),)
    )
    assert b"1000000" not in msgspec.json.encode(told.facts)


def test_the_mode_is_where_the_certificate_is() -> None:
    body = dumps(event("CHECKOUT.ORDER.COMPLETED", {"id": "1"}, "checkout-order"))
    for url, mode in ((URL, False), (LIVE_URL, True), ("http://127.0.0.1:9400/x", None)):
        assert paypal.read(body, {"paypal-cert-url": url}, SETTINGS).live is mode
    assert LIVE != SANDBOX


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_verify_never_raises_whatever_is_handed_in(data: st.DataObject) -> None:
    """Random heads, bodies, certificates and roots; with any other key than PayPal's."""
    headers = sign(RAW, SECRET, key=OTHER_KEY)
    odd = st.text(max_size=20) | st.sampled_from(["\ud800", "", "|", URL, "SHA256withRSA"])
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(headers)), odd))
    pem = st.binary(max_size=60) | st.sampled_from([TRUST.chain, ROOT.pem, SIGNER.pem[:200]])
    at_hand = Trust(data.draw(st.sampled_from([URL, LIVE_URL, ""])), data.draw(pem), data.draw(pem))
    raw = data.draw(st.binary(max_size=20) | st.just(RAW))
    found = paypal.verify(raw, {**headers, **changes}, (SECRET, "\ud800"), NOW, at_hand)
    assert isinstance(found, NotGenuine)
