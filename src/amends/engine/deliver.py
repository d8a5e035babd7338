"""Effects out: what a turn decided to send is sent at once, concurrently; each answer comes back as
a fact on its own, so nobody waits for the slowest call.

The lease is checked on the monotonic clock before the first byte, and again after a login that the
request had to wait for; a request's timeout is at most half of it: whoever takes an effect over
knows that our bytes are long gone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

import structlog
from msgspec.structs import replace

from amends.core.effects import Effect, LookupPaymentIntent, LookupRefundsIntent
from amends.core.facts import Addressed, Answered, LookedUp
from amends.engine.asks import Ask
from amends.engine.config import ConnectionConfig
from amends.engine.http import Transport
from amends.engine.limits import Limit
from amends.engine.login import Logins, Unauthorized
from amends.engine.turn import Turner
from amends.engine.world import Outgoing
from amends.gateways.registry import PROVIDERS, SIGNS_IN
from amends.gateways.spec import Failure, Response, Unwritable
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, RefundState, Unknown
from amends.kernel.time import SECOND, Clock, Instant
from amends.store.spec import StoreUnavailable

log = structlog.get_logger()

LEASE_US = 12 * SECOND  # an orphaned effect is taken over within 15 s
TIMEOUT_SECONDS = 6  # half of it
PAGES_MAX = 50  # of one look-up: 5,000 refunds on one payment


class Deliverer:
    """Sends, and hands the answers to the turn."""

    def __init__(
        self,
        connections: Mapping[str, ConnectionConfig],
        limits: Mapping[str, Limit],
        transport: Transport,
        clock: Clock,
        ended: Callable[[], None],
    ) -> None:
        self._ended = ended
        self._connections, self._limits = connections, limits
        self._transport, self._clock = transport, clock
        self.logins = Logins(transport, clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()  # by connection and kind of outcome
        self.answered_at: dict[str, Instant] = {}  # by connection: when it last answered at all

    def start(self, outgoing: list[Outgoing], turner: Turner) -> None:
        """Send each; returns at once."""
        for item in outgoing:
            task = asyncio.create_task(self._deliver(item, turner))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait for what is on the wire; every answer is still handed in."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _deliver(self, item: Outgoing, turner: Turner) -> None:
        effect, limit = item.effect, self._limits[item.effect.connection]
        asked_at = self._clock.now()
        if self._clock.monotonic() + TIMEOUT_SECONDS * SECOND > item.until:
            log.warning("lease too short to send", effect=effect.id)
            limit.give_back()
            self._ended()
            return  # the sweep takes it over when the lease has run out
        answered = True
        try:
            outcome, answered = await self._ask_party(effect, item.until)
        except Exception:
            log.exception("delivery failed", effect=effect.id)
            outcome = Unknown("defect while sending", alert=True)
        finally:
            limit.ended(answered)
            self._ended()
        self.outcomes[(effect.connection, type(outcome).__name__.lower())] += 1
        if answered:
            self.answered_at[effect.connection] = self._clock.now()
        if isinstance(outcome, NotSent) and outcome.retry_after:
            limit.pause(outcome.retry_after)
        if isinstance(outcome, Declined):
            log.info("declined", effect=effect.id, code=outcome.code, text=outcome.text)
        if effect.kind == "send":
            fact: Answered | LookedUp = Answered(
                effect.leg, effect.epoch, effect.attempt, outcome, effect.asked
            )
        else:
            fact = LookedUp(effect.payment, outcome, effect.leg, asked_at, effect.asked)
        told = turner.submit(
            Ask(
                (Addressed(fact, order=effect.order),),
                f"psp:{effect.connection}",
                asyncio.get_running_loop().create_future(),
                patient=True,
            )
        )
        try:
            await told
        except StoreUnavailable:
            log.warning("answer not stored; the lease will run out", effect=effect.id)
        except Exception:
            log.exception("answer not folded; the lease will run out", effect=effect.id)

    async def _ask_party(self, effect: Effect, until: Instant) -> tuple[Outcome, bool]:
        """The outcome, and whether the party answered at all. The lease ends at `until`."""
        connection = self._connections[effect.connection]
        gateway = PROVIDERS[connection.settings.gateway]
        intent = effect.intent
        if intent is None:
            return NotSent("an effect without an intent", alert=True), True
        found: tuple[RefundState, ...] = ()
        for _ in range(PAGES_MAX):
            try:
                request = gateway.write(intent, connection.settings)
            except Unwritable as error:
                return Declined("unwritable", str(error)), True
            result: Response | Failure | Unauthorized
            if connection.settings.gateway in SIGNS_IN:
                result = await self.logins.send(connection, request, TIMEOUT_SECONDS, until)
            else:
                result = await self._transport.send(request, TIMEOUT_SECONDS)
            if isinstance(result, Unauthorized):
                return result.outcome, result.answered
            self.sent += 1
            outcome = gateway.parse(intent, result)
            if not isinstance(outcome, Accepted):
                return outcome, isinstance(result, Response)
            found += outcome.refunds
            if not outcome.next or not isinstance(
                intent, LookupRefundsIntent | LookupPaymentIntent
            ):
                return replace(outcome, refunds=found, next=""), True
            intent = replace(intent, cursor=outcome.next)
        return Unknown("the list of refunds does not end", alert=True), True
