"""The console's table of routes, and how a visit is let in, answered and refused.

Each row names the least role that may ask it; it is checked here, on the server, for every visit,
whatever the page before it showed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from time import perf_counter
from typing import Any
from urllib.parse import quote

import structlog
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from amends.core.reasons import Reason, Refusal, Refused
from amends.doors.calls import Answer, read_body
from amends.doors.console import (
    acting,
    books,
    desk,
    home,
    live,
    outlets,
    people,
    policies,
    reviews,
    risk,
    signing,
    static,
)
from amends.doors.console.render import Paper
from amends.doors.console.web import (
    BY_ITSELF,
    FORGED,
    SAFE,
    SESSION,
    Reply,
    Route,
    Visit,
    local,
    same_origin,
)
from amends.doors.console.web import fields as read_fields
from amends.doors.meter import Meter
from amends.doors.problems import STATUS
from amends.engine.asks import Rendered
from amends.engine.people import Doorman
from amends.engine.vault import Vault
from amends.engine.wiring import Engine
from amends.store.spec import StoreUnavailable

log = structlog.get_logger()

ROUTES: tuple[Route, ...] = (
    *signing.ROUTES,
    *home.ROUTES,
    *desk.ROUTES,
    *acting.ROUTES,
    *reviews.ROUTES,
    *policies.ROUTES,
    *risk.ROUTES,
    *books.ROUTES,
    *outlets.ROUTES,
    *people.ROUTES,
    *live.ROUTES,
    *static.ROUTES,
)


def handlers(engine: Engine, meter: Meter) -> list[HTTPRouteHandler]:
    """The console's handlers; without a key only the page that says how to get one."""
    if not engine.config.console.key:
        return [_nothing()]
    console = _Console(engine, meter)
    by_path: dict[str, list[Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, []).append(route)
    for path, rows in by_path.items():
        if all(row.method != "GET" for row in rows):
            rows.append(Route("GET", path, "", _page_before))
    return [*(console.bind(path, rows) for path, rows in by_path.items()), console.elsewhere()]


_PAGES = {
    re.compile(re.sub(r"\{\w+\}", "[^/]+", route.path)) for route in ROUTES if route.method == "GET"
}


async def _page_before(visit: Visit) -> Rendered:
    """To the page whose form is sent to this address: it is a page's own after a form was refused,
    and is asked for again by who changes the colours then, or comes back to it."""
    path = visit.where.partition("?")[0]
    while not any(page.fullmatch(path) for page in _PAGES):
        path = path.rpartition("/")[0]
    return visit.go(path)


def _nothing() -> HTTPRouteHandler:
    text = (
        'The console has no key yet. Write [console] key = "file:console.key" into amends.toml, '
        "run `amends init`, then `amends user add`, and start the server again.\n"
    )
    headers = (*SAFE, ("content-type", "text/plain; charset=utf-8"))

    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        return Answer(Rendered(404, text.encode(), headers))

    return _handler(["/console", "/console/{rest:path}"], ["GET"], handle)


def _handler(path: str | list[str], methods: list[str], handle: Any) -> HTTPRouteHandler:
    return HTTPRouteHandler(path, http_method=methods, include_in_schema=False)(handle)  # type: ignore[arg-type]


class _Console:
    def __init__(self, engine: Engine, meter: Meter) -> None:
        self._engine, self._meter = engine, meter
        self._doorman = Doorman(engine, Vault(engine.config.console.key))
        self._paper = Paper(engine.clock)
        self._shared: dict[str, Any] = {}

    def bind(self, path: str, rows: Sequence[Route]) -> HTTPRouteHandler:
        """The handler of one address with all its methods."""
        by_method = {route.method: route for route in rows}

        async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
            begun = perf_counter()
            route = by_method[request.scope["method"]]
            reply = await self._answer(route, request)
            status = reply.status if isinstance(reply, Rendered) else 200
            self._meter.answered(f"{route.method} {path}", status, perf_counter() - begun)
            return Answer(reply) if isinstance(reply, Rendered) else reply

        return _handler(path.replace("}", ":str}"), sorted(by_method), handle)

    def elsewhere(self) -> HTTPRouteHandler:
        """What no row answers."""

        async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
            visit = self._visit(request)
            refusal = Refusal(Reason.NOT_FOUND, "There is no page at this address.")
            return Answer(_refused(visit, refusal))

        return _handler("/console/{rest:path}", ["GET"], handle)

    def _visit(self, request: Request[Any, Any, Any]) -> Visit:
        scope = request.scope
        headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in scope["headers"]}
        client = scope.get("client")
        query = scope["query_string"].decode("latin-1")
        return Visit(
            *(self._engine, self._doorman, self._paper, self._shared),
            where=quote(scope["path"]) + (f"?{query}" if query else ""),
            path=scope["path_params"],
            query={},
            headers=headers,
            address=client[0] if client else "",
        )

    async def _answer(self, route: Route, request: Request[Any, Any, Any]) -> Reply:
        visit = self._visit(request)
        try:
            return await self._let_in(route, visit, request)
        except Refused as refused:
            return _refused(visit, refused.refusal)
        except StoreUnavailable as error:
            log.warning("store unavailable", page=route.path, error=str(error))
            detail = "The database is away. Nothing was lost; try again in a moment."
            return _refused(visit, Refusal(Reason.STORE_UNAVAILABLE, detail))
        except Exception:
            log.exception("page failed", page=route.path)
            detail = "This page has a defect. It has been logged; see what was done first."
            return _refused(visit, Refusal(Reason.INTERNAL, detail))

    async def _let_in(self, route: Route, visit: Visit, request: Request[Any, Any, Any]) -> Reply:
        posted = route.method == "POST"
        if posted and not same_origin(visit.headers):
            raise Refused(Reason.FORBIDDEN, FORGED)
        by_itself = route.by_itself or bool(visit.headers.get(BY_ITSELF))
        found = await self._doorman.session(visit.cookie(SESSION), by_itself)
        if found is not None:
            visit.session, visit.user = found
        visit.query = read_fields(request.scope["query_string"])
        if posted:
            body = await read_body(visit.headers, request.receive)
            if len(body) > route.most:
                most = f"{route.most // 1024} KiB"
                raise Refused(Reason.TOO_LARGE, f"The form is larger than {most}; send less.")
            visit.form = read_fields(body)
        if found is not None:
            visit.names = await self._doorman.names()
        elif route.role:
            return _to_sign_in(visit, posted)
        if posted:
            visit.check_form()
        if not visit.may(route.role):
            detail = f"This is for people with the role {route.role}; an admin can give it to you."
            raise Refused(Reason.FORBIDDEN, detail)
        return await route.run(visit)


def _to_sign_in(visit: Visit, posted: bool) -> Rendered:
    if visit.headers.get("hx-request"):
        # A part of a page cannot show the sign-in: the whole browser goes there.
        return Rendered(401, b"", (*SAFE, ("hx-redirect", "/console/sign-in")))
    back = "/console" if posted else local(visit.where)
    more = "" if back == "/console" else f"?next={quote(back)}"
    return visit.go(f"/console/sign-in{more}")


def _refused(visit: Visit, refusal: Refusal) -> Rendered:
    """A page that says why not, and where to go on."""
    return visit.page("refused.html", STATUS[refusal.reason], refusal=refusal)
