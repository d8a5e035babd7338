"""What a store knows besides orders and their books: what decisions are made by, what they leave
for people and for training, and who signs in. Parts of `spec.Store`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from amends.core.events import Event
from amends.core.history import Judged, Label, Stop
from amends.kernel.time import Instant
from amends.store.records import (
    Amounts,
    DraftRow,
    Head,
    ModelRow,
    Page,
    PolicyRow,
    Session,
    ShopStats,
    StopRow,
    User,
)

Make = Callable[[Head], Event]


class Rulebook(Protocol):
    """What decisions are made by. Each change is one transaction that waits in line with all
    others, appends the event that `make` builds from the tip of its system stream, and raises the
    board (`Turn.board`), by which every process sees that it must read again. A change that finds
    nothing to do writes nothing, and answers None."""

    async def policies(self) -> list[PolicyRow]:
        """All versions, by number."""
        ...

    async def publish(self, row: PolicyRow, make: Make) -> Event | None:
        """Add a version, in `system:policy`. None if its number is not the next one: somebody has
        published meanwhile."""
        ...

    async def drafts(self) -> list[DraftRow]: ...

    async def put_draft(self, row: DraftRow, make: Make) -> Event:
        """Make or replace the draft of that name, in `system:policy`."""
        ...

    async def drop_draft(self, name: str, make: Make) -> Event | None: ...

    async def stops(self, active: bool) -> list[StopRow]:
        """Those that hold, oldest first; or all there ever were."""
        ...

    async def add_stop(self, stop: Stop, make: Make) -> Event:
        """In `system:stops`. RowRefused for an id that is there."""
        ...

    async def lift_stop(
        self, stop_id: str, at: Instant, actor: str, why: str, make: Make
    ) -> Event | None:
        """None if it does not hold."""
        ...

    async def models(self) -> list[ModelRow]:
        """Oldest first, without their texts."""
        ...

    async def model(self, model_hash: str) -> ModelRow | None: ...

    async def add_model(self, row: ModelRow, make: Make) -> Event | None:
        """In `system:models`. None if it is there."""
        ...

    async def settings(self) -> dict[str, str]:
        """All of them, the board among them."""
        ...

    async def set_setting(
        self, key: str, value: str, at: Instant, actor: str, make: Make
    ) -> Event | None:
        """In `system:settings`. None if it says so already."""
        ...


class Judgements(Protocol):
    """What decisions leave behind."""

    async def decisions(
        self, since: Instant, until: Instant, after: tuple[Instant, str, str] | None, limit: int
    ) -> list[Judged]:
        """Judgements from `since` to before `until`, by (at, order, refund), after one of them."""
        ...

    async def newest_decisions(self, since: Instant, limit: int) -> list[Judged]:
        """The newest judgements since then, newest first."""
        ...

    async def labels(
        self,
        since: Instant,
        until: Instant,
        after: tuple[Instant, str, str, str] | None,
        limit: int,
    ) -> list[Label]:
        """Likewise, by (at, order, refund, source)."""
        ...

    async def reviews(
        self, filters: Mapping[str, str], cursor: str, limit: int, now: Instant
    ) -> Page:
        """Refunds that wait for a person or for goods, soonest due first; or, by the filter `state`
        = "closed", those that did, last closed first.

        Further filters: assignee ("" for nobody's), role, due_before (an instant in decimal), and
        snoozed: "no" (unless said) leaves out those put off until after `now`, "yes" shows only
        them, "any" all. Items: order, refund, entity, state, role, assignee, due, snoozed_until,
        escalated, asked, amount, currency, score_bp, rule, reason, created_at, closed_at. A cursor
        that is not ours, an unknown filter or value raises ValueError with a sentence."""
        ...

    async def amounts(self, since: Instant) -> dict[str, Amounts]:
        """How large refunds judged since then are, by the connection of their order's shop: of the
        newest 20,000 in all."""
        ...

    async def shop_stats(self) -> dict[str, ShopStats]:
        """By connection."""
        ...

    async def put_shop_stats(self, stats: ShopStats) -> None: ...


class SignIns(Protocol):
    """People and their sessions. With `make`, a change is in one transaction with its event of
    `system:people`."""

    async def add_user(self, user: User, make: Make | None = None) -> bool:
        """False if somebody has that login."""
        ...

    async def user(self, user_id: str) -> User | None: ...

    async def user_by_login(self, login: str) -> User | None: ...

    async def users(self) -> list[User]:
        """By login."""
        ...

    async def change_user(
        self,
        user_id: str,
        changes: Mapping[str, str | int],
        expect: Mapping[str, str | int] | None = None,
        make: Make | None = None,
        leaves: str = "",
    ) -> bool:
        """Set these columns, if those of `expect` are still so: False, and nothing is changed, if
        they are not. So of two who take one code, or count one failure, one reads again. `leaves`
        is a role that somebody else must have who is not disabled; False where nobody does."""
        ...

    async def add_session(self, session: Session) -> None: ...

    async def session(self, session_hash: str) -> Session | None: ...

    async def sessions(self, user_id: str) -> list[Session]:
        """Oldest first."""
        ...

    async def touch_session(self, session_hash: str, seen_at: Instant) -> bool:
        """False if it has ended."""
        ...

    async def drop_session(self, session_hash: str) -> bool: ...

    async def drop_sessions(self, user_id: str, but: str = "") -> int:
        """All of one person but that one; how many."""
        ...

    async def count_try(
        self, key: str, at: Instant, since: Instant, most: int, until: Instant
    ) -> Instant:
        """Count a failed sign-in from a place: the `most`-th since `since` locks it until then. The
        instant until which it is locked, 0 if it is not. `key` is a hash."""
        ...

    async def locked_until(self, key: str) -> Instant: ...

    async def clear_tries(self, key: str) -> None: ...

    async def forget_sign_ins(self, before: Instant) -> int:
        """Drop sessions that ended, and failures of places that began, before then; how many."""
        ...
