"""The OpenAPI 3.1 document, from the same rows and structs that serve the calls."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from amends import __version__
from amends.core.reasons import SENTENCES, Reason
from amends.core.requests import OrderIn, RefundIn
from amends.doors import shapes
from amends.doors.calls import BODY_MAX, KEY_MAX, WAIT_MAX, Call
from amends.doors.problems import STATUS
from amends.kernel.currency import EXPONENT

_REF = "#/components/schemas/{name}"
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Repeating the request with the same key and body gives the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MAX, "pattern": "^[!-~]+$"},
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": f"`wait=N`: wait up to N seconds (1 to {WAIT_MAX}) for an end state.",
    "schema": {"type": "string"},
    "example": "wait=5",
}


def document(calls: Iterable[Call]) -> dict[str, Any]:
    """The whole document."""
    rows = list(calls)
    paths: dict[str, dict[str, Any]] = {}
    for call in rows:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "amends",
            "version": __version__,
            "description": "Refund automation. Amounts are integers in the minor unit of their "
            "currency; instants are RFC 3339, UTC. Errors are application/problem+json with a "
            "stable `code`.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(rows),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key made by `amends key create`.",
                }
            },
        },
    }


def _types(rows: Iterable[Call]) -> list[Any]:
    found: list[Any] = [shapes.Problem]
    for call in rows:
        found += [call.body] if call.body else []
        found += [kind for kinds in call.answers.values() for kind in _kinds(kinds)]
    return found


def _kinds(kinds: tuple[type, ...] | type | None) -> tuple[type, ...]:
    if kinds is None:
        return ()
    return kinds if isinstance(kinds, tuple) else (kinds,)


def _schemas(rows: Iterable[Call]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components(_types(rows), ref_template=_REF)
    _refine(components)
    return components


def _refine(schemas: dict[str, Any]) -> None:
    """What structs cannot say: which fields exclude each other, and formats. Null is taken where a
    field may be left out, but only leaving it out is documented."""
    refund, order = schemas[RefundIn.__name__], schemas[OrderIn.__name__]
    for schema in (refund, order):
        for name, field in schema["properties"].items():
            schema["properties"][name] = _without_null(field)
    named = ("order", "payment", "quote")
    refund["oneOf"] = [{"required": [name]} for name in named]
    parts = [{"required": ["lines"]}, {"required": ["shipping"]}]
    refund["not"] = {"required": ["amount"], "anyOf": parts}
    order["properties"]["currency"] = {"type": "string", "enum": sorted(EXPONENT)}
    order["properties"]["placed_at"] = {"type": "string", "format": "date-time"}
    schemas[shapes.Problem.__name__]["properties"]["code"] = {
        "type": "string",
        "enum": [str(reason) for reason in Reason],
    }


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    options = field.get("anyOf")
    if options is None or {"type": "null"} not in options:
        return field
    kept = [option for option in options if option != {"type": "null"}]
    rest = {name: value for name, value in field.items() if name not in ("anyOf", "default")}
    return {**rest, **kept[0]} if len(kept) == 1 else {**rest, "anyOf": kept}


def _operation(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.words,
        "tags": [call.path.split("/")[2] if call.path.startswith("/v1/") else "service"],
        "parameters": _parameters(call),
        "responses": _responses(call),
        "security": [{"key": []}] if call.scopes else [],
    }
    if call.scopes:
        found["description"] = f"Scope: any of {', '.join(call.scopes)}, or admin."
    if call.body is not None:
        schema = {"$ref": _REF.format(name=call.body.__name__)}
        found["requestBody"] = {
            "required": call.body_required,
            "content": {"application/json": {"schema": schema}},
        }
    if call.raw:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {}}},
            "description": f"As the connection's gateway sends it; at most {BODY_MAX} bytes.",
        }
    return found


def _parameters(call: Call) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,255}$"},
        }
        for name in re.findall(r"\{(\w+)\}", call.path)
    ]
    found += [
        {
            "name": query.name,
            "in": "query",
            "required": query.required,
            "description": query.words,
            "schema": query.schema,
        }
        for query in call.query
    ]
    if call.key:
        found.append({**_KEY, "required": call.key == "required"})
    if call.waits:
        found.append(_PREFER)
    return found


def _responses(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, kinds in call.answers.items():
        found[str(status)] = {
            "description": "As asked." if status == 200 else "Made, and on disk.",
            "content": {call.media: {"schema": _schema_of(kinds)}},
            **({"headers": _replay_headers(call)} if call.key else {}),
        }
    for status, reasons in _refusals(call).items():
        words = " ".join(f"`{reason}`: {SENTENCES[reason]}" for reason in reasons)
        problem = {"$ref": _REF.format(name=shapes.Problem.__name__)}
        found[str(status)] = {
            "description": words,
            "content": {"application/problem+json": {"schema": problem}},
        }
    return found


def _schema_of(kinds: tuple[type, ...] | type | None) -> dict[str, Any]:
    schemas = [{"$ref": _REF.format(name=kind.__name__)} for kind in _kinds(kinds)]
    if not schemas:
        return {"type": "string"}
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _replay_headers(call: Call) -> dict[str, Any]:
    headers: dict[str, Any] = {
        "Idempotent-Replayed": {
            "description": "`true` when this is the first answer to this key again.",
            "schema": {"type": "string", "enum": ["true"]},
        }
    }
    if call.waits:
        headers["Preference-Applied"] = {
            "description": "`wait=N` when the answer waited.",
            "schema": {"type": "string"},
        }
    return headers


def _refusals(call: Call) -> dict[int, list[Reason]]:
    """What this call may refuse, by status in ascending order."""
    reasons = {*call.refusals, Reason.INTERNAL}
    if call.path not in ("/healthz", "/metrics") or call.scopes:
        reasons.add(Reason.STORE_UNAVAILABLE)
    if call.scopes:
        reasons |= {Reason.UNAUTHENTICATED, Reason.FORBIDDEN}
    reasons.add(Reason.VALIDATION)  # a query parameter the call does not have
    if call.method == "POST":
        reasons.add(Reason.RATE_LIMITED)
    if call.takes_body:
        reasons |= {Reason.TOO_LARGE, Reason.MALFORMED}
    found: dict[int, list[Reason]] = {}
    for reason in Reason:
        if reason in reasons:
            found.setdefault(STATUS[reason], []).append(reason)
    return dict(sorted(found.items()))
