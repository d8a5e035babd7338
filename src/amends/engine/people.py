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
from msgspec.structs import asdict, replace

from amends.core.events import Event, EventType, link
from amends.core.reasons import Reason, Refused
from amends.engine import passwords
from amends.engine.vault import Vault
from amends.engine.wiring import Engine
from amends.kernel.time import HOUR, MINUTE, Instant
from amends.store.desk_spec import Make
from amends.store.records import Head, Session, User

STREAM = "system:people"
ROLES = ("viewer", "agent", "reviewer", "finance", "admin")  # each may what those before it may
IDLE, HOLDS, TOUCH = 30 * MINUTE, 12 * HOUR, 1 * MINUTE
STEP_HOLDS = 10 * MINUTE  # between password and code
FREE_TRIES, FREE_FROM_PLACE = 5, 50  # that fail, before a login, or an address, has to wait
LOCKED = 15 * MINUTE  # so long, and failures that began longer ago do not count any more
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
        key = await self._begin("login", login, address)
        user = await self._engine.store.user_by_login(login)
        hashed = user.password if user and not user.disabled_at else ""
        right = await self._hashing.right(hashed, password[: passwords.LONGEST + 1])
        if user is None or not right:
            await self._failed(user.id if user else "", "password", address)
            raise Refused(Reason.UNAUTHENTICATED, "This login or this password is wrong.")
        await self._engine.store.clear_tries(key)
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
        key = await self._begin("code", user.id, address)
        secret = step.secret or self.vault.open(user.totp, f"totp {user.id}") or ""
        found = passwords.step_of(secret, code, now, user.totp_step) if secret else 0
        if not found:
            await self._failed(user.id, "code", address)
            raise Refused(Reason.UNAUTHENTICATED, "This code is wrong, or was used before.")
        if step.secret:
            totp = self.vault.seal(step.secret, f"totp {user.id}")
            await self._changed(user, replace(user, totp=totp, totp_step=found), "codes")
        elif not await self._engine.store.change_user(
            user.id, {"totp_step": found}, {"totp_step": user.totp_step}
        ):
            raise Refused(Reason.UNAUTHENTICATED, "This code is wrong, or was used before.")
        await self._engine.store.clear_tries(key)
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

    async def session(self, cookie: str, by_itself: bool = False) -> tuple[Session, User] | None:
        """The session a cookie names, None if it has ended: by idleness, age, or its user's. What a
        page asks for `by_itself` is no sign of anybody, and does not prolong it."""
        session = await self._engine.store.session(_hash(cookie)) if cookie else None
        user = await self._engine.store.user(session.user_id) if session else None
        if session is None or user is None:
            return None
        now = self._engine.clock.now()
        if user.disabled_at or now >= session.expires_at or now - session.seen_at >= IDLE:
            return None
        if now - session.seen_at >= TOUCH and not by_itself:
            await self._engine.store.touch_session(session.hash, now)
        return session, user

    async def names(self) -> dict[str, str]:
        """How people are called, by actor ("person:usr_…")."""
        return {f"person:{user.id}": user.name for user in await self._engine.store.users()}

    async def sign_out(self, session: Session) -> None:
        """Ends the session, here and for whoever else has its cookie."""
        if await self._engine.store.drop_session(session.hash):
            await self._note(f"person:{session.user_id}", "sign_out.done", {})

    async def open(self, user: User, agent: str) -> Opened:
        """Begin a session of somebody who has proved who they are. Its cookie is always a new one:
        one from before signing in is worth nothing."""
        cookie, now = secrets.token_urlsafe(32), self._engine.clock.now()
        token = secrets.token_urlsafe(32)
        await self._engine.store.forget_sign_ins(now - LOCKED)
        await self._note(f"person:{user.id}", "sign_in.done", {})  # no session without its event
        await self._engine.store.add_session(
            Session(_hash(cookie), user.id, "", token, now, now, now + HOLDS, agent[:200])
        )
        return Opened(cookie, user)

    async def _begin(self, kind: str, name: str, address: str) -> str:
        """Count a try before it is looked at, so that many at once are counted too; the key to
        clear if it was right. Raises Refused(RATE_LIMITED)."""
        store, now = self._engine.store, self._engine.clock.now()
        key = _key(kind, name)
        waits = max(await store.locked_until(key), await store.locked_until(_place(address)))
        if waits <= now:
            since, most = now - LOCKED, FREE_TRIES + 1
            waits = await store.count_try(key, now, since, most, now + LOCKED)
        if waits > now:
            minutes = (waits - now + MINUTE - 1) // MINUTE
            detail = f"Too many tries. Wait {minutes} minutes and sign in again."
            raise Refused(Reason.RATE_LIMITED, detail)
        return key

    async def _failed(self, user_id: str, what: str, address: str) -> None:
        now = self._engine.clock.now()
        await self._engine.store.count_try(
            _place(address), now, now - LOCKED, FREE_FROM_PLACE, now + LOCKED
        )
        actor = f"person:{user_id}" if user_id else "person:unknown"
        await self._note(actor, "sign_in.failed", {"what": what})

    async def _note(self, actor: str, type_: EventType, body: dict[str, Any]) -> None:
        make = _event(self._engine, actor, type_, body)
        await self._engine.store.append_system(STREAM, make)

    async def _changed(self, before: User, after: User, what: str) -> None:
        actor = f"person:{before.id}"
        if not await _put(self._engine, actor, before, after, {"what": what}):
            raise Refused(Reason.UNAUTHENTICATED, "Somebody was faster. Sign in again.")


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


