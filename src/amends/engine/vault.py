"""What the console's key protects: secrets at rest, and texts that nobody else can have written.

The key is 32 random bytes in a file of the merchant's (`[console] key`), made by `amends init`. One
key for each purpose is derived from it, so that no text serves for another purpose.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE = 12


class Vault:
    """Seals texts with AES-256-GCM; `about` says what a text is for and of whom, and is checked."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._key = key

    def seal(self, text: str, about: str) -> str:
        """The text for nobody but us, as URL-safe base64."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = AESGCM(self._derived("seal")).encrypt(nonce, text.encode(), about.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, about: str) -> str | None:
        """The text, None if it was not sealed here, or for something else."""
        try:
            raw = base64.urlsafe_b64decode(sealed.encode("ascii"))
            plain = AESGCM(self._derived("seal")).decrypt(
                raw[:_NONCE], raw[_NONCE:], about.encode()
            )
        except (InvalidTag, ValueError, binascii.Error):  # ValueError: also not ASCII
            return None
        return plain.decode()

    def mark(self, text: str, about: str) -> str:
        """What only we can say of a text, in hex."""
        return hmac.new(self._derived(f"mark {about}"), text.encode(), hashlib.sha256).hexdigest()

    def _derived(self, purpose: str) -> bytes:
        return hmac.new(self._key, purpose.encode(), hashlib.sha256).digest()


def new_key() -> str:
    """A fresh key as the file has it."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def read_key(text: str) -> bytes:
    """The key of a file's text. Raises ValueError."""
    key = base64.b64decode(text, validate=True)
    if len(key) != KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes, not {KEY_BYTES}")
    return key
