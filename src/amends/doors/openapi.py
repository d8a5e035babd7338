"""The OpenAPI document, from the same rows and structs that serve the calls.

It is version 3.0 and not 3.1, because in 3.1 the number 100.0 is an integer. Here it is not:
amounts written as floats are refused, whatever their value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from amends import __version__
from amends.core.reasons import SENTENCES, Reason
from amends.core.requests import OrderIn, RefundIn, TenderIn
from amends.doors import shapes, shapes_goods
from amends.doors.calls import BODY_MAX, KEY_MAX, WAIT_MAX, Call
from amends.doors.problems import STATUS
from amends.kernel.currency import EXPONENT

_REF = "#/components/schemas/{name}"
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Repeating the request with the same key and body gives the first answer again.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": KEY_MAX,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    },
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": f"`wait=N`: wait up to N seconds (1 to {WAIT_MAX}) for an end state.",
    "schema": {"type": "string"},
    "example": "wait=5",
}
# What is made by one call is read, or acted on, by others: call -> (parameter, calls).
LINKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "reportOrder": ("order", ("readOrder", "unparkOrder")),
    "createRefund": (
        "refund",
        (
            *("readRefund", "readTimeline"),
            *("approveRefund", "declineRefund", "cancelRefund", "retryRefund"),
        ),
    ),
    "authorizeReturn": (
        "return",
        ("shipReturn", "receiveReturn", "inspectReturn", "cancelReturn"),
    ),
}
_VAT = {"name": "VAT", "rate": "0.20"}
_TEA = {
    "id": "1",
    "sku": "TEA",
    "title": "Tea",
    "quantity": 3,
    "total": 9600,
    "fulfilled": 3,
    "taxes": [{**_VAT, "amount": 1600}],
}
EXAMPLES: dict[str, Any] = {
    "OrderIn": {
        "source": {"connection": "shop-1", "order_id": "1001"},
        "placed_at": "2026-11-01T10:00:00Z",
        "currency": "EUR",
        "customer": {"id": "c-1", "email": "a@example.com", "country": "DE"},
        "lines": [_TEA],
        "shipping": [{"id": "s1", "total": 600, "taxes": [{**_VAT, "amount": 100}]}],
        "tenders": [
            {
                "kind": "payment",
                "connection": "stripe-eu",
                "psp_payment_id": "pi_1",
                "amount": 10200,
                "captured": 10200,
            }
        ],
    },
    "RefundIn": {
        "order": {"connection": "shop-1", "order_id": "1001"},
        "reason": "return",
        "lines": [{"id": "1", "quantity": 1}],
        "note": "seal was broken",
    },
    "ReturnIn": {
        "order": {"connection": "shop-1", "order_id": "1001"},
        "lines": [{"id": "1", "quantity": 1}],
    },
    "QuoteIn": {
        "order": {"connection": "shop-1", "order_id": "1001"},
        "lines": [{"id": "1", "quantity": 1}],
        "shipping": "full",
    },
}


def document(calls: Iterable[Call]) -> dict[str, Any]:
    """The whole document."""
    rows = list(calls)
    paths: dict[str, dict[str, Any]] = {}
    for call in rows:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.0.3",
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


def _schemas(rows: list[Call]) -> dict[str, Any]:
    _, found = msgspec.json.schema_components(_types(rows), ref_template=_REF)
    schemas: dict[str, Any] = {name: _nullable(schema) for name, schema in found.items()}
    bodies = [call.body for call in rows if call.body]
    for name in msgspec.json.schema_components(bodies, ref_template=_REF)[1]:
        _without_nul(schemas[name])
    _refine(schemas)
    return schemas


# `nullable` speaks only of the type beside it, and a reference has none: null is one more case.
_NULL = {"type": "object", "nullable": True, "enum": [None]}


def _nullable(schema: Any) -> Any:
    """From JSON Schema 2020-12 to what OpenAPI 3.0 has: `nullable` for a type of null."""
    if isinstance(schema, list):
        return [_nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    fresh = {name: _nullable(value) for name, value in schema.items()}
    options = [option for option in fresh.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == len(fresh.get("anyOf", [])):
        return fresh
    rest = {name: value for name, value in fresh.items() if name != "anyOf"}
    if len(options) == 1 and "$ref" not in options[0]:
        one = options[0]
        if "enum" in one:  # null is one of its values, and there is a type to speak of
            one = {"type": "string", **one, "enum": [*one["enum"], None]}
        return {**rest, **one, "nullable": True}
    return {**rest, "anyOf": [*options, _NULL]}


def _without_nul(schema: Any) -> None:
    """No text that is sent may hold U+0000."""
    if isinstance(schema, list):
        for item in schema:
            _without_nul(item)
    if isinstance(schema, dict):
        if schema.get("type") == "string" and "pattern" not in schema:
            schema["pattern"] = "^[^\\u0000]*$"
        for item in schema.values():
            _without_nul(item)


def _refine(schemas: dict[str, Any]) -> None:
    """What structs cannot say: which fields exclude each other, and formats."""
    order = schemas[OrderIn.__name__]["properties"]
    order["currency"] = {"type": "string", "enum": sorted(EXPONENT)}
    order["placed_at"] = {"anyOf": [{"type": "string", "format": "date-time"}, {"enum": [""]}]}
    others = _given("kind", enum=["gift_card", "store_credit"])
    named = {"type": "string", "minLength": 1}
    paid = [_given("connection", **named), _given("psp_payment_id", **named)]
    schemas[TenderIn.__name__]["anyOf"] = [others, {"allOf": paid}]
    codes = [str(reason) for reason in Reason]
    schemas[shapes.Problem.__name__]["properties"]["code"] = {"type": "string", "enum": codes}
    counts = schemas[shapes_goods.CountsIn.__name__]["properties"]
    counts["at"] = {"type": "string", "format": "date-time"}
    line, article = _given("id", type="string"), _given("sku", type="string")
    schemas[shapes_goods.InspectedIn.__name__]["oneOf"] = [line, article]
    refund = schemas[RefundIn.__name__]
    without = {name: field for name, field in refund["properties"].items() if name != "quote"}
    by_order = _given("order", anyOf=[{"type": "string"}, {"type": "object"}])
    by_payment = _given("payment", type="object")
    by_quote = _given("quote", type="string")
    by_parts = [_given("lines", minItems=1), _given("shipping", **{"not": {"enum": ["none"]}})]
    by_amount = _given("amount", type="integer")
    twice = {"allOf": [by_amount, {"anyOf": by_parts}]}
    schemas["QuoteIn"] = {
        **refund,
        "title": "QuoteIn",
        "properties": without,
        "oneOf": [by_order, by_payment],
        "not": twice,
    }
    refund["oneOf"] = [by_order, by_payment, by_quote]
    changed = {"allOf": [by_quote, {"anyOf": [by_amount, *by_parts]}]}
    refund["not"] = {"anyOf": [twice, changed]}


def _given(name: str, **schema: Any) -> dict[str, Any]:
    """The field is there, and is like this; null is as good as not there."""
    return {"required": [name], "properties": {name: schema}}


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
        name = call.body_name or call.body.__name__
        content: dict[str, Any] = {"schema": {"$ref": _REF.format(name=name)}}
        if name in EXAMPLES:
            content["example"] = EXAMPLES[name]
        found["requestBody"] = {
            "required": call.body_required,
            "content": {"application/json": content},
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
            **({"links": _links(call.name)} if call.name in LINKS else {}),
        }
    for status, reasons in _refusals(call).items():
        words = " ".join(f"`{reason}`: {SENTENCES[reason]}" for reason in reasons)
        problem = {"$ref": _REF.format(name=shapes.Problem.__name__)}
        found[str(status)] = {
            "description": words,
            "content": {"application/problem+json": {"schema": problem}},
        }
    return found


def _links(name: str) -> dict[str, Any]:
    """Where the id of an answer leads."""
    parameter, operations = LINKS[name]
    return {
        operation: {"operationId": operation, "parameters": {parameter: "$response.body#/id"}}
        for operation in operations
    }


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
    if call.method in ("POST", "PUT"):
        reasons.add(Reason.RATE_LIMITED)
    if call.takes_body:
        reasons |= {Reason.TOO_LARGE, Reason.MALFORMED}
    found: dict[int, list[Reason]] = {}
    for reason in Reason:
        if reason in reasons:
            found.setdefault(STATUS[reason], []).append(reason)
    return dict(sorted(found.items()))
