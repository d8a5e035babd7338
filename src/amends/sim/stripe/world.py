"""The Stripe look-alike: one pure state machine from request to plan."""

import base64
import binascii
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec

from amends.sim.account import Origin
from amends.sim.faults import Target
from amends.sim.keys import Answer
from amends.sim.lookalike import Call, LookAlike
from amends.sim.lookalike import Refusal as AnyRefusal
from amends.sim.stripe.books import Books, Settings
from amends.sim.stripe.control import control, dispute_rows, payment_rows, warning_rows
from amends.sim.stripe.errors import Refusal, internal_error
from amends.sim.stripe.idempotency import claim
from amends.sim.stripe.lists import check_expand, shown
from amends.sim.stripe.objects import API_VERSION
from amends.sim.stripe.params import Params, Reader, decode
from amends.sim.stripe.routes import Route, locate
from amends.sim.wire import Clock, Request, Response


class _Call(Call):
    """One request on its way through the world."""

    route: Route | None = None
    object_id: str = ""
    params: Params = msgspec.field(default_factory=dict)


class StripeWorld(LookAlike[Books, _Call]):
    """A Stripe account with its own truth."""

    def __init__(
        self,
        clock: Clock,
        prng: Random,
        *,
        api_key: str = "sk_test_sandbox",
        sign_clock: Clock | None = None,
    ) -> None:
        self._api_key = api_key
        super().__init__(clock, prng, sign_clock)

    def _open(self) -> Books:
        return Books(self._clock, self._prng, self._sign_clock)

    def _receive(self, request: Request) -> _Call:
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        origin = Origin(self._next_request_id(), key or None)
        payment = self._payment_of(request) if self.faults.active else None
        return _Call(request, Target(request.method, request.path, payment), origin)

    def _payment_of(self, request: Request) -> str | None:
        """The PaymentIntent a request is about, for faults that name one."""
        located = locate(request.method, request.path)
        named = [located[1]] if located is not None else []
        try:
            params = decode(_encoded(request))
        except Refusal:
            return None
        named += [
            v for v in (params.get("payment_intent"), params.get("charge")) if isinstance(v, str)
        ]
        for name in named:
            refund = self.books.refunds.get(name)
            charge_id = name if refund is None else refund.charge
            payment = self.books.by_intent.get(name) or self.books.by_charge.get(charge_id)
            if payment is not None:
                return payment.intent.id
        return None

    def _admit(self, call: _Call) -> Answer | None:
        self._authenticate(call.request)
        self._limit(call)
        located = locate(call.request.method, call.request.path)
        if located is None:
            message = f"Unrecognized request URL ({call.request.method}: {call.request.path})."
            raise Refusal(404, message)
        call.route, call.object_id = located
        if call.request.headers.get("content-type", "").startswith("application/json"):
            raise Refusal(400, "Send parameters form-encoded, not as JSON.")
        call.params = decode(_encoded(call.request))
        if call.origin.key is None:
            return None
        age = self.books.settings.key_age_s
        claimed = claim(
            self.keys, call.origin.key, call.request.path, call.params, self._clock(), age
        )
        if isinstance(claimed, Answer):
            return claimed
        call.record = claimed
        return None

    def _authenticate(self, request: Request) -> None:
        given = _credential(request.headers.get("authorization", ""))
        if given == self._api_key:
            return
        if given is None:
            raise Refusal(401, "You did not provide an API key in the Authorization header.")
        raise Refusal(401, f"Invalid API Key provided: {given[:8]}****{given[-4:]}")

    def _limit(self, call: _Call) -> None:
        limited = self.faults.take("rate_limit", call.target)
        if limited is not None:
            headers = {"Retry-After": str(limited.retry_after)}
            raise Refusal(429, "Too many requests.", code="rate_limit", headers=headers)
        if self._strikes("lock_timeout", call):
            message = "This object cannot be accessed right now because another request holds it."
            headers = {"Stripe-Should-Retry": "true"}
            raise Refusal(429, message, code="lock_timeout", headers=headers)
        away = self.faults.take("unavailable", call.target)
        if away is not None:
            headers = {"Retry-After": str(away.retry_after)}
            raise Refusal(503, "Service unavailable.", kind="api_error", headers=headers)

    def _execute(self, call: _Call) -> tuple[int, bytes]:
        if call.route is None:
            raise LookupError("a call is routed before it is executed")
        reader = Reader(call.params, call.route.allowed)
        expand = reader.expand()
        check_expand(call.route.noun, expand, of_list=call.route.lists)
        subject = call.route.operation(self.books, call.object_id, reader, call.origin)
        return 200, shown(self.books, subject, expand)

    def _broken(self) -> Refusal:
        return internal_error()

    def _headers(self, refusal: AnyRefusal) -> Mapping[str, str]:
        if refusal.stored and refusal.status < 500:
            return {**refusal.headers, "Stripe-Should-Retry": "false"}
        return refusal.headers

    def _respond(self, call: _Call, answer: Answer, headers: Mapping[str, str]) -> Response:
        head = {
            "Content-Type": "application/json",
            "Request-Id": call.origin.request_id or "",
            "Stripe-Version": call.request.headers.get("stripe-version", API_VERSION),
            **headers,
        }
        if call.origin.key is not None:
            head["Idempotency-Key"] = call.origin.key
        return Response(answer.status, head, answer.body)

    def _repeat(self, call: _Call, answer: Answer) -> Response:
        extra = {"Idempotent-Replayed": "true", "Original-Request": answer.request_id}
        return self._respond(call, answer, extra)

    # Control

    def _steer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return control(self.books, self.faults, command)

    def payments(self) -> list[dict[str, Any]]:
        """Every payment with its amounts, oldest first."""
        return payment_rows(self.books)

    def disputes(self) -> list[dict[str, Any]]:
        """Every dispute and what it holds, oldest first."""
        return dispute_rows(self.books)

    def warnings(self) -> list[dict[str, Any]]:
        """Every early fraud warning, oldest first."""
        return warning_rows(self.books)

    @property
    def settings(self) -> Settings:
        """What control commands may set."""
        return self.books.settings


def _encoded(request: Request) -> str:
    if request.method != "POST":
        return request.query
    return request.body.decode("utf-8", "replace")


def _credential(header: str) -> str | None:
    """The API key of a Bearer or Basic header; None when there is none."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[0] or None
    except (binascii.Error, UnicodeDecodeError):
        return None
