"""Who works here: users, their roles, passwords and codes; signing in and out; sessions.

Whether a login exists is never told: a wrong one costs the same time, locks alike and gets the same
sentence. A try is counted before it is looked at, so that many at once are counted too. Events of
`system:people` hold ids and words of closed lists, no logins and no names (I15).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from amends.core.events import Event, EventType, link
from amends.core.reasons import Reason, Refused
from amends.engine import passwords
from amends.engine.vault import Vault
from amends.engine.wiring import Engine
from amends.kernel.time import HOUR, MINUTE, Instant
from amends.store.persons_spec import Make, Session, Tries, User
from amends.store.spec import Head

STREAM = "system:people"
ROLES = ("viewer", "agent", "reviewer", "finance", "admin")  # each may what those before it may
IDLE, HOLDS, TOUCH = 30 * MINUTE, 12 * HOUR, 1 * MINUTE
STEP_HOLDS = 10 * MINUTE  # between password and code
FREE_TRIES, FREE_FROM_PLACE = 5, 50  # failures before a login, or an address, has to wait
LOCK_FIRST, LOCK_MOST = 1 * MINUTE, 15 * MINUTE
FORGET = 1 * HOUR  # failures older than this do not count any more
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,99}")

Next = Literal["password", "enrol", "code"]


class Step(msgspec.Struct, frozen=True):
    """A sign-in whose password was right; `next` is what is asked for now."""

    user: User
    next: Next
    secret: str = ""  # being enrolled


class Opened(msgspec.Struct, frozen=True):
    """A session that has just begun; `cookie` is told once, its hash is kept."""

    cookie: str
    user: User


class _Kept(msgspec.Struct, frozen=True):
    """What a browser keeps for us, sealed, between the steps."""

    user: str
    state: str  # of password and code: no step holds once either changed
    until: Instant
    secret: str


# -- signing in ------------------------------------------------------------------------------------


class Doorman:
    """Sign-ins of one process."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine, self.vault = engine, vault
        self._hashing = passwords.Hashing()

    async def password(self, login: str, password: str, address: str) -> Step:
        """The first step. Raises Refused: UNAUTHENTICATED for a login or password that is wrong,
        RATE_LIMITED after too many of them."""
        login = login.strip().lower()[:200]
        keys = [_key("login", login), _key("address", address)]
        await self._count(keys[0], FREE_TRIES)
        await self._count(keys[1], FREE_FROM_PLACE)
        user = await self._engine.store.user_by_login(login)
        hashed = user.password if user and not user.disabled_at else ""
        right = await self._hashing.right(hashed, password[: passwords.LONGEST + 1])
        if user is None or not right:
            await self._failed(user.id if user else "", "password")
            raise Refused(Reason.UNAUTHENTICATED, "This login or this password is wrong.")
        await self._right(keys[:1], address)
        return _next(user)

    async def new_password(self, step: Step, password: str) -> Step:
        """Instead of a one-time password. Raises Refused(VALIDATION)."""
        if why := passwords.weak(password, step.user.login):
            raise Refused(Reason.VALIDATION, why)
        if await self._hashing.right(step.user.password, password):
            raise Refused(Reason.VALIDATION, "Take another password than the one you were given.")
        hashed, now = await self._hashing.hash(password), self._engine.clock.now()
        after = replace(step.user, password=hashed, password_at=now)
        await self._changed(step.user, after, "password")
        return _next(after)

    async def code(self, step: Step, code: str, address: str, agent: str) -> Opened:
        """The last step: the code of the authenticator app, which is enrolled with it the first
        time. Raises Refused as `password` does."""
        user, now = step.user, self._engine.clock.now()
        key = _key("code", user.id)
        await self._count(key, FREE_TRIES)
        await self._count(_key("address", address), FREE_FROM_PLACE)
        secret = step.secret or self.vault.open(user.totp, f"totp {user.id}") or ""
        found = passwords.step_of(secret, code, now, user.totp_step) if secret else 0
        if not found:
            await self._failed(user.id, "code")
            raise Refused(Reason.UNAUTHENTICATED, "This code is wrong, or was used before.")
        if step.secret:
            totp = self.vault.seal(step.secret, f"totp {user.id}")
            await self._changed(user, replace(user, totp=totp, totp_step=found), "codes")
        elif not await self._engine.store.take_code(user, found):
            raise Refused(Reason.UNAUTHENTICATED, "This code is wrong, or was used before.")
        await self._right([key], address)
        return await self.open(user, agent)

    def keep(self, step: Step) -> str:
        """A step as text for a cookie."""
        until = self._engine.clock.now() + STEP_HOLDS
        kept = _Kept(step.user.id, _state(step.user), until, step.secret)
        return self.vault.seal(msgspec.json.encode(kept).decode(), "step")

    async def kept(self, text: str) -> Step | None:
        """The step a cookie holds, None if it is over."""
        plain = self.vault.open(text, "step")
        if plain is None:
            return None
        kept = msgspec.json.decode(plain, type=_Kept)
        user = await self._engine.store.user(kept.user)
        if user is None or kept.until <= self._engine.clock.now() or kept.state != _state(user):
            return None
        step = _next(user)
        return replace(step, secret=kept.secret) if step.next == "enrol" and kept.secret else step

    # -- sessions ----------------------------------------------------------------------------------

    async def session(self, cookie: str) -> tuple[Session, User] | None:
        """The session a cookie names, None if it has ended: by idleness, age, or its user's."""
        found = await self._engine.store.session(_hash(cookie)) if cookie else None
        if found is None:
            return None
        session, user = found
        now = self._engine.clock.now()
        if user.disabled_at or now >= session.expires_at or now - session.seen_at >= IDLE:
            return None
        if now - session.seen_at >= TOUCH:
            await self._engine.store.touch_session(session.hash, now)
        return session, user

    async def names(self) -> dict[str, str]:
        """How people are called, by actor ("person:usr_…")."""
        return {f"person:{user.id}": user.name for user in await self._engine.store.users()}

    async def sign_out(self, session: Session) -> None:
        """Ends the session, here and for whoever else has its cookie."""
        make = _event(self._engine, f"person:{session.user}", "sign_out.done", {})
        await self._engine.store.drop_session(session.hash, make)

    async def open(self, user: User, agent: str) -> Opened:
        """Begin a session of somebody who has proved who they are. Its cookie is always a new one:
        one from before signing in is worth nothing."""
        cookie, now = secrets.token_urlsafe(32), self._engine.clock.now()
        token = secrets.token_urlsafe(32)
        session = Session(_hash(cookie), user.id, token, now, now, now + HOLDS, agent[:200])
        make = _event(self._engine, f"person:{user.id}", "sign_in.done", {})
        await self._engine.store.add_session(session, make)
        return Opened(cookie, user)

    async def _count(self, key: str, free: int) -> None:
        now = self._engine.clock.now()
        was = await self._engine.store.count_try(key, lambda before: _counted(before, now, free))
        if now < was.locked_until:
            raise Refused(
                Reason.RATE_LIMITED, "Too many tries. Wait a few minutes and sign in again."
            )

    async def _right(self, keys: list[str], address: str) -> None:
        """What was counted beforehand was no failure."""
        await _forget(self._engine, keys)
        await self._engine.store.count_try(_key("address", address), _uncounted)

    async def _failed(self, user_id: str, what: str) -> None:
        actor = f"person:{user_id}" if user_id else "person:unknown"
        await self._engine.store.note(_event(self._engine, actor, "sign_in.failed", {"what": what}))

    async def _changed(self, before: User, after: User, what: str) -> None:
        body = {"user": before.id, "what": what}
        make = _event(self._engine, f"person:{before.id}", "user.changed", body)
        if not await self._engine.store.change_user(before, after, make):
            raise Refused(Reason.UNAUTHENTICATED, "This code is wrong, or was used before.")


