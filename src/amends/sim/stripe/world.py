"""The Stripe look-alike: one pure state machine from request to plan."""

import base64
import binascii
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec

from amends.sim.faults import FaultBook, FaultKind, Target
from amends.sim.stripe.books import Books, Origin, Settings
from amends.sim.stripe.control import control, payment_rows
from amends.sim.stripe.errors import Refusal, internal_error
from amends.sim.stripe.idempotency import Answer, KeyStore, Record
from amends.sim.stripe.lists import check_expand, shown
from amends.sim.stripe.objects import API_VERSION
from amends.sim.stripe.params import Params, Reader, decode
from amends.sim.stripe.routes import Route, locate
from amends.sim.wire import Clock, Delivery, Movement, Plan, Request, Response


class _Call(msgspec.Struct, eq=False):
    """One request on its way through the world."""

    request: Request
    target: Target
    origin: Origin
    route: Route | None = None
    object_id: str = ""
    params: Params = {}
    record: Record | None = None


class StripeWorld:
    """A Stripe account with its own truth.

    `clock` gives Unix seconds and `sign_clock` the instant put into webhook signatures (default:
    the same); `prng` makes ids and decides probabilities, so one seed gives one history.
    """

    def __init__(
        self,
        clock: Clock,
        prng: Random,
        *,
        api_key: str = "sk_test_sandbox",
        sign_clock: Clock | None = None,
    ) -> None:
        self._api_key = api_key
        self._clock = clock
        self._prng = prng
        self._sign_clock = sign_clock or clock
        self._requests = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything: payments, keys, faults, webhook targets, settings."""
        self.books = Books(self._clock, self._prng, self._sign_clock)
        self.faults = FaultBook(self._prng)
        self.keys = KeyStore()

    # Requests

    def handle(self, request: Request) -> Plan:
        """Take one request in; see `amends.sim.wire` for what to do with the plan."""
        self.books.run_due(self._clock())
        call = self._receive(request)
        if self._strikes("refuse", call):
            return Plan(action="refuse")
        try:
            replay = self._admit(call)
        except Refusal as refusal:
            return Plan(response=_refusal_response(call, refusal))
        plan = Plan(call=call)
        latency = self.faults.take("latency", call.target)
        if replay is not None:
            plan.response = _replay_response(call, replay)
            plan.delay = 0.0 if latency is None else latency.seconds
            self._lose_answer(call, plan)
            return plan
        if latency is not None and not latency.after_work:
            plan.start_after = latency.seconds
            return plan
        plan.delay = 0.0 if latency is None else latency.seconds
        self.perform(plan)
        return plan

    def _receive(self, request: Request) -> _Call:
        self._requests += 1
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        origin = Origin(f"req_{self._requests:014d}", key or None)
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

    def _strikes(self, kind: FaultKind, call: _Call) -> bool:
        return self.faults.take(kind, call.target) is not None

    def _admit(self, call: _Call) -> Answer | None:
        """Authentication, limits, routing and the idempotency key.

        Raises Refusal, none is stored.
        """
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
        claimed = self.keys.claim(
            call.origin.key, call.request.path, call.params, self._clock(), age
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

    def perform(self, plan: Plan) -> None:
        """Do the work of a request and complete its plan."""
        call: _Call = plan.call
        plan.start_after = 0.0
        headers: Mapping[str, str] = {}
        try:
            answer = Answer(200, self._execute(call), call.origin.request_id or "")
        except Refusal as refusal:
            if call.record is not None and not refusal.stored:
                self.keys.forget(call.record)
                call.record = None
            answer = Answer(refusal.status, refusal.body(), call.origin.request_id or "")
            headers = refusal.headers
            if refusal.stored and refusal.status < 500:
                headers = {**headers, "Stripe-Should-Retry": "false"}
        if call.record is not None:
            call.record.answer = answer
        plan.response = _response(call, answer.status, answer.body, headers)
        self._lose_answer(call, plan)
        if self._strikes("webhook_before_answer", call):
            plan.deliver_first = self.books.outbox.take_group(call.origin.request_id or "")

    def _execute(self, call: _Call) -> bytes:
        if self.faults.take("error_500", call.target, after_work=False) is not None:
            raise internal_error()
        if call.route is None:
            raise LookupError("a call is routed before it is executed")
        reader = Reader(call.params, call.route.allowed)
        expand = reader.expand()
        check_expand(call.route.noun, expand, of_list=call.route.lists)
        subject = call.route.operation(self.books, call.object_id, reader, call.origin)
        body = shown(self.books, subject, expand)
        if self.faults.take("error_500", call.target, after_work=True) is not None:
            raise internal_error()
        return body

    def _lose_answer(self, call: _Call, plan: Plan) -> None:
        if self._strikes("lost_answer", call):
            plan.action = "drop"

    def release(self, plan: Plan) -> None:
        """The answer leaves, or is lost: its key is no longer in use."""
        if plan.call is not None and plan.call.record is not None:
            plan.call.record.in_use = False

    # Webhooks and time

    def due(self, now: float) -> list[Delivery]:
        """Make scheduled changes and take out the webhook attempts due at `now`."""
        self.books.run_due(now)
        return self.books.outbox.due(now)

    def next_due(self) -> float | None:
        """The instant of the next webhook or scheduled change, or None."""
        times = (self.books.outbox.next_due(), self.books.next_change())
        return min((at for at in times if at is not None), default=None)

    def delivered(self, delivery: Delivery, status: int | None) -> None:
        """Report what the receiver answered."""
        self.books.outbox.delivered(delivery, status)

    @property
    def webhooks_pending(self) -> int:
        """How many webhooks wait or are being delivered."""
        return self.books.outbox.pending

    # Control

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run one control command (see `amends.sim.serve`). Raises CommandRefused."""
        self.books.run_due(self._clock())
        if command.get("op") == "reset":
            self.reset()
            return {}
        return control(self.books, self.faults, command)

    def movements(self) -> list[Movement]:
        """Every movement of money, oldest first."""
        return self.books.movements

    def payments(self) -> list[dict[str, Any]]:
        """Every payment with its amounts, oldest first."""
        return payment_rows(self.books)

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


def _response(call: _Call, status: int, body: bytes, extra: Mapping[str, str]) -> Response:
    headers = {
        "Content-Type": "application/json",
        "Request-Id": call.origin.request_id or "",
        "Stripe-Version": call.request.headers.get("stripe-version", API_VERSION),
        **extra,
    }
    if call.origin.key is not None:
        headers["Idempotency-Key"] = call.origin.key
    return Response(status, headers, body)


def _refusal_response(call: _Call, refusal: Refusal) -> Response:
    return _response(call, refusal.status, refusal.body(), refusal.headers)


def _replay_response(call: _Call, answer: Answer) -> Response:
    extra = {"Idempotent-Replayed": "true", "Original-Request": answer.request_id}
    return _response(call, answer.status, answer.body, extra)
