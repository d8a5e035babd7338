"""A visit: one request of a browser, what is known of who makes it, and how it is answered."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from litestar.types import ASGIApp

from amends.core.reasons import Reason, Refused
from amends.doors.console.render import Paper
from amends.engine.asks import Rendered
from amends.engine.people import ROLES, Doorman
from amends.engine.wiring import Engine
from amends.store.records import Session, User

FORM_MAX = 64 * 1024  # bytes of a form
FIELDS_MAX = 250  # a page of 200 that are ticked, and what the form says of them all
SESSION, STEP, VISIT, THEME = "amends", "amends-step", "amends-visit", "amends-theme"
BY_ITSELF = "x-by-itself"  # a header of what a page asks for when nobody has touched it
THEMES = ("auto", "light", "dark")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# Not `no-referrer`: with it a browser says "Origin: null" of our own forms.
SAFE = (
    ("content-security-policy", CSP),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
)
HTML = (*SAFE, ("content-type", "text/html; charset=utf-8"), ("cache-control", "no-store"))

Reply = Rendered | ASGIApp


class Route(msgspec.Struct, frozen=True):
    """One row of the console's table: what answers a method at a path, the least role that may ask
    it ("" for everybody), how many bytes its form may have, and whether pages ask it by
    themselves."""

    method: str
    path: str
    role: str
    run: Callable[[Visit], Awaitable[Reply]]
    most: int = FORM_MAX
    by_itself: bool = False


@dataclass
class Visit:
    """One request. `form` is what was posted, `session` and `user` None before signing in."""

    engine: Engine
    doorman: Doorman
    paper: Paper
    shared: dict[str, Any]  # of the process: what pages of several visits have in common
    where: str  # path and query, to come back to
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    address: str
    form: Mapping[str, str] = field(default_factory=dict)
    session: Session | None = None
    user: User | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    sets: list[tuple[str, str]] = field(default_factory=list)

    # -- cookies -------------------------------------------------------------------------------

    @property
    def secure(self) -> bool:
        """Only a browser on this very machine is served without TLS."""
        host = self.headers.get("host", "")
        bare = host if host.endswith("]") else host.rpartition(":")[0] or host
        return bare not in _LOOPBACK

    def cookie(self, name: str) -> str:
        wanted = self._named(name)
        for part in self.headers.get("cookie", "").split(";"):
            found, _, value = part.strip().partition("=")
            if found == wanted:
                return value
        return ""

    def keep(self, name: str, value: str, seconds: int | None = None) -> None:
        """Set a cookie; "" takes it away. Without `seconds` it ends with the browser."""
        parts = [f"{self._named(name)}={value}", "Path=/", "HttpOnly", "SameSite=Strict"]
        if self.secure:
            parts.append("Secure")
        if not value:
            seconds = 0
        if seconds is not None:
            parts.append(f"Max-Age={seconds}")
        self.sets.append(("set-cookie", "; ".join(parts)))

    def _named(self, name: str) -> str:
        return f"__Host-{name}" if self.secure else name

    @property
    def theme(self) -> str:
        said = self.cookie(THEME)
        return said if said in THEMES else "auto"

    # -- forms ---------------------------------------------------------------------------------

    @property
    def token(self) -> str:
        """What every form carries: the session's, or before signing in one of the browser's."""
        if self.session is not None:
            return self.session.csrf
        mine = self.cookie(VISIT) or self.shared_visit()
        return self.doorman.vault.mark(mine, "form")

    def shared_visit(self) -> str:
        """A new name for a browser that has none."""
        for _, text in self.sets:
            name, _, rest = text.partition("=")
            if name == self._named(VISIT):
                return rest.partition(";")[0]
        mine = secrets.token_urlsafe(24)
        self.keep(VISIT, mine)
        return mine

    def check_form(self) -> None:
        """The form is one of ours, made for this session. Raises Refused(FORBIDDEN)."""
        before = self.session is not None or self.cookie(VISIT)
        said = self.form.get("token", "").encode()
        if not before or not hmac.compare_digest(said, self.token.encode()):
            raise Refused(Reason.FORBIDDEN, FORGED)

    # -- who -----------------------------------------------------------------------------------

    def may(self, role: str) -> bool:
        """Whether whoever is signed in has at least this role."""
        return not role or (
            self.user is not None and ROLES.index(self.user.role) >= ROLES.index(role)
        )

    @property
    def me(self) -> User:
        if self.user is None:
            raise Refused(Reason.UNAUTHENTICATED)
        return self.user

    def who(self, actor: str) -> str:
        """An actor as people know it."""
        return self.names.get(actor, actor)

    @property
    def actor(self) -> str:
        return f"person:{self.me.id}"

    # -- answers -------------------------------------------------------------------------------

    def page(self, template: str, status: int = 200, /, **values: Any) -> Rendered:
        """A page of a template."""
        body = self.paper.page(template, visit=self, **values)
        return Rendered(status, body, (*HTML, *self.sets))

    def go(self, path: str) -> Rendered:
        """To another page, by GET."""
        return Rendered(303, b"", (*SAFE, ("location", path), *self.sets))


FORGED = (
    "This form was not sent from this page, or the page is of another sign-in. Nothing was done. "
    "Go back, load the page again and send it once more."
)


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a form comes from our own pages."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site is not None
    return urlsplit(origin).netloc == headers.get("host", "")


def fields(raw: bytes) -> dict[str, str]:
    """A query or a form. Raises Refused for what is none, or names a field twice."""
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError:
        raise Refused(Reason.MALFORMED, "This is not a form that the console sent.") from None
    found = dict(pairs)
    if len(found) < len(pairs) or any("\0" in text for pair in pairs for text in pair):
        raise Refused(Reason.MALFORMED, "This is not a form that the console sent.")
    return found


def local(path: str) -> str:
    """Where to go on, if that is one of our own pages; else the first page."""
    inside = path == "/console" or path.startswith(("/console/", "/console?"))
    plain = path.isascii() and path.isprintable() and not set(path) & set('\\"<> ')
    plain = plain and ".." not in path
    return path if inside and plain and "/console/sign-in" not in path else "/console"
