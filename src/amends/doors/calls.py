"""A call of the API as a row of a table: address, method, scopes, body, answers, and what runs.

The router, the OpenAPI document and the tests read the same rows. `bind` makes a row a handler:
authenticate, read the body within its limit, run, answer; every refusal becomes a problem document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
import structlog
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from amends.core.reasons import Reason, Refused
from amends.doors.keys import Keys
from amends.doors.meter import Meter
from amends.doors.problems import invalid, problem, refuse
from amends.engine.actions import Caller, Render
from amends.engine.asks import Rendered, Told
from amends.engine.wiring import Engine
from amends.store.spec import StoreUnavailable

log = structlog.get_logger()

BODY_MAX = 1024 * 1024  # bytes; promised
WAITING_MAX = 20_000  # asks in the queue; a caller beyond is told to come back (429)
WAIT_MAX = 30  # seconds of `Prefer: wait`
KEY_MAX = 255

T = TypeVar("T")
Headers = tuple[tuple[str, str], ...]
JSON: Headers = (("content-type", "application/json"), ("cache-control", "no-store"))


class Asked(msgspec.Struct):
    """One authenticated request. `key` is the Idempotency-Key ("" for none), `wait` the seconds of
    `Prefer: wait`, `query` what the row allows and nothing else, `headers` in lower case, `role` as
    what the key decides ("" where it may not)."""

    engine: Engine
    actor: str
    principal: str
    route: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    key: str = ""
    wait: int = 0
    body: bytes = b""
    role: str = ""

    def caller(self, render: Render) -> Caller:
        return Caller(self.actor, self.principal, self.route, self.key, render)


class Query(msgspec.Struct, frozen=True):
    """A query parameter; `schema` is its JSON schema."""

    name: str
    words: str
    schema: dict[str, Any]
    required: bool = False


class Call(msgspec.Struct, frozen=True):
    """One row. `scopes`: any of them lets in; empty: open to all (a webhook brings its signature).

    `key` says whether an Idempotency-Key is "required", "optional" or not looked at (""); `answers`
    are the good answers by status (a struct, one of several, or None for text), `refusals` what
    may be told beside what every call may tell.
    """

    name: str
    method: str
    path: str
    words: str
    run: Callable[[Asked], Awaitable[Rendered]]
    scopes: tuple[str, ...] = ()
    body: type | None = None
    body_name: str = ""  # of its schema, if not the struct's
    body_required: bool = True
    raw: bool = False  # takes bytes of any shape
    query: tuple[Query, ...] = ()
    key: str = ""
    waits: bool = False
    answers: Mapping[int, tuple[type, ...] | type | None] = {}
    refusals: Sequence[Reason] = ()
    media: str = "application/json"

    @property
    def takes_body(self) -> bool:
        return self.body is not None or self.raw


class Answer:
    """A rendered answer as an ASGI application; cheaper than a framework's response object."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, rendered: Rendered) -> None:
        self._status, self._body = rendered.status, rendered.body
        self._headers = [(n.encode(), v.encode("latin-1")) for n, v in rendered.headers]
        if rendered.status != 204:
            self._headers.append((b"content-length", str(len(rendered.body)).encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self._status, "headers": self._headers}
        )
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


def bind(calls: Sequence[Call], engine: Engine, keys: Keys, meter: Meter) -> HTTPRouteHandler:
    """The handler of one address, with all its methods; OPTIONS tells which they are."""
    rows = {call.method: (call, f"{call.method} {call.path}") for call in calls}
    methods = sorted({*rows, "OPTIONS"})
    allow = Answer(Rendered(204, b"", (("allow", ", ".join(methods)),)))

    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        begun = perf_counter()
        if request.scope["method"] not in rows:
            return allow
        call, route = rows[request.scope["method"]]
        rendered = await _answer(call, route, engine, keys, request)
        meter.answered(call.name, rendered.status, perf_counter() - begun)
        return Answer(rendered)

    path = calls[0].path.replace("}", ":str}")
    route = HTTPRouteHandler(path, http_method=methods, status_code=200, include_in_schema=False)  # type: ignore[arg-type]
    return route(handle)


