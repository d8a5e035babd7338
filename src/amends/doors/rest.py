"""REST and webhooks: the application that uvicorn serves."""

from __future__ import annotations

import re
from typing import Any

import structlog
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from amends.core.reasons import Reason
from amends.doors import (
    books,
    deliveries,
    health,
    orders,
    policies,
    refunds,
    returns,
    reviews,
    stock,
    webhooks,
)
from amends.doors.calls import Asked, Call, bind, encode
from amends.doors.console import routes as console
from amends.doors.keys import Keys
from amends.doors.meter import Meter
from amends.doors.openapi import document
from amends.doors.problems import refuse
from amends.engine.asks import Rendered
from amends.engine.wiring import Engine

log = structlog.get_logger()

CALLS = (
    *(*orders.CALLS, *refunds.CALLS, *returns.CALLS, *reviews.CALLS, *policies.CALLS),
    *(*books.CALLS, *deliveries.CALLS, *stock.CALLS, *webhooks.CALLS),
)


def app(engine: Engine) -> Litestar:
    """The application over an engine that is started and stopped by whoever made it."""
    keys, meter = Keys(engine.store, engine.clock), Meter(engine)
    rows = (*CALLS, *health.calls(meter, engine.config.server.metrics_key))
    rows = (*rows, _described(rows))
    return Litestar(
        route_handlers=[
            *(bind(calls, engine, keys, meter) for calls in _by_path(rows)),
            *console.handlers(engine, meter),
        ],
        exception_handlers={Exception: _Elsewhere(rows)},
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


def _by_path(rows: tuple[Call, ...]) -> list[list[Call]]:
    found: dict[str, list[Call]] = {}
    for call in rows:
        found.setdefault(call.path, []).append(call)
    return list(found.values())


def _described(rows: tuple[Call, ...]) -> Call:
    """`/openapi.json`, made once."""
    body = encode(document(rows))

    async def run(asked: Asked) -> Rendered:
        return Rendered(200, body, (("content-type", "application/json"),))

    words = "This document."
    return Call("openapi", "GET", "/openapi.json", words, run, answers={200: None})


class _Elsewhere:
    """What no call answers: wrong addresses and methods, and defects of the router itself."""

    def __init__(self, rows: tuple[Call, ...]) -> None:
        self._rows = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", c.path)), c.method) for c in rows]

    def __call__(self, request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        if isinstance(error, MethodNotAllowedException):
            allowed = {m for path, m in self._rows if path.fullmatch(request.scope["path"])}
            more = {"allow": ", ".join(sorted({*allowed, "OPTIONS"}))}
            return _respond(refuse(Reason.METHOD_NOT_ALLOWED), more)
        if isinstance(error, NotFoundException):
            return _respond(refuse(Reason.NOT_FOUND))
        if isinstance(error, HTTPException) and error.status_code < 500:
            return _respond(refuse(Reason.MALFORMED, "This is not a request amends can read."))
        log.error("router failed", path=request.scope["path"], exc_info=error)
        return _respond(refuse(Reason.INTERNAL))


def _respond(rendered: Rendered, more: dict[str, str] | None = None) -> Response[bytes]:
    headers = {**dict(rendered.headers), **(more or {})}
    media = headers.pop("content-type")
    return Response(rendered.body, status_code=rendered.status, headers=headers, media_type=media)
