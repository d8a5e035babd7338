"""Passwords and codes: Argon2id off the event loop, TOTP (RFC 6238), one-time passwords.

A hash takes about a tenth of a second and 64 MiB; few are made at once, and who waits too long is
told to come back, so that a storm of sign-ins never takes the process's memory.
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable
from typing import TypeVar

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from amends.core.reasons import Reason, Refused
from amends.kernel.time import SECOND, Instant

SHORTEST, LONGEST = 12, 256  # characters of a password
STEP_SECONDS = 30
AT_ONCE, WAITING_MAX = 2, 50
_WORDS = "abcdefghjkmnpqrstuvwxyz23456789"  # no letters that look alike

_hasher = PasswordHasher()


def _unmatched(hasher: PasswordHasher) -> str:
    """A hash of no password. It is verified where there is no such login, so that it takes as long
    as where there is; making it costs nothing, so that no command waits for it."""
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, hashed = (
        b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v=19${cost}${salt}${hashed}"


_NOBODY = _unmatched(_hasher)

T = TypeVar("T")


class Hashing:
    """The slow part, a few at a time."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        return await self._off(lambda: _hasher.hash(password))

    async def right(self, hashed: str, password: str) -> bool:
        """Whether it is the password; with "" for nobody's hash never, in the same time."""
        return await self._off(lambda: _right(hashed or _NOBODY, password)) and bool(hashed)

    async def _off(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MAX:
            raise Refused(Reason.RATE_LIMITED)
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def _right(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def weak(password: str, login: str) -> str:
    """Why a password is refused, "" if it is not. Length is what counts (NIST SP 800-63B)."""
    if len(password) < SHORTEST:
        return f"Take a password of at least {SHORTEST} characters; a sentence is easy to keep."
    if len(password) > LONGEST:
        return f"Take a password of at most {LONGEST} characters."
    if login.lower() in password.lower() or len(set(password)) < 5:
        return "Take a password that is not your login and has more than a few characters."
    return ""


def one_time() -> str:
    """A password to be handed over and changed: 20 characters, 98 bits."""
    groups = ("".join(secrets.choice(_WORDS) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def new_secret() -> str:
    """A TOTP secret, base32."""
    return pyotp.random_base32()


def enrolment(secret: str, login: str) -> str:
    """What an authenticator app reads, as an `otpauth:` address."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name="amends")


def step_of(secret: str, code: str, now: Instant, after: int) -> int:
    """The time step a code is of, 0 if it is of none now: the current one and one to either side,
    and never one up to `after`, the last that was taken (a code counts once)."""
    totp, bare = pyotp.TOTP(secret), code.replace(" ", "")
    current = now // SECOND // STEP_SECONDS
    for step in (current, current - 1, current + 1):
        if step > after and pyotp.utils.strings_equal(totp.generate_otp(step), bare):
            return step
    return 0
