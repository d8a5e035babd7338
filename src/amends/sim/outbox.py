"""Webhooks on their way out: targets, signing, retries, and the disturbances a network brings."""

import heapq
from collections.abc import Mapping
from fnmatch import fnmatchcase
from random import Random
from typing import Literal, Protocol

import msgspec

from amends.sim.wire import Clock, Delivery

RETRY_AFTER_S: tuple[float, ...] = (5, 30, 120, 600, 3600, 10800, 21600, 43200, 86400, 86400)
"""Waits between attempts in seconds, growing to a day and ending after about three days."""


class Sign(Protocol):
    """How a provider signs a webhook."""

    def __call__(
        self, secret: str, body: bytes, at: int, *, forged: bool
    ) -> tuple[Mapping[str, str], bytes]:
        """The headers and the body to send at `at` (Unix seconds). `forged`: as somebody signs who
        does not know the secret."""


class WebhookTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint of the merchant. `types` are shell-style patterns of event types."""

    url: str
    secret: str
    types: tuple[str, ...] = ("*",)


class Disturbance(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What happens to webhooks on their way.

    `lose` drops the event for ever; `duplicate` sends `copies` more of it; `delay` waits `seconds`;
    `reorder` waits a random time of up to `seconds`, so that events overtake each other;
    `bad_signature` signs the first attempt with a wrong secret. `type` is a shell-style pattern of
    event types.
    """

    kind: Literal["lose", "duplicate", "delay", "reorder", "bad_signature"]
    count: int | None = None
    probability: float = 1.0
    type: str = "*"
    seconds: float = 1.0
    copies: int = 1


class _Waiting(msgspec.Struct):
    """One event on its way to one target. `group` names the request that caused it."""

    target: WebhookTarget
    event_id: str
    body: bytes
    group: str | None
    attempt: int = 0
    forged: bool = False
    dropped: bool = False


class Outbox:
    """The queue of webhooks of one world.

    `sign_clock` gives the instant put into signatures; a shell whose world's clock runs ahead
    passes the real time here, so that receivers which check it still accept.
    """

    def __init__(
        self,
        clock: Clock,
        prng: Random,
        sign: Sign,
        sign_clock: Clock,
        retry_after_s: tuple[float, ...] = RETRY_AFTER_S,
    ) -> None:
        self._clock = clock
        self._sign_clock = sign_clock
        self._prng = prng
        self._sign = sign
        self.targets: list[WebhookTarget] = []
        self.retry_after_s = retry_after_s
        self._disturbances: list[Disturbance] = []
        self._queue: list[tuple[float, int, _Waiting]] = []
        self._sent: dict[int, _Waiting] = {}
        self._sequence = 0

    def add_target(self, target: WebhookTarget) -> None:
        """Add an endpoint, or replace the one with the same URL."""
        self.targets = [t for t in self.targets if t.url != target.url] + [target]

    def disturb(self, disturbance: Disturbance) -> None:
        """Put a disturbance in force."""
        self._disturbances.append(disturbance)

    def clear_disturbances(self) -> int:
        """Remove all disturbances; gives how many there were."""
        removed = len(self._disturbances)
        self._disturbances.clear()
        return removed

    @property
    def pending(self) -> int:
        """How many webhooks wait or are being delivered."""
        waiting = sum(1 for _, _, item in self._queue if not item.dropped)
        return waiting + len(self._sent)

    def post(self, event_id: str, event_type: str, body: bytes, group: str | None) -> None:
        """Queue one event for every target that wants its type."""
        for target in self.targets:
            if any(fnmatchcase(event_type, pattern) for pattern in target.types):
                self._post_to(target, event_id, event_type, body, group)

    def _post_to(
        self, target: WebhookTarget, event_id: str, event_type: str, body: bytes, group: str | None
    ) -> None:
        copies, wait, forged = 1, 0.0, False
        for disturbance in self._striking(event_type):
            if disturbance.kind == "lose":
                return
            if disturbance.kind == "duplicate":
                copies += disturbance.copies
            elif disturbance.kind == "delay":
                wait += disturbance.seconds
            elif disturbance.kind == "reorder":
                wait += self._prng.random() * disturbance.seconds
            else:
                forged = True
        for _ in range(copies):
            self._push(wait, _Waiting(target, event_id, body, group, forged=forged))

    def _striking(self, event_type: str) -> list[Disturbance]:
        striking = []
        for disturbance in list(self._disturbances):
            if not fnmatchcase(event_type, disturbance.type):
                continue
            if disturbance.probability < 1.0 and self._prng.random() >= disturbance.probability:
                continue
            striking.append(disturbance)
            if disturbance.count is not None:
                disturbance.count -= 1
                if disturbance.count <= 0:
                    self._disturbances.remove(disturbance)
        return striking

    def _push(self, wait_s: float, item: _Waiting) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (self._clock() + wait_s, self._sequence, item))

    def next_due(self) -> float | None:
        """The instant of the next attempt, or None when nothing waits."""
        while self._queue and self._queue[0][2].dropped:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def due(self, now: float) -> list[Delivery]:
        """Take out every attempt due at `now`, in order."""
        taken = []
        while self._queue and self._queue[0][0] <= now:
            item = heapq.heappop(self._queue)[2]
            if not item.dropped:
                taken.append(self._attempt(item))
        return taken

    def take_group(self, group: str) -> tuple[Delivery, ...]:
        """Take out at once what one request caused, whatever its due time."""
        taken = []
        for _, _, item in sorted(self._queue, key=lambda entry: entry[1]):
            if item.group == group and not item.dropped:
                # The heap entry stays behind and is skipped when it comes up.
                item.dropped = True
                taken.append(self._attempt(msgspec.structs.replace(item, dropped=False)))
        return tuple(taken)

    def _attempt(self, item: _Waiting) -> Delivery:
        self._sequence += 1
        item.attempt += 1
        at, forged = int(self._sign_clock()), item.forged
        item.forged = False
        headers, body = self._sign(item.target.secret, item.body, at, forged=forged)
        self._sent[self._sequence] = item
        return Delivery(self._sequence, item.event_id, item.attempt, item.target.url, headers, body)

    def delivered(self, delivery: Delivery, status: int | None) -> None:
        """A 2xx ends it.

        Anything else, redirects included, is tried again until the schedule ends.
        """
        item = self._sent.pop(delivery.id, None)
        if item is None or (status is not None and 200 <= status < 300):
            return
        if item.attempt <= len(self.retry_after_s):
            self._push(self.retry_after_s[item.attempt - 1], item)

    def hurry(self) -> int:
        """Make every waiting attempt due now; gives how many."""
        now = self._clock()
        self._queue = [(min(at, now), number, item) for at, number, item in self._queue]
        heapq.heapify(self._queue)
        return len(self._queue)
