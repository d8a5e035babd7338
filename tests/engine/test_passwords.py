"""Passwords: what a stranger could tell from how long an answer takes."""

from __future__ import annotations

import argon2
import pytest
from argon2.exceptions import VerifyMismatchError

from amends.engine import passwords


def test_nobodys_hash_costs_what_a_real_one_does_and_matches_nothing() -> None:
    """A form that is refused unread would be answered at once, and tell that there is no such
    login."""
    hasher = argon2.PasswordHasher()
    nobody = passwords._unmatched(hasher)
    real = argon2.extract_parameters(hasher.hash("a long enough word"))
    assert argon2.extract_parameters(nobody) == real
    with pytest.raises(VerifyMismatchError):
        hasher.verify(nobody, "a long enough word")