def _place(address: str) -> str:
    return _key("address", address)


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
    now = engine.clock.now()
    user = User(f"usr_{engine.new_id()}", login, name, role, hashed, created_at=now)
    body = {"user": user.id, "role": role}
    if not await engine.store.add_user(user, _event(engine, actor, "user.added", body)):
        raise Refused(Reason.VALIDATION, "There is a user with this login already.")
    return user, password


async def reset(engine: Engine, actor: str, user_id: str) -> tuple[User, str]:
    """A new one-time password; the authenticator app is enrolled anew with it. Raises Refused."""
    before = await _known(engine, actor, user_id)
    password = passwords.one_time()
    hashed = await passwords.Hashing().hash(password)
    after = replace(before, password=hashed, password_at=0, totp="", totp_step=0)
    await _change(engine, actor, before, after, {"what": "reset"})
    for key in (_key("login", before.login), _key("code", before.id)):
        await engine.store.clear_tries(key)
    return after, password


async def set_role(engine: Engine, actor: str, user_id: str, role: str) -> User:
    """Raises Refused, also where nobody would be left to do what only an admin may."""
    before = await _known(engine, actor, user_id)
    _check_role(role)
    if before.role == role:
        return before
    await _check_others(engine, before)
    after = replace(before, role=role)
    await _change(engine, actor, before, after, {"what": "role", "role": role})
    return after


async def set_disabled(engine: Engine, actor: str, user_id: str, disabled: bool) -> User:
    """Let somebody in no more, or again. Raises Refused, as `set_role`."""
    before = await _known(engine, actor, user_id)
    if bool(before.disabled_at) == disabled:
        return before
    if disabled:
        await _check_others(engine, before)
    after = replace(before, disabled_at=engine.clock.now() if disabled else 0)
    body = {"what": "disabled" if disabled else "enabled"}
    await _change(engine, actor, before, after, body)
    return after


async def _known(engine: Engine, actor: str, user_id: str) -> User:
    """By id or login. Raises Refused, also for whoever would change themselves."""
    found = await engine.store.user(user_id) or await engine.store.user_by_login(user_id.lower())
    if found is None:
        raise Refused(Reason.NOT_FOUND, "There is no such user.")
    if actor == f"person:{found.id}":
        raise Refused(Reason.WRONG_STATE, "Another admin has to do this to you.")
    return found


async def _check_others(engine: Engine, user: User) -> None:
    """Somebody must be left who can let others in."""
    if not _lets_in(user):
        return
    users = await engine.store.users()
    if not any(_lets_in(u) and u.id != user.id for u in users):
        raise Refused(Reason.WRONG_STATE, "This is the last admin; make another one first.")


def _lets_in(user: User) -> bool:
    return user.role == "admin" and not user.disabled_at


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise Refused(Reason.VALIDATION, f"A role is one of {', '.join(ROLES)}.")


async def _change(
    engine: Engine, actor: str, before: User, after: User, body: dict[str, Any]
) -> None:
    if not await _put(engine, actor, before, after, body):
        raise Refused(Reason.WRONG_STATE, "Somebody else changed this user meanwhile; look again.")


async def _put(engine: Engine, actor: str, before: User, after: User, body: dict[str, Any]) -> bool:
    """Change what differs, if nobody was faster. Sessions end first, and those that began in
    between end after: no crash leaves one that should have ended."""
    was, now = asdict(before), asdict(after)
    changes = {name: value for name, value in now.items() if value != was[name]}
    expect = {name: was[name] for name in changes}
    make = _event(engine, actor, "user.changed", {"user": before.id, **body})
    leaves = "admin" if _lets_in(before) and not _lets_in(after) else ""
    await engine.store.drop_sessions(before.id)
    if not await engine.store.change_user(before.id, changes, expect, make, leaves):
        return False
    await engine.store.drop_sessions(before.id)
    return True


def _event(engine: Engine, actor: str, type_: EventType, body: dict[str, Any]) -> Make:
    now, fact = engine.clock.now(), engine.new_id()

    def make(head: Head) -> Event:
        return link(head.stream, head.seq + 1, head.hash, now, type_, actor, fact, "", body)

    return make
