"""The course of a request through a look-alike, which is the same at every provider: where each
fault strikes, what is kept under a key, when webhooks leave. What it means is the provider's own.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from random import Random
from typing import Any, Generic, TypeVar

import msgspec

from amends.sim.account import Account, Origin
from amends.sim.faults import FaultBook, FaultKind, Target
from amends.sim.keys import Answer, KeyStore, Record
from amends.sim.wire import Clock, Delivery, Movement, Plan, Request, Response


class Refusal(Exception, ABC):
    """A request that is refused. `stored` says whether its answer is kept under the idempotency
    key; `headers` go into the answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        stored: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.stored = stored
        self.headers = headers or {}

    @abstractmethod
    def body(self) -> bytes:
        """The body of the answer, in the provider's own shape."""


class Call(msgspec.Struct, eq=False):
    """One request on its way through a world; `record` is its idempotency key's, if it has one."""

    request: Request
    target: Target
    origin: Origin
    record: Record | None = None


A = TypeVar("A", bound=Account)
C = TypeVar("C", bound=Call)


class LookAlike(ABC, Generic[A, C]):
    """One account with its own truth: a state machine without sockets.

    `clock` gives Unix seconds and `sign_clock` the instant put into webhook signatures (default:
    the same); `prng` makes ids and decides probabilities, so one seed gives one history.
    """

    def __init__(self, clock: Clock, prng: Random, sign_clock: Clock | None = None) -> None:
        self._clock = clock
        self._prng = prng
        self._sign_clock = sign_clock or clock
        self._requests = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything: payments, keys, faults, webhook targets, settings."""
        self.books = self._open()
        self.faults = FaultBook(self._prng)
        self.keys = KeyStore()

    # What is the provider's own

    @abstractmethod
    def _open(self) -> A:
        """Books with nothing in them."""

    @abstractmethod
    def _receive(self, request: Request) -> C:
        """What is known of a request before it is looked at."""

    @abstractmethod
    def _admit(self, call: C) -> Answer | None:
        """Authentication, limits, routing and the idempotency key: the stored answer of a repeat,
        None for a request to execute. Raises Refusal, none is stored."""

    @abstractmethod
    def _execute(self, call: C) -> tuple[int, bytes]:
        """Do the work: status and body. Raises Refusal."""

    @abstractmethod
    def _broken(self) -> Refusal:
        """The refusal that says: something went wrong here."""

    @abstractmethod
    def _respond(self, call: C, answer: Answer, headers: Mapping[str, str]) -> Response:
        """The response of this request's own answer."""

    @abstractmethod
    def _repeat(self, call: C, answer: Answer) -> Response:
        """The response of a repeat."""

    def _headers(self, refusal: Refusal) -> Mapping[str, str]:
        """What a refusal's response has in its head besides."""
        return refusal.headers

    def reached_at(self, url: str) -> None:
        """Told where it stands; most providers name no address of their own."""

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
            return Plan(response=self._refused(call, refusal))
        plan = Plan(call=call)
        latency = self.faults.take("latency", call.target)
        if replay is not None:
            plan.response = self._repeat(call, replay)
            plan.delay = 0.0 if latency is None else latency.seconds
            self._lose_answer(call, plan)
            return plan
        if latency is not None and not latency.after_work:
            plan.start_after = latency.seconds
            return plan
        plan.delay = 0.0 if latency is None else latency.seconds
        self.perform(plan)
        return plan

    def _next_request_id(self) -> str:
        self._requests += 1
        return f"req_{self._requests:014d}"

    def _strikes(self, kind: FaultKind, call: Call) -> bool:
        return self.faults.take(kind, call.target) is not None

    def _refused(self, call: C, refusal: Refusal) -> Response:
        answer = Answer(refusal.status, refusal.body(), call.origin.request_id or "")
        return self._respond(call, answer, self._headers(refusal))

    def perform(self, plan: Plan) -> None:
        """Do the work of a request and complete its plan."""
        call: C = plan.call
        plan.start_after = 0.0
        headers: Mapping[str, str] = {}
        try:
            status, body = self._work(call)
        except Refusal as refusal:
            if call.record is not None and not refusal.stored:
                self.keys.forget(call.record)
                call.record = None
            status, body = refusal.status, refusal.body()
            headers = self._headers(refusal)
        answer = Answer(status, body, call.origin.request_id or "")
        if call.record is not None:
            call.record.answer = answer
        plan.response = self._respond(call, answer, headers)
        self._lose_answer(call, plan)
        if self._strikes("webhook_before_answer", call):
            group = call.origin.request_id or ""
            self.books.hasten(group)
            plan.deliver_first = self.books.outbox.take_group(group)

    def _work(self, call: C) -> tuple[int, bytes]:
        if self.faults.take("error_500", call.target, after_work=False) is not None:
            raise self._broken()
        done = self._execute(call)
        if self.faults.take("error_500", call.target, after_work=True) is not None:
            raise self._broken()
        return done

    def _lose_answer(self, call: Call, plan: Plan) -> None:
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
        return self._steer(command)

    @abstractmethod
    def _steer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Any command but `reset`. Raises CommandRefused."""

    def movements(self) -> list[Movement]:
        """Every movement of money, oldest first."""
        return self.books.movements

    def balances(self) -> list[dict[str, Any]]:
        """What the account holds, by what moved it and currency."""
        return self.books.balance_rows()
