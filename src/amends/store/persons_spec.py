"""People who sign in, their sessions and their failed tries, as rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from amends.core.events import Event
from amends.kernel.time import Instant

if TYPE_CHECKING:
    from amends.store.spec import Head

Make = Callable[["Head"], Event]


class User(msgspec.Struct, frozen=True):
    """Somebody who signs in. `login` is in lower case; `password` is Argon2's own text, changed at
    the instant `password_at` (0: it is a one-time password); `totp` is enciphered, "" for none,
    and `totp_step` the time step of the last code that was taken."""

    id: str
    login: str
    name: str
    role: str
    password: str
    created_at: Instant
    totp: str = ""
    totp_step: int = 0
    disabled_at: Instant = 0
    failures: int = 0
    locked_until: Instant = 0
    password_at: Instant = 0


class Session(msgspec.Struct, frozen=True):
    """A sign-in that holds. `hash` is SHA-256 of what the cookie says, `csrf` the token of its
    forms, `stage` "" once the sign-in is complete."""

    hash: str
    user: str
    csrf: str
    created_at: Instant
    seen_at: Instant
    expires_at: Instant
    agent: str = ""
    stage: str = ""


class Tries(msgspec.Struct, frozen=True):
    """Failed sign-ins under one key, since when, and until when no more are looked at."""

    failures: int = 0
    since: Instant = 0
    locked_until: Instant = 0


class PersonsStore(Protocol):
    """What a store does for people who sign in. Writes with a `make` append the event it builds to
    `system:people` in the same transaction."""

    async def user(self, user_id: str) -> User | None: ...

    async def user_by_login(self, login: str) -> User | None: ...

    async def users(self) -> list[User]:
        """All, by login."""
        ...

    async def add_user(self, user: User, make: Make) -> bool:
        """False if the login is taken."""
        ...

    async def change_user(self, before: User, after: User, make: Make) -> bool:
        """False if it is not as it was `before`, by whoever's hand. Its sessions end."""
        ...

    async def take_code(self, user: User, step: int) -> bool:
        """Note the time step of a code that was right. False if that one, or a later one, was
        taken meanwhile."""
        ...

    async def session(self, hashed: str) -> tuple[Session, User] | None:
        """A session and whose it is."""
        ...

    async def add_session(self, session: Session, make: Make) -> None:
        """Also forgets sessions that have expired by its instant."""
        ...

    async def touch_session(self, hashed: str, seen_at: Instant) -> None: ...

    async def drop_session(self, hashed: str, make: Make) -> bool:
        """False if it had ended."""
        ...

    async def note(self, make: Make) -> None:
        """Append an event alone."""
        ...

    async def count_try(self, key: str, count: Callable[[Tries], Tries]) -> Tries:
        """Put what `count` makes of the tries under a key in their place, one at a time; gives
        those that were there before."""
        ...

    async def forget_tries(self, keys: list[str], now: Instant, before: Instant) -> None:
        """Forget those under these keys, and all that began before then and lock nothing now."""
        ...
