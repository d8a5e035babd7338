"""A certificate authority of our own, and messages signed as PayPal signs them."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from amends.gateways.spec import Trust
from amends.kernel.time import to_datetime
from tests.gateways.table import NOW, NOW_SECONDS

SANDBOX = "messageverificationcerts.sandbox.paypal.com"
LIVE = "messageverificationcerts.paypal.com"
URL = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-own-1"

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_AT = to_datetime(NOW)
_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: _Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def issue(
    name: str,
    key: _Key,
    by: Issued | None = None,
    *,
    authority: bool = False,
    since: datetime = _AT - _YEAR,
    until: datetime = _AT + _YEAR,
    extensions: tuple[x509.ExtensionType, ...] = (),
) -> Issued:
    """A certificate for `name`, signed by `by` or by itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = by.certificate.subject if by else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return Issued(builder.sign(by.key if by else key, SHA256()), key)


ROOT_KEY = ec.generate_private_key(ec.SECP256R1())
SIGNER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

ROOT = issue("Amends test root", ROOT_KEY, authority=True)
BETWEEN = issue("Amends test authority", ROOT_KEY, ROOT, authority=True)
SIGNER = issue(SANDBOX, SIGNER_KEY, BETWEEN)
LIVE_SIGNER = issue(LIVE, SIGNER_KEY, BETWEEN)


def trust(*chain: Issued, url: str = URL, anchors: bytes = ROOT.pem) -> Trust:
    """What an engine would hand in."""
    return Trust(url, b"".join(item.pem for item in chain), anchors)


TRUST = trust(SIGNER, BETWEEN)


def sign(
    raw: bytes,
    webhook_id: str,
    seconds: int = NOW_SECONDS,
    *,
    key: rsa.RSAPrivateKey = SIGNER_KEY,
    crc: str = "",
    url: str = URL,
) -> dict[str, str]:
    """The head of a genuine message; `crc` in another notation than PayPal's."""
    at = to_datetime(seconds * 1_000_000).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = "b2384410-f8d2-11e4-8bf3-77339302725b"
    signed = f"{name}|{at}|{webhook_id}|{crc or zlib.crc32(raw)}".encode()
    signature = key.sign(signed, padding.PKCS1v15(), SHA256())
    return {
        "paypal-transmission-id": name,
        "paypal-transmission-time": at,
        "paypal-transmission-sig": base64.b64encode(signature).decode("ascii"),
        "paypal-cert-url": url,
        "paypal-auth-algo": "SHA256withRSA",
    }


def same_crc(wanted: bytes, template: bytes, mark: bytes = b"@" * 64) -> bytes:
    """`template` with its run of @ replaced by letters such that its CRC-32 is that of `wanted`.

    The CRC is linear: each position that may be "a" or "b" turns over a fixed set of its bits, and
    of 64 such sets some combination makes any difference (Gaussian elimination over GF(2)).
    """
    at = template.index(mark)

    def filled(chosen: int) -> bytes:
        letters = bytes(ord("b") if chosen >> n & 1 else ord("a") for n in range(len(mark)))
        return template[:at] + letters + template[at + len(mark) :]

    plain = zlib.crc32(filled(0))
    basis: dict[int, tuple[int, int]] = {}  # leading bit -> (difference, which letters make it)
    for n in range(len(mark)):
        difference, chosen = zlib.crc32(filled(1 << n)) ^ plain, 1 << n
        while difference and (lead := difference.bit_length()) in basis:
            difference, chosen = difference ^ basis[lead][0], chosen ^ basis[lead][1]
        if difference:
            basis[difference.bit_length()] = (difference, chosen)
    missing, chosen = zlib.crc32(wanted) ^ plain, 0
    while missing:
        difference, letters = basis[missing.bit_length()]
        missing, chosen = missing ^ difference, chosen ^ letters
    return filled(chosen)