def _counted(before: Tries, now: Instant, free: int) -> Tries:
    """One more try, counted before it is looked at. While locked none is, and none counts."""
    if now < before.locked_until:
        return before
    failures = 1 + (before.failures if now - before.since < FORGET else 0)
    since = before.since if failures > 1 else now
    over = failures - free
    pause = min(LOCK_FIRST << min(over, 10), LOCK_MOST) if over >= 0 else 0
    return Tries(failures, since, now + pause if pause else 0)


def _uncounted(before: Tries) -> Tries:
    return replace(before, failures=max(0, before.failures - 1), locked_until=0)


async def _forget(engine: Engine, keys: list[str]) -> None:
    now = engine.clock.now()
    await engine.store.forget_tries(keys, now, now - FORGET)


def _next(user: User) -> Step:
    if not user.password_at:
        return Step(user, "password")
    return Step(user, "code") if user.totp else Step(user, "enrol", passwords.new_secret())


def _state(user: User) -> str:
    return _hash(f"{user.password} {user.totp} {user.role} {user.disabled_at}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _key(kind: str, text: str) -> str:
    """Of what tries are counted by: a hash, since logins and addresses are personal data."""
    return _hash(f"{kind} {text}")


# -- who works here --------------------------------------------------------------------------------


async def add(engine: Engine, actor: str, login: str, name: str, role: str) -> tuple[User, str]:
    """A new user and the one-time password to hand over. Raises Refused(VALIDATION)."""
    login = login.strip().lower()
    name = " ".join(name.split()) or login
    if not _LOGIN.fullmatch(login):
        detail = "A login has 2 to 100 letters, digits and . _ @ + - and begins with one of them."
        raise Refused(Reason.VALIDATION, detail)
    _check_role(role)
    if len(name) > 100 or not name.isprintable():
        raise Refused(Reason.VALIDATION, "A name has up to 100 characters.")
    password = passwords.one_time()
    hashed = await passwords.Hashing().hash(password)
    user = User(f"usr_{engine.new_id()}", login, name, role, hashed, engine.clock.now())
    body = {"user": user.id, "role": role}
    if not await engine.store.add_user(user, _event(engine, actor, "user.added", body)):
        raise Refused(Reason.VALIDATION, "There is a user with this login already.")
    return user, password


async def reset(engine: Engine, actor: str, user_id: str) -> tuple[User, str]:
    """A new one-time password; the authenticator app is enrolled anew with it. Raises Refused."""
    before = await _known(engine, user_id)
    password = passwords.one_time()
    hashed = await passwords.Hashing().hash(password)
    after = replace(before, password=hashed, password_at=0, totp="", totp_step=0)
    await _change(engine, actor, before, after, {"what": "reset"})
    keys = [_key("login", before.login), _key("code", before.id)]
    await _forget(engine, keys)
    return after, password


async def set_role(engine: Engine, actor: str, user_id: str, role: str) -> User:
    """Raises Refused, also where nobody would be left to do what only an admin may."""
    before = await _known(engine, user_id)
    _check_role(role)
    if before.role == role:
        return before
    await _check_others(engine, before)
    after = replace(before, role=role)
    await _change(engine, actor, before, after, {"what": "role", "role": role})
    return after


async def set_disabled(engine: Engine, actor: str, user_id: str, disabled: bool) -> User:
    """Let somebody in no more, or again. Raises Refused, as `set_role`."""
    before = await _known(engine, user_id)
    if bool(before.disabled_at) == disabled:
        return before
    if disabled:
        await _check_others(engine, before)
    after = replace(before, disabled_at=engine.clock.now() if disabled else 0)
    body = {"what": "disabled" if disabled else "enabled"}
    await _change(engine, actor, before, after, body)
    return after


async def _known(engine: Engine, user_id: str) -> User:
    """By id or login. Raises Refused."""
    found = await engine.store.user(user_id) or await engine.store.user_by_login(user_id.lower())
    if found is None:
        raise Refused(Reason.NOT_FOUND, "There is no such user.")
    return found


async def _check_others(engine: Engine, user: User) -> None:
    """Somebody must be left who can let others in."""
    if user.role != "admin" or user.disabled_at:
        return
    users = await engine.store.users()
    if not any(u.role == "admin" and not u.disabled_at and u.id != user.id for u in users):
        raise Refused(Reason.WRONG_STATE, "This is the last admin; make another one first.")


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise Refused(Reason.VALIDATION, f"A role is one of {', '.join(ROLES)}.")


async def _change(
    engine: Engine, actor: str, before: User, after: User, body: dict[str, Any]
) -> None:
    make = _event(engine, actor, "user.changed", {"user": before.id, **body})
    if not await engine.store.change_user(before, after, make):
        raise Refused(Reason.WRONG_STATE, "Somebody else changed this user meanwhile; look again.")


def _event(engine: Engine, actor: str, type_: EventType, body: dict[str, Any]) -> Make:
    now, fact = engine.clock.now(), engine.new_id()

    def make(head: Head) -> Event:
        return link(head.stream, head.seq + 1, head.hash, now, type_, actor, fact, "", body)

    return make