async def _answer(
    call: Call, route: str, engine: Engine, keys: Keys, request: Request[Any, Any, Any]
) -> Rendered:
    """Run it; whatever is raised is told as a problem."""
    try:
        scope = request.scope
        headers = _headers(scope)
        actor = principal = role = ""
        if call.scopes:
            actor, principal, role = await keys.admit(headers.get("authorization", ""), call.scopes)
        asked = Asked(
            engine=engine,
            actor=actor,
            principal=principal,
            route=route,
            path=scope["path_params"],
            query=_query(call, scope["query_string"]),
            headers=headers,
            key=_key(call, headers) if call.key else "",
            wait=_wait(headers.get("prefer", "")) if call.waits else 0,
            role=role,
        )
        if call.raw or call.method in ("POST", "PUT"):
            if engine.turner.waiting > WAITING_MAX:
                return refuse(Reason.RATE_LIMITED)
            if call.raw and asked.path["connection"] not in engine.connections:
                return refuse(Reason.UNKNOWN_CONNECTION)  # a stranger's body is not even read
            if call.takes_body:
                asked.body = await read_body(headers, request.receive)
        return await call.run(asked)
    except Refused as refused:
        return problem(refused.refusal)
    except StoreUnavailable as error:
        log.warning("store unavailable", call=call.name, error=str(error))
        return refuse(Reason.STORE_UNAVAILABLE)
    except Exception:
        log.exception("request failed", call=call.name)
        return refuse(Reason.INTERNAL)


def _headers(scope: Scope) -> dict[str, str]:
    """By name; the values of a name that comes twice are one list (RFC 9110, 5.3), as a sender has
    it that signs by its old and by its new secret."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    found = dict(pairs)
    if len(found) < len(pairs):
        for name in found:
            found[name] = ", ".join(value for other, value in pairs if other == name)
    return found


def _query(call: Call, raw: bytes) -> dict[str, str]:
    """A misspelt filter is an error: it would answer with everything."""
    if not raw:
        return {}
    known = {query.name for query in call.query}
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:  # also UnicodeDecodeError
        raise Refused(Reason.VALIDATION, "The query is not percent-encoded UTF-8.") from None
    for name, value in pairs:
        wrong = ""
        if name not in known:
            wrong = "is not a parameter of this call"
        elif name in found:
            wrong = "is given twice"
        elif "\0" in value:
            wrong = "holds the character U+0000"
        if wrong:
            raise Refused(Reason.VALIDATION, f"{name!r} {wrong}.", parameter=name)
        found[name] = value
    return found


def _key(call: Call, headers: Mapping[str, str]) -> str:
    key = headers.get("idempotency-key")
    if key is None and call.key == "optional":
        return ""
    if not key or len(key) > KEY_MAX or not key.isascii() or not key.isprintable():
        raise Refused(Reason.IDEMPOTENCY_KEY_MISSING)
    return key


def _wait(prefer: str) -> int:
    """Seconds of `Prefer: wait=N` (RFC 7240), 0 for none or one we do not honour."""
    for part in prefer.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "wait" and value.isascii() and value.isdigit() and len(value) < 4:
            return int(value) if int(value) <= WAIT_MAX else 0
    return 0


async def read_body(headers: Mapping[str, str], receive: Receive) -> bytes:
    """The whole body. Raises Refused(TOO_LARGE) as soon as it is known to be too large, whether
    it said its length or comes in chunks."""
    length = headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length) > BODY_MAX:
        raise Refused(Reason.TOO_LARGE)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message["body"]
        if len(body) > BODY_MAX:
            raise Refused(Reason.TOO_LARGE)
        return body
    parts: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        parts.append(message["body"])
        size += len(message["body"])
        if size > BODY_MAX:
            raise Refused(Reason.TOO_LARGE)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise Refused(Reason.MALFORMED, "The connection ended before the body did.")


def decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """The body as its struct. Raises Refused: MALFORMED where it is no JSON, VALIDATION with a
    pointer where it is not the JSON this call takes."""
    try:
        found = decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(Reason.MALFORMED) from None
    except ValueError:  # an integer of thousands of digits
        raise Refused(Reason.VALIDATION, "A number is too large.", pointer="") from None
    if b"\\u0000" in raw:
        _refuse_nul(msgspec.to_builtins(found), "")
    return found


def _refuse_nul(value: Any, pointer: str) -> None:
    """Databases end text at U+0000."""
    if isinstance(value, str) and "\0" in value:
        raise Refused(Reason.VALIDATION, "A text holds the character U+0000.", pointer=pointer)
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_nul(item, f"{pointer}/{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_nul(item, f"{pointer}/{index}")


encode = msgspec.json.Encoder().encode


def fine(view: Any, status: int = 200) -> Rendered:
    """A good answer."""
    return Rendered(status, encode(view), JSON)


def finish(told: Told) -> Rendered:
    """What a caller gets after the commit: the first answer again, or the one just made."""
    if told.mismatch:
        raise Refused(Reason.IDEMPOTENCY_MISMATCH, field=told.mismatch)
    if told.replayed and told.answer is not None:
        first = told.answer
        replayed = (*first.headers, ("idempotent-replayed", "true"))
        return Rendered(first.status, first.body, replayed)
    if told.rendered is None:
        raise Refused(Reason.INTERNAL)
    return told.rendered
