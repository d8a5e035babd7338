"""Every party that moves money: requests it understands, answers that are understood."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator, OAS31Validator

from amends.core.effects import Intent, LookupPaymentIntent, LookupRefundsIntent
from amends.gateways.registry import CHECKS, PROVIDERS
from amends.gateways.spec import Failure, Request, Response, Settings, Unwritable
from amends.kernel.outcome import Accepted, Declined, NotSent, Unknown
from tests.gateways import (
    adyen_money_table,
    mollie_table,
    paypal_money_table,
    stripe_money_table,
)
from tests.gateways.table import MoneyTable

TABLES: dict[str, MoneyTable] = {
    "adyen": adyen_money_table.MONEY,
    "mollie": mollie_table.MONEY,
    "paypal": paypal_money_table.MONEY,
    "stripe": stripe_money_table.MONEY,
}

every = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)


def _intents() -> list[Any]:
    return [
        pytest.param(table, intent, id=f"{name}: {case}")
        for name, table in TABLES.items()
        for case, intent in table.intents.items()
    ]


def _asked() -> list[Any]:
    return [
        pytest.param(table, case, id=f"{name}: {case.name}")
        for name, table in TABLES.items()
        for case in table.asked
    ]


def _operation(document: Any, request: Request, base: str) -> Any:
    """The operation of an OpenAPI document a request goes to, None if it has none such."""
    path = urlsplit(request.url.removeprefix(base)).path
    for template, methods in document["paths"].items():
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and request.method.lower() in methods:
            return methods[request.method.lower()]
    return None


def _typed(schema: Any, value: str) -> Any:
    if schema.get("type") == "boolean":
        return {"true": True, "false": False}.get(value, value)
    return int(value) if schema.get("type") == "integer" else value


def _form(body: bytes, schema: Any) -> dict[str, Any]:
    """A form's fields as the JSON its schema describes: a[b]=c is {"a": {"b": "c"}},
    a[]=b is {"a": ["b"]}."""
    fields: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True):
        outer, _, inner = name.partition("[")
        if inner == "]":
            fields.setdefault(outer, []).append(value)
        elif inner:
            fields.setdefault(outer, {})[inner.removesuffix("]")] = value
        else:
            assert outer not in fields
            fields[outer] = _typed(schema["properties"].get(outer, {}), value)
    return fields


def test_every_provider_has_a_table() -> None:
    assert set(TABLES) == set(PROVIDERS)


@every
def test_what_it_can_do_covers_what_it_needs(table: MoneyTable) -> None:
    able = table.gateway.CAPABILITIES
    assert able.provider
    assert able.key_ttl > 0
    assert able.requests_per_second > 0
    assert set(able.secrets) <= set(able.settings)
    assert table.credential in able.secrets
    assert not able.lookup or able.lookup_delay > 0


@pytest.mark.parametrize("name", [name for name in CHECKS if name in PROVIDERS])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_settings_without_trouble_can_be_written_with(name: str, data: st.DataObject) -> None:
    """And `trouble` never raises, whatever the settings."""
    table = TABLES[name]
    texts = st.text(max_size=12) | st.sampled_from(
        ["live", "sandbox", "test", "1797a841fbb37ca7-A"]
    )
    values = data.draw(st.dictionaries(st.sampled_from(table.gateway.CAPABILITIES.settings), texts))
    secrets = tuple(data.draw(st.lists(texts | st.just("0AF1"), max_size=2)))
    connection = msgspec.structs.replace(
        table.settings, values={**table.settings.values, **values}, webhook_secrets=secrets
    )
    told = CHECKS[name].trouble(connection)
    if told or not all(connection.values.values()):
        return
    for intent in table.intents.values():
        assert table.gateway.write(intent, connection).url.startswith("https://")


@pytest.mark.parametrize(("table", "intent"), _intents())
def test_the_same_intent_gives_the_same_bytes(table: MoneyTable, intent: Intent) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(intent), type=type(intent))
    assert table.gateway.write(intent, table.settings) == table.gateway.write(
        stored, table.settings
    )


@pytest.mark.parametrize(("table", "intent"), _intents())
def test_base_url_replaces_scheme_and_host(table: MoneyTable, intent: Intent) -> None:
    plain = table.gateway.write(intent, table.settings)
    assert plain.url.startswith(f"{table.base_path}/")
    for base in ("http://127.0.0.1:9400/look-alike", "http://127.0.0.1:9400/look-alike/"):
        moved = table.gateway.write(intent, msgspec.structs.replace(table.settings, base_url=base))
        assert moved.url == plain.url.replace(table.base_path, base.rstrip("/"))
        assert (moved.headers, moved.body) == (plain.headers, plain.body)


@pytest.mark.parametrize(("table", "intent"), _intents())
def test_a_key_goes_with_what_changes_something_and_only_there(
    table: MoneyTable, intent: Intent
) -> None:
    request = table.gateway.write(intent, table.settings)
    keys = [value for name, value in request.headers if name.lower() == table.key_header]
    if isinstance(intent, LookupRefundsIntent | LookupPaymentIntent):
        assert (request.method, keys) == ("GET", [])
    else:
        assert (request.method, keys) == ("POST", [intent.key])


@pytest.mark.parametrize("kind", get_args(Intent), ids=lambda kind: kind.__name__)
@every
def test_every_kind_of_request_is_among_the_examples(table: MoneyTable, kind: Any) -> None:
    """Or the party has none of it, and says so."""
    if any(isinstance(intent, kind) for intent in table.intents.values()):
        return
    refund = table.amounts.refund
    wanted = {field.name for field in msgspec.structs.fields(kind) if field.required}
    with pytest.raises(Unwritable):
        table.gateway.write(kind(**{n: getattr(refund, n) for n in wanted}), table.settings)


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.openapi])
def test_requests_are_as_published(name: str, shared: Path) -> None:
    """Every example by every official version of the API; one may be in several files."""
    table, checked = TABLES[name], 0
    base = table.base_path + table.version_path
    for version in table.openapi:
        documents = [json.loads((shared / "psp/openapi" / file).read_text()) for file in version]
        for case, intent in table.intents.items():
            request = table.gateway.write(intent, table.settings)
            found = [(d, o) for d in documents if (o := _operation(d, request, base))]
            assert len(found) == 1, (case, request.url)
            _check_request(request, *found[0])
            checked += 1
    assert checked == len(table.intents) * len(table.openapi)
    print(f"{name}: {checked} requests are valid by the official OpenAPI files")


def _check_request(request: Request, document: Any, operation: Any) -> None:
    newer = document["openapi"].startswith("3.1")
    validator = OAS31Validator if newer else OAS30Validator
    bodies = operation.get("requestBody", {}).get("content", {}) if request.method == "POST" else {}
    for media, content in bodies.items():
        schema = {**content["schema"], "components": document["components"]}
        assert dict(request.headers)["Content-Type"] == media
        fields = json.loads(request.body) if "json" in media else _form(request.body, schema)
        validator(schema).validate(fields)
    assert not request.body or bodies
    parameters = [_resolved(document, item) for item in operation.get("parameters", ())]
    known = {item["name"]: item["schema"] for item in parameters if item["in"] != "header"}
    for field, value in parse_qsl(urlsplit(request.url).query):
        name = field.removesuffix("[]")
        said = _typed(known[name], value)
        validator(known[name]).validate([said] if field.endswith("[]") else said)
    heads = {item["name"].lower(): item["schema"] for item in parameters if item["in"] == "header"}
    for name, value in request.headers:
        if name.lower() in heads:
            validator(heads[name.lower()]).validate(value)
        else:
            assert name in _OF_EVERY_OPERATION, name


_OF_EVERY_OPERATION = (
    *("Accept", "Authorization", "Content-Type"),
    "X-API-Key",  # a security scheme of Adyen's
    *("Stripe-Version", "Idempotency-Key"),  # declared by Stripe in prose
)


def _resolved(document: Any, item: Any) -> Any:
    if "$ref" not in item:
        return item
    found = document
    for step in item["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


@pytest.mark.parametrize(("table", "case"), _asked())
def test_outcomes(table: MoneyTable, case: Any) -> None:
    assert table.gateway.parse(case.intent, case.result) == case.outcome


def _results(table: MoneyTable) -> st.SearchStrategy[Response | Failure]:
    headers = st.dictionaries(
        st.sampled_from(_HEADERS),
        st.sampled_from(["true", "false", "7", "-1", "٣", "", "9" * 30]) | st.text(max_size=5),
    )
    return st.builds(
        Response,
        st.integers(100, 599) | st.sampled_from([200, 201, 204, 400, 409, 422, 429, 500]),
        headers,
        st.binary(max_size=40) | _bodies(table),
    ) | st.builds(Failure, st.booleans(), st.text(max_size=30))


_HEADERS = (
    "retry-after stripe-should-retry transient-error request-id paypal-debug-id pspreference"
).split()
_WORDS = ("eur", "isk", "refund", "charge", "payment_intent", "succeeded")
_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)


def _bodies(table: MoneyTable) -> st.SearchStrategy[bytes]:
    """JSON of the fields and words the provider uses, and its own answers with parts replaced."""
    words = st.sampled_from((*_WORDS, *table.words))
    answers = [
        json.loads(case.result.body)
        for case in table.asked
        if isinstance(case.result, Response) and case.result.body.startswith(b'{"')
    ]
    fields = st.sampled_from(sorted(set(_names(answers))))
    anything = st.recursive(
        _scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner | words),
        max_leaves=12,
    )
    changed = st.sampled_from(answers).flatmap(lambda body: _mangled(body, anything | words))
    return (anything | changed).map(lambda value: json.dumps(value).encode())


def _names(value: Any) -> Iterator[str]:
    """The names of all fields in it."""
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from _names(inner)
    if isinstance(value, dict):
        yield from value


def _mangled(body: Any, anything: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """`body` with a few of its fields, at the top or one below, replaced."""
    inner = {key: value for key, value in body.items() if isinstance(value, dict)}
    plain = st.dictionaries(st.sampled_from(sorted(body)), anything, max_size=2)
    if not inner:
        return plain.map(lambda changes: {**body, **changes})
    deeper = st.sampled_from(sorted(inner)).flatmap(
        lambda key: st.dictionaries(st.sampled_from(sorted(inner[key]) or ["x"]), anything).map(
            lambda changes: {**body, key: {**inner[key], **changes}}
        )
    )
    return plain.map(lambda changes: {**body, **changes}) | deeper


@every
@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_parse_never_raises_and_believes_only_success(
    table: MoneyTable, data: st.DataObject
) -> None:
    intent = data.draw(st.sampled_from(list(table.intents.values())))
    result = data.draw(_results(table))
    outcome = table.gateway.parse(intent, result)
    assert isinstance(outcome, Accepted | Declined | NotSent | Unknown)
    if isinstance(result, Failure):
        assert isinstance(outcome, Unknown if result.sent else NotSent)
    elif isinstance(outcome, Accepted):
        elsewhere = Accepted(next=outcome.next, reference=outcome.reference)
        assert 200 <= result.status < 300 or (result.status == 404 and outcome == elsewhere)
    elif isinstance(outcome, Declined):
        assert 400 <= result.status < 500
    msgspec.json.encode(outcome)


@every
def test_a_torn_answer_is_unknown(table: MoneyTable) -> None:
    for case in table.asked:
        if isinstance(case.result, Response) and 200 <= case.result.status < 300:
            if case.result.status == 204:
                continue  # has no body to be torn
            torn = Response(case.result.status, case.result.headers, case.result.body[:-1])
            assert isinstance(table.gateway.parse(case.intent, torn), Unknown), case.name


@every
def test_live(table: MoneyTable) -> None:
    for value, told in table.live:
        values = {table.mode or table.credential: value}
        connection = Settings(name="x", gateway="x", values=values)
        assert table.gateway.live(connection) is told, value
    assert table.gateway.live(Settings(name="x", gateway="x")) is None


@every
def test_scrub(table: MoneyTable) -> None:
    for secret in table.secrets:
        for line in (secret, f'{{"a":"{secret}"}}', f"x {secret} y", f"Bearer {secret}"):
            clean = table.gateway.scrub(line)
            assert secret not in clean, line
            assert table.gateway.scrub(clean) == clean
    for line in table.harmless:
        assert table.gateway.scrub(f"{line}: ok") == f"{line}: ok"


@pytest.mark.parametrize(("table", "intent"), _intents())
def test_a_logged_request_shows_no_credential(table: MoneyTable, intent: Intent) -> None:
    request = table.gateway.write(intent, table.settings)
    logged = table.gateway.scrub(repr(request))
    assert table.settings.values[table.credential] not in logged


_ODD = ("../x", "..", "a/b", "a?b=c", "#", "a\r\nX: 1", "\ud800", "é", "\0", "x" * 5000)


@pytest.mark.parametrize(("table", "intent"), _intents())
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_text_of_an_intent_makes_another_request(
    table: MoneyTable, intent: Intent, data: st.DataObject
) -> None:
    """Ids come from outside; one that is no id must not turn one request into another, nor break
    out of its header. What cannot be said is Unwritable, and nothing else is raised."""
    fields = {name: getattr(intent, name) for name in intent.__struct_fields__}
    name = data.draw(st.sampled_from([n for n, v in fields.items() if v and isinstance(v, str)]))
    odd = data.draw(st.sampled_from(_ODD) | st.text(min_size=1, max_size=12))
    usual = urlsplit(table.gateway.write(intent, table.settings).url)
    changed = msgspec.structs.replace(intent, **{name: fields[name][:3] + odd})
    try:
        request = table.gateway.write(changed, table.settings)
    except Unwritable:
        return
    url = urlsplit(request.url)
    assert (url.scheme, url.netloc) == (usual.scheme, usual.netloc)
    assert url.path.count("/") == usual.path.count("/")
    assert [name for name, _ in parse_qsl(url.query, keep_blank_values=True)] == [
        name for name, _ in parse_qsl(usual.query)
    ]
    assert not url.fragment
    assert all(text.isascii() and text.isprintable() for head in request.headers for text in head)
