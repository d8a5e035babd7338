"""PayPal's signatures: which certificate may be fetched, and whether it signed a message.

Signed is `transmission_id|transmission_time|webhook_id|crc32`, where the CRC-32 of the raw body is
an unsigned decimal number without padding and the webhook's id is ours, not in the message
(developer.paypal.com/api/rest/webhooks). A CRC can be forged: a genuine signature does not vouch
for the body, which is why `paypal_events` believes no amount.
"""

from __future__ import annotations

import base64
import re
import warnings
import zlib
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from amends.gateways.signatures import header, usable, wire_bytes
from amends.gateways.spec import Genuine, NotGenuine, Settings, Trust
from amends.kernel.time import Instant, to_datetime

_HOSTS = {"live": "https://api.paypal.com", "sandbox": "https://api.sandbox.paypal.com"}
_LIVE_NAME = "messageverificationcerts.paypal.com"
_SANDBOX_NAME = "messageverificationcerts.sandbox.paypal.com"
_PATH = re.compile(r"/v1/notifications/certs/[A-Za-z0-9_-]{1,128}", re.ASCII)
_ALGORITHM = "SHA256withRSA"
_FIELD_MAX = 200  # characters; an id has 36, a time 20
_PEM_MAX = 64 * 1024  # bytes; a chain is a few thousand

# What the library raises for a certificate it cannot read; not all of it is a ValueError.
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def certificate_url(headers: Mapping[str, str], settings: Settings) -> str:
    """Where the certificate of a message is, "" if it names none of PayPal's. Never raises.

    Only the host of the connection's own environment, and no query, port or path that could lead
    elsewhere. A sandbox's look-alike at another `base_url` serves its certificate itself.
    """
    url, base = header(headers, "paypal-cert-url"), _certificate_base(settings)
    pinned = base and url.startswith(base) and _PATH.fullmatch(url, len(base))
    return url if pinned else ""


def _certificate_base(settings: Settings) -> str:
    environment = settings.values.get("environment", "")
    if settings.base_url and not _is_paypal(settings.base_url):
        return settings.base_url.rstrip("/") if environment == "sandbox" else ""
    return _HOSTS.get(environment, "")


def _is_paypal(url: str) -> bool:
    try:
        return (urlsplit(url).hostname or "").endswith(".paypal.com")
    except ValueError:
        return False


def live_by(headers: Mapping[str, str]) -> bool | None:
    """The sender's mode by where its certificate is; None if that is a look-alike's."""
    url = header(headers, "paypal-cert-url")
    if url.startswith(f"{_HOSTS['live']}/"):
        return True
    return False if url.startswith(f"{_HOSTS['sandbox']}/") else None


def verify(
    raw: bytes,
    headers: Mapping[str, str],
    secrets: tuple[str, ...],
    now: Instant,
    trust: Trust | None = None,
) -> Genuine | NotGenuine:
    """Whether PayPal signed `raw` for one of our webhooks, whose ids are `secrets`. Never raises.

    There is no limit to a message's age: PayPal names none, and repeats an undelivered one for
    three days with the head it had. A replay is the same message, or one that only asks to look.
    """
    if trust is None or not trust.url:
        return NotGenuine("no certificate that may be fetched")
    if header(headers, "paypal-cert-url") != trust.url:
        return NotGenuine("the certificate at hand is not the one the message names")
    if header(headers, "paypal-auth-algo") != _ALGORITHM:
        return NotGenuine(f"PAYPAL-AUTH-ALGO is not {_ALGORITHM}")
    name = header(headers, "paypal-transmission-id")
    time = header(headers, "paypal-transmission-time")
    if not (_is_field(name) and _is_field(time)):
        return NotGenuine("the id or the time of the transmission is missing")
    signature = _decoded(header(headers, "paypal-transmission-sig"))
    if not signature:
        return NotGenuine("PAYPAL-TRANSMISSION-SIG is missing or not base64")
    chain = _chain(trust)
    if not chain or not _is_signer(chain[0], trust.url):
        return NotGenuine("the certificate is not the one PayPal signs messages with")
    crc = zlib.crc32(raw)
    signed = [wire_bytes(f"{name}|{time}|{webhook}|{crc}") for webhook in usable(secrets)]
    if not any(_holds(chain[0], signature, message) for message in signed):
        return NotGenuine("the signature is for other bytes or another webhook")
    if not _is_trusted(chain, trust.anchors, now):  # last: it costs forty times a signature
        return NotGenuine("the certificate leads to no trusted root, or is not valid now")
    return Genuine()


def _is_field(value: str) -> bool:
    """Part of what is signed; the separator in it would let its neighbour be cut elsewhere."""
    return 0 < len(value) <= _FIELD_MAX and "|" not in value


def _decoded(value: str) -> bytes:
    """The bytes of a base64 text, none if it is none. Several texts stand for the same bytes; only
    the one with nothing left over is the sender's."""
    try:
        found = base64.b64decode(value, validate=True)
    except ValueError:
        return b""
    return found if base64.b64encode(found).decode("ascii") == value else b""


# -- the certificate ---------------------------------------------------------------------------


def _chain(trust: Trust) -> list[x509.Certificate]:
    """The certificates, the signer's first; none if they cannot be read."""
    try:
        return [] if len(trust.chain) > _PEM_MAX else x509.load_pem_x509_certificates(trust.chain)
    except _UNREADABLE:
        return []


def _is_signer(certificate: x509.Certificate, url: str) -> bool:
    """Whether its name is the one that signs messages where it was fetched from."""
    expected = _LIVE_NAME if url.startswith(f"{_HOSTS['live']}/") else _SANDBOX_NAME
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except _UNREADABLE:
        return False
    return [name.value for name in names] == [expected]


def _holds(certificate: x509.Certificate, signature: bytes, message: bytes) -> bool:
    try:
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            return False
        key.verify(signature, message, PKCS1v15(), SHA256())
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True


def _is_trusted(chain: list[x509.Certificate], anchors: bytes, now: Instant) -> bool:
    """Whether every certificate up to an anchor is valid at `now` and signed by the next."""
    try:
        policy = PolicyBuilder().store(_store(anchors)).time(to_datetime(now))
        policy = policy.extension_policies(ca_policy=_AUTHORITY, ee_policy=_SIGNER)
        policy.build_client_verifier().verify(chain[0], chain[1:])
    except (OverflowError, VerificationError, *_UNREADABLE):
        return False
    return True


@lru_cache(maxsize=8)
def _store(anchors: bytes) -> Store:
    """The roots, read once: a machine trusts some hundred and fifty, a few of which have serial
    numbers the library warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return Store(x509.load_pem_x509_certificates(anchors))


def _may_sign(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("this certificate may sign no other")


# What the library asks of a chain by default is what browsers ask of a web server's. PayPal's
# signer is no server: of its certificate the name counts, of its authorities that they are some.
_SIGNER = ExtensionPolicy.permit_all()
_AUTHORITY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
)
