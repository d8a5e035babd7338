"""PayPal's signature on webhooks, by a certificate of our own.

Signed is `transmission id|time|webhook id|crc32`, the CRC-32 of the raw body as a decimal number;
the webhook's id is the merchant's secret and not in the message. An undelivered message is repeated
with the head it had, so the head follows from the message alone.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

SIGNER_NAME = "messageverificationcerts.sandbox.paypal.com"
AUTHORITY_NAME = "Amends sandbox authority"
PATH = "/v1/notifications/certs/"
# Wide, since a world's clock may stand anywhere.
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=36_525)


class Signer:
    """A key, its certificate and the authority that vouches for it."""

    def __init__(self) -> None:
        by = generate_ec_key(SECP256R1())
        self._key = generate_rsa_key(public_exponent=65537, key_size=2048)
        root = _certify(AUTHORITY_NAME, by.public_key(), by, authority=True)
        leaf = _certify(SIGNER_NAME, self._key.public_key(), by, authority=False)
        self.anchors = root.public_bytes(Encoding.PEM).decode()
        self.chain = leaf.public_bytes(Encoding.PEM)

    def head(self, url: str, webhook_id: str, body: bytes) -> Mapping[str, str]:
        """The headers of a message to the webhook of that id; `url` is the certificate's."""
        name = str(UUID(bytes=hashlib.sha256(webhook_id.encode() + body).digest()[:16], version=4))
        at = json.loads(body)["create_time"]
        signed = f"{name}|{at}|{webhook_id}|{zlib.crc32(body)}".encode()
        signature = self._key.sign(signed, PKCS1v15(), SHA256())
        return {
            "Content-Type": "application/json",
            "PAYPAL-TRANSMISSION-ID": name,
            "PAYPAL-TRANSMISSION-TIME": at,
            "PAYPAL-TRANSMISSION-SIG": base64.b64encode(signature).decode(),
            "PAYPAL-CERT-URL": url,
            "PAYPAL-AUTH-ALGO": "SHA256withRSA",
            "User-Agent": "PayPal/AUHR-sandbox",
        }


@cache
def signer() -> Signer:
    """This process's own, made when it is first asked for: it takes a noticeable time."""
    return Signer()


def _certify(
    name: str,
    key: EllipticCurvePublicKey | RSAPublicKey,
    by: EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY_NAME)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(SINCE)
        .not_valid_after(UNTIL)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(usage, critical=True)
    )
    return builder.sign(by, SHA256())
