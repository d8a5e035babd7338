"""The PayPal look-alike: one pure state machine from request to plan.

A PayPal-Request-Id is kept per kind of call. What a first request made is answered again, as it is
by now and whatever the repeat says; a request that was refused made nothing, so its repeat is a new
attempt. Neither is documented, and each is the more dangerous of the ways it could be.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec

from amends.sim.account import Origin
from amends.sim.faults import Target
from amends.sim.keys import Answer, Record
from amends.sim.lookalike import LookAlike, Refusal
from amends.sim.paypal.books import Books, Settings, Site
from amends.sim.paypal.control import control, dispute_rows, payment_rows
from amends.sim.paypal.errors import Problem, malformed
from amends.sim.paypal.objects import Shown
from amends.sim.paypal.routes import LOGIN_PATH, PayPalCall, answer, locate
from amends.sim.wire import Clock, Request, Response

CLIENT_ID = "sandbox"
KEY_LENGTH = 108


class PayPalWorld(LookAlike[Books, PayPalCall]):
    """A PayPal account with its own truth; `api_key` is its client secret."""

    def __init__(
        self,
        clock: Clock,
        prng: Random,
        *,
        api_key: str = "sandbox_secret",
        sign_clock: Clock | None = None,
    ) -> None:
        self._credentials = (CLIENT_ID, api_key)
        # Another name in every world, so that nobody takes a kept certificate for this one's.
        self.site = Site(f"CERT-{prng.getrandbits(160):040x}")
        super().__init__(clock, prng, sign_clock)

    def _open(self) -> Books:
        books = Books(self._clock, self._prng, self._sign_clock, self.site)
        books.credentials = self._credentials
        return books

    def reached_at(self, url: str) -> None:
        """Links and the certificate's address begin with it from now on."""
        self.site.url = url

    def _receive(self, request: Request) -> PayPalCall:
        key = request.headers.get("paypal-request-id") if request.method == "POST" else None
        origin = Origin(self._next_request_id(), key or None)
        # A login is no movement: faults on POST are meant for what comes after it.
        method = "LOGIN" if request.path == LOGIN_PATH else request.method
        located = locate(request)
        payment = None if located is None else self.books.find(located[1])
        named = None if payment is None else payment.id
        call = PayPalCall(request, Target(method, request.path, named), origin)
        if located is not None:
            call.route, call.object_id = located
        return call

    def _admit(self, call: PayPalCall) -> Answer | None:
        if call.route is None or not call.route.free:
            self._authenticate(call.request)
        self._limit(call)
        if call.route is None:
            raise Problem(404)
        if call.origin.key is None or not call.route.keeps:
            return None
        record, new = self._claim(call, call.origin.key)
        if new:
            call.record = record
            return None
        if record.in_use:
            raise Problem(409, "PREVIOUS_REQUEST_IN_PROGRESS")
        made: Shown = record.asked
        return answer(self.books, call, made, first=False)

    def _authenticate(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        end = self.books.tokens.get(token, 0.0) if scheme.lower() == "bearer" else 0.0
        if end <= self._clock():
            raise Problem(401)

    def _limit(self, call: PayPalCall) -> None:
        limited = self.faults.take("rate_limit", call.target)
        if limited is not None:
            raise Problem(429, headers={"Retry-After": str(limited.retry_after)})
        if self._strikes("lock_timeout", call):
            raise Problem(409, "PREVIOUS_REQUEST_IN_PROGRESS")
        away = self.faults.take("unavailable", call.target)
        if away is not None:
            raise Problem(503, headers={"Retry-After": str(away.retry_after)})

    def _claim(self, call: PayPalCall, key: str) -> tuple[Record, bool]:
        """The request id's record, and whether this request is the first to use it."""
        if len(key) > KEY_LENGTH:
            raise malformed("INVALID_STRING_LENGTH", "/PayPal-Request-Id")
        route, settings, now = call.route, self.books.settings, self._clock()
        if route is None:
            raise LookupError("a call is routed before its request id is looked at")
        name, path = f"{route.operation.__name__} {key}", call.request.path
        record, new = self.keys.claim(name, path, None, now, settings.key_age_s)
        age = settings.order_key_age_s if route.of_orders else settings.key_age_s
        gone = record.asked is None or record.first_used <= now - age
        if not new and not record.in_use and gone:
            self.keys.forget(record)
            return self.keys.claim(name, path, None, now, settings.key_age_s)
        return record, new

    def _execute(self, call: PayPalCall) -> tuple[int, bytes]:
        if call.route is None:
            raise LookupError("a call is routed before it is executed")
        subject = call.route.operation(self.books, call)
        if call.record is not None:
            # What was made, not what was said: a repeat is told how it is by then.
            call.record.asked = subject
        done = answer(self.books, call, subject, first=True)
        return done.status, done.body

    def _broken(self) -> Refusal:
        return Problem(500, stored=True)

    def _respond(self, call: PayPalCall, answer: Answer, headers: Mapping[str, str]) -> Response:
        debug, body = call.origin.request_id or "", answer.body
        if answer.status >= 400:
            error = msgspec.json.decode(body)
            body = msgspec.json.encode({**error, "debug_id": debug}) if "name" in error else body
        kind = "application/json" if body[:1] == b"{" else "application/x-pem-file"
        head = {"Paypal-Debug-Id": debug, **({"Content-Type": kind} if body else {}), **headers}
        return Response(answer.status, head, body)

    def _repeat(self, call: PayPalCall, answer: Answer) -> Response:
        return self._respond(call, answer, {})

    def _steer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return control(self.books, self.faults, command)

    def payments(self) -> list[dict[str, Any]]:
        """Every payment with its amounts, oldest first."""
        return payment_rows(self.books)

    def disputes(self) -> list[dict[str, Any]]:
        """Every case. What one takes leaves as a refund by PayPal, so none withdraws anything."""
        return dispute_rows(self.books)

    def warnings(self) -> list[dict[str, Any]]:
        """None: PayPal does not warn of fraud, but by a case."""
        return []

    @property
    def settings(self) -> Settings:
        """What control commands may set."""
        return self.books.settings
