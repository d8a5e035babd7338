"""Which request does what, and how its answer is shown."""

import base64
import binascii
import re
from collections.abc import Callable
from urllib.parse import parse_qsl

import msgspec

from amends.sim.keys import Answer
from amends.sim.lookalike import Call
from amends.sim.paypal import certificates, disputes, orders, payments, refunds, views
from amends.sim.paypal.bodies import json_of, parts_of
from amends.sim.paypal.books import Books
from amends.sim.paypal.errors import LoginRefused, missing
from amends.sim.paypal.money import Json
from amends.sim.paypal.objects import Dispute, Shown
from amends.sim.wire import Request

LOGIN_PATH = "/v1/oauth2/token"


class PayPalCall(Call):
    """One request on its way through the world."""

    route: "Route | None" = None
    object_id: str = ""


Operation = Callable[[Books, PayPalCall], Shown | Json]


class Route(msgspec.Struct, frozen=True):
    """An operation. `status` is what a first request is answered with, a repeat with 200; `keeps`
    whether a request id is kept; `of_orders` for as long as those of orders; `empty`: no body
    unless the representation is asked for; `free`: without a token."""

    operation: Operation
    status: int = 200
    keeps: bool = False
    of_orders: bool = False
    empty: bool = False
    free: bool = False


def _login(books: Books, call: PayPalCall) -> Json:
    """A token for the client credentials the world was made with."""
    form = dict(parse_qsl(call.request.body.decode("utf-8", "replace")))
    pair = _basic(call.request.headers.get("authorization", ""))
    if pair != books.credentials:
        raise LoginRefused(401, "invalid_client", "The client id or its secret is wrong.")
    if form.get("grant_type") != "client_credentials":
        raise LoginRefused(400, "unsupported_grant_type", "Ask for client_credentials.")
    return {
        "scope": "https://uri.paypal.com/services/payments/refund",
        "access_token": books.login(),
        "token_type": "Bearer",
        "app_id": "APP-SANDBOX",
        "expires_in": int(books.settings.token_age_s),
        "nonce": f"nonce-{books.number()}",
    }


def _basic(header: str) -> tuple[str, str]:
    """User and password of an Authorization header, empty where there are none."""
    scheme, _, rest = header.partition(" ")
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (user, password) if scheme.lower() == "basic" else ("", "")


def _certificate(books: Books, call: PayPalCall) -> Json:
    if call.object_id != books.site.certificate:
        raise missing()
    return {}  # the answer is no JSON; see `answer`


def _refund(books: Books, call: PayPalCall) -> Shown:
    body = json_of(call.request)
    taken = books.capture(call.object_id)
    given = refunds.create(books, taken, body, call.origin)
    disputes.settle(books, taken, call.origin)
    return given


def _capture(books: Books, call: PayPalCall) -> Shown:
    body = json_of(call.request)
    return payments.capture(books, books.authorization(call.object_id), body, call.origin)


def _void(books: Books, call: PayPalCall) -> Shown:
    return payments.void(books, books.authorization(call.object_id), call.origin)


def _reauthorize(books: Books, call: PayPalCall) -> Shown:
    body = json_of(call.request)
    return payments.reauthorize(books, books.authorization(call.object_id), body, call.origin)


def _create_order(books: Books, call: PayPalCall) -> Shown:
    return orders.create(books, json_of(call.request))


def _capture_order(books: Books, call: PayPalCall) -> Shown:
    return orders.capture(books, books.order(call.object_id), call.origin)


def _authorize_order(books: Books, call: PayPalCall) -> Shown:
    return orders.authorize(books, books.order(call.object_id), call.origin)


def _search(books: Books, call: PayPalCall) -> Json:
    return disputes.search(books, dict(parse_qsl(call.request.query)))


def _accept_claim(books: Books, call: PayPalCall) -> Shown:
    body, _ = parts_of(call.request)
    return disputes.accept_claim(books, books.dispute(call.object_id), body, call.origin)


def _provide_evidence(books: Books, call: PayPalCall) -> Shown:
    body, files = parts_of(call.request)
    case = books.dispute(call.object_id)
    return disputes.provide_evidence(books, case, body, files, call.origin)


_HELD, _TAKEN = "/v2/payments/authorizations/*", "/v2/payments/captures/*"
_ORDER, _CASE = "/v2/checkout/orders/*", "/v1/customer/disputes/*"

ROUTES: dict[tuple[str, str], Route] = {
    ("POST", LOGIN_PATH): Route(_login, free=True),
    ("GET", f"{certificates.PATH}*"): Route(_certificate, free=True),
    ("GET", _TAKEN): Route(lambda books, call: books.capture(call.object_id)),
    ("POST", f"{_TAKEN}/refund"): Route(_refund, 201, keeps=True),
    ("GET", "/v2/payments/refunds/*"): Route(lambda books, call: books.refund(call.object_id)),
    ("GET", _HELD): Route(lambda books, call: books.authorization(call.object_id)),
    ("POST", f"{_HELD}/capture"): Route(_capture, 201, keeps=True),
    ("POST", f"{_HELD}/void"): Route(_void, keeps=True, empty=True),
    ("POST", f"{_HELD}/reauthorize"): Route(_reauthorize, 201, keeps=True),
    ("POST", "/v2/checkout/orders"): Route(_create_order, 201, keeps=True, of_orders=True),
    ("GET", _ORDER): Route(lambda books, call: books.order(call.object_id)),
    ("POST", f"{_ORDER}/capture"): Route(_capture_order, 201, keeps=True, of_orders=True),
    ("POST", f"{_ORDER}/authorize"): Route(_authorize_order, 201, keeps=True, of_orders=True),
    ("GET", "/v1/customer/disputes"): Route(_search),
    ("GET", _CASE): Route(lambda books, call: books.dispute(call.object_id)),
    ("POST", f"{_CASE}/accept-claim"): Route(_accept_claim),
    ("POST", f"{_CASE}/provide-evidence"): Route(_provide_evidence),
}

_PATTERNS = [
    (method, re.compile(re.escape(template).replace(r"\*", "([^/]+)")), route)
    for (method, template), route in ROUTES.items()
]


def locate(request: Request) -> tuple[Route, str] | None:
    """A request's route and the id in its path; None when there is no such route."""
    for method, pattern, route in _PATTERNS:
        found = pattern.fullmatch(request.path) if method == request.method else None
        if found is not None:
            return route, found[1] if found.groups() else ""
    return None


def answer(books: Books, call: PayPalCall, subject: Shown | Json, *, first: bool) -> Answer:
    """What a request is answered, a repeat with the state of now."""
    route, request = call.route, call.request
    if route is None:
        raise LookupError("a call is routed before it is answered")
    name = call.origin.request_id or ""
    status = route.status if first else 200
    if isinstance(subject, dict):
        raw = certificates.signer().chain if route.operation is _certificate else b""
        return Answer(status, raw or msgspec.json.encode(subject), name)
    full = request.method == "GET" or "return=representation" in request.headers.get("prefer", "")
    if route.empty and not full:
        return Answer(204, b"", name)
    brief = not full or (isinstance(subject, Dispute) and request.method == "POST")
    shown = views.minimal(books, subject) if brief else views.whole(books, subject)
    return Answer(status, msgspec.json.encode(shown), name)
