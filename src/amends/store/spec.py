"""What a store is: rows behind two implementations (SQLite, PostgreSQL), one suite of tests.

A turn of the engine is one transaction (`Store.turn`): it reads what it routes by, locks the orders
(in id order; reads come after the locks, in later statements), folds decisions outside the store,
and writes a `Batch` with set-based statements. Instants are microseconds, UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

import msgspec

from amends.core.documents import Document, DueDocument
from amends.core.effects import Effect
from amends.core.events import Event
from amends.core.history import Draw, History, Judged, Label, Sight, Tally
from amends.core.order import Order, Payment
from amends.core.outlets import Moved, Tell
from amends.core.postings import Entry
from amends.kernel.time import Instant
from amends.store.desk_spec import Judgements, Rulebook, SignIns
from amends.store.outbox_spec import Outbox
from amends.store.pages_spec import Desk
from amends.store.records import Head, Page


class StoreUnavailable(Exception):
    """The database is away, locked, full or too slow; nothing of this call is on disk (but see
    `CommitUnknown`). The text is a sentence for the person who runs it, without passwords."""


class CommitUnknown(StoreUnavailable):
    """The connection broke during COMMIT: all of the turn is on disk, or nothing of it. Run it
    again from its first read, which will see which."""


class Retry(Exception):
    """A deadlock, a serialisation failure or a row another process just made: run the whole turn
    again from its first read. Nothing of it is on disk."""


class PeriodClosed(Retry):
    """An entry fell into a closed period: read `closed` and run the turn again. Nothing of it is on
    disk."""


class RowRefused(Exception):
    """A constraint or trigger refused a row, or a value does not fit its column: the batch holds a
    poisoned fact. `detail` says which constraint. Nothing of the batch is on disk."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class AnswerKey(msgspec.Struct, frozen=True, order=True):
    """An idempotent request: who, which route, which key."""

    principal: str
    route: str
    key: str


class Answer(msgspec.Struct, frozen=True):
    """The first answer to a request, kept to be repeated byte for byte. `request` is the canonical
    body (no personal data: notes and customers are hashed in it), to name the differing field."""

    key: AnswerKey
    body_hash: str
    request: bytes
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]
    at: Instant


class Inbound(msgspec.Struct, frozen=True):
    """One inbound message or other stored fact. `state`: done | ignored | unmatched | parked.

    `facts` is the JSON list of `Addressed` still to be folded (unmatched, parked), else empty.
    `refs` are the provider payment ids or shop order it waits for, as "connection/id" (the first
    "/" parts them: a connection's name has none); `order` the order it was folded into or is
    parked at ("" if none or several); `actor` as in Recorded. Raw bodies expire (I15).
    """

    connection: str
    message: str
    at: Instant
    type: str
    state: str
    actor: str
    raw: bytes = b""
    facts: bytes = b""
    refs: tuple[str, ...] = ()
    order: str = ""
    seq: int = 0  # order among the facts parked at one order


class Lease(msgspec.Struct, frozen=True):
    """Who may act on an effect until when (wall clock)."""

    holder: str
    until: Instant


class Person(msgspec.Struct, frozen=True):
    """Customer data, apart from every chain; erasable."""

    entity: str
    id: str
    email: str
    name: str
    country: str
    at: Instant


class NoteText(msgspec.Struct, frozen=True):
    """The text of a note; events hold only the salted hash."""

    id: str
    order: str
    salt: str
    text: str
    at: Instant


class QuoteRow(msgspec.Struct, frozen=True):
    """A quote: the request it answers (JSON of RefundIn, and what it was made on), its amount's
    hash, and when it ends."""

    id: str
    order: str
    request: bytes
    hash: str
    expires_at: Instant


class Batch:
    """Everything one turn writes. Orders are given once each, in their last state.

    `effects` are upserted by (order, id) with the lease (None: anybody may take it once due);
    `done` effects are deleted, but one that is also in `effects` is kept. `inbox` rows are upserted
    by (connection, message); one that is done or ignored by now is final (else Retry: `seen` tells
    the next round), and an empty `raw` leaves the stored one as it is. `created` orders must not
    exist yet (else Retry), all others must be there; `routes` map (connection, psp_payment_id) to
    an order id and must be new or equal (else Retry; the next round sees who has it); `aliases`,
    further ids of payments, likewise, but one that is taken stays with whom it is. `answers`
    must be new (else Retry). `people` are upserted, unless what is stored is newer.

    `tallies` and `draws` are added to what is stored of that day or bucket, all of a batch at once;
    `sights` are kept once. Of several judgements of a refund, or labels of one source, the last is
    kept. A refund that waits for a person or for goods, and one that did, has its row of `reviews`.
    """

    def __init__(self) -> None:
        self.created: set[str] = set()
        self.orders: dict[str, Order] = {}
        self.refunds: set[tuple[str, str]] = set()  # (order, refund) touched: project them
        self.events: list[Event] = []
        self.entries: list[Entry] = []
        self.documents: list[DueDocument] = []
        self.effects: dict[tuple[str, str], tuple[Effect, Lease | None]] = {}
        self.done: set[tuple[str, str]] = set()
        self.answers: list[Answer] = []
        self.inbox: dict[tuple[str, str], Inbound] = {}
        self.routes: dict[tuple[str, str], str] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.people: list[Person] = []
        self.notes: list[NoteText] = []
        self.quotes: list[QuoteRow] = []
        self.tallies: list[Tally] = []
        self.sights: list[Sight] = []
        self.judged: list[Judged] = []
        self.labels: list[Label] = []
        self.draws: list[Draw] = []
        self.tells: list[Tell] = []
        self.moved: list[Moved] = []


# (entity, customer, the (kind, value) of each fingerprint the order came with)
Wanted: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]


class Turn(Protocol):
    """One open transaction. After an error nothing more can be done in it: leave the block."""

    async def answers(self, keys: Sequence[AnswerKey]) -> dict[AnswerKey, Answer]:
        """Answers already given."""
        ...

    async def routes(self, refs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Order ids by (connection, psp_payment_id)."""
        ...

    async def lock(self, order_ids: Sequence[str]) -> dict[str, Order]:
        """Lock these orders in id order, then read them in a later statement. Missing ids are left
        out. On SQLite the write transaction itself is the lock."""
        ...

    async def seen(self, messages: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which (connection, message) are already in the inbox. Called after `lock`."""
        ...

    async def waiting(self, refs: Sequence[str]) -> list[Inbound]:
        """Unmatched inbox rows that wait for one of these refs ("connection/id"), oldest first.
        Locked, so that two turns never fold one of them."""
        ...

    async def unmatched(self, messages: Sequence[tuple[str, str]]) -> list[Inbound]:
        """Those of these (connection, message) that are still unmatched, oldest first; locked."""
        ...

    async def parked(self, order_ids: Sequence[str]) -> list[Inbound]:
        """Rows parked at these orders, by (order, seq)."""
        ...

    async def board(self) -> int:
        """A number that rises with whatever decisions are made by: policies, stops, models,
        settings. 0 before the first."""
        ...

    async def history(self, wanted: Sequence[Wanted], day: int) -> dict[tuple[str, str], History]:
        """What rows know of these customers on that day (days since 1970-01-01), by (entity,
        customer); at most 365 rows and 21 customers a fingerprint are read. Called after `lock`.

        Another customer is one of another id, whichever the entity."""
        ...

    async def caps(self, buckets: Sequence[str]) -> dict[str, tuple[int, int]]:
        """(amount, count) drawn of these buckets. They are locked in their order until the turn
        ends, made where they are not there, and read in a later statement; after `lock`, once.

        A turn that reads some names all it may draw on or give back to: one that draws on another
        besides can meet a deadlock, which is a Retry."""
        ...

    async def write(self, batch: Batch) -> None:
        """Write all of it, set-based, each table sorted by key. Raises Retry or RowRefused."""
        ...


class Claimed(msgspec.Struct, frozen=True):
    """An effect whose lease we just took. `lost`: a lease (whoever held it) had run out.
    `connection` is "" for kind "deadline"."""

    order: str
    effect: str
    connection: str
    kind: str
    lost: bool


class Books(msgspec.Struct, frozen=True):
    """One order and all its journal entries, by number."""

    order: Order
    entries: tuple[Entry, ...]


class CreditNote(msgspec.Struct, frozen=True):
    """A numbered document; `number` 0 and `at` 0 for one that waits for its number."""

    series: str
    number: int
    at: Instant
    document: Document

    @property
    def name(self) -> str:
        """As it is printed: `CN-000001`, "" without a number."""
        return f"{self.series}-{self.number:06}" if self.number else ""


class Principal(msgspec.Struct, frozen=True):
    """Who holds an API key. Only the SHA-256 of the key is stored."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: Instant
    revoked_at: Instant = 0


class Checkpoint(msgspec.Struct, frozen=True):
    """A signed seal over the chains that changed since the one before. `orders` counts all orders
    sealed so far; `previous` is the hash of the checkpoint before ("0"*64 for the first)."""

    number: int
    at: Instant
    orders: int
    heads: tuple[Head, ...]
    previous: str
    key_id: str
    signature: str


class Store(Rulebook, Judgements, SignIns, Desk, Outbox, Protocol):
    """A database. All methods raise StoreUnavailable when it is away, full, locked or slow."""

    def turn(self) -> AbstractAsyncContextManager[Turn]:
        """One transaction: commits when the block ends, rolls back when it raises. Commit errors
        raise Retry (deadlock, serialisation), RowRefused or StoreUnavailable."""
        ...

    # -- life ------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Connect; refuse a schema that is not current (StoreUnavailable names `amends init`)."""
        ...

    async def close(self) -> None: ...

    async def migrate(self) -> None:
        """Make or upgrade the schema (Alembic)."""
        ...

    async def ping(self) -> None:
        """Raises StoreUnavailable unless a write transaction can be opened right now."""
        ...

    async def own(self) -> None:
        """Take the one-server lock of a SQLite file, held until `close` (an OS lock on a file
        beside it, so that a killed server leaves none), and end the leases a server before us left.
        Called after `open`. StoreUnavailable says who holds it. On PostgreSQL nothing to do."""
        ...

    # -- effects ---------------------------------------------------------------------------------
    async def claim(
        self, holder: str, now: Instant, until: Instant, limits: dict[str, int]
    ) -> list[Claimed]:
        """Lease due effects that nobody holds or whose lease ran out, longest ready first, at most
        `limits[connection]` per connection (kind "deadline" under connection ""); FOR UPDATE SKIP
        LOCKED on PostgreSQL. An empty list does not prove that nothing is due."""
        ...

    async def give_up(self, holder: str, claims: Sequence[tuple[str, str]]) -> None:
        """Free leases of (order, effect) we hold and will not use."""
        ...

    async def next_due(self) -> Instant | None:
        """When the next effect can be claimed: it is due and its lease, if any, has run out. May
        be in the past; None if there is no effect at all."""
        ...

    async def heartbeat(self, process: str, now: Instant, forget_before: Instant) -> int:
        """Say that this process lives; forget dead ones; how many live."""
        ...

    async def unmatched_routed(self, limit: int) -> list[Inbound]:
        """Unmatched inbox rows whose payment or order is known by now, oldest first: the safety
        net for a message that raced its order."""
        ...

    async def expire_raw(self, before: Instant) -> int:
        """Blank raw bodies received before then; how many."""
        ...

    # -- reading ---------------------------------------------------------------------------------
    async def order(self, order_id: str) -> Order | None: ...

    async def payment(self, payment_id: str) -> tuple[str, Payment] | None:
        """(order id, payment) by our payment id or by the provider's id."""
        ...

    async def orders(self, cursor: str, limit: int) -> Page:
        """Newest first. Items: id, entity, connection, source_order_id, version, currency,
        remaining, parked (why, "" if not), created_at, updated_at. Here and below a cursor that is
        not ours raises ValueError with a sentence, and so does an unknown filter."""
        ...

    async def refunds(self, filters: dict[str, str], cursor: str, limit: int) -> Page:
        """Newest first; filters: state, order, connection, psp_refund_id. Items: id, order, state,
        amount, amount_succeeded, currency, reason, requested_by, created_at."""
        ...

    async def refund_order(self, refund_id: str) -> str | None:
        """The order of a refund."""
        ...

    async def quote(self, quote_id: str) -> QuoteRow | None: ...

    async def events(self, stream: str, cursor: str, limit: int) -> list[Event]:
        """Events of one stream after seq `cursor`, a decimal number ("" from the first)."""
        ...

    async def entries(self, filters: dict[str, str], cursor: str, limit: int) -> Page:
        """Journal entries with their postings, oldest first by (order, number) or, with no order
        filter, by (at, order, number); filters: order, refund, account, currency, holder. Items:
        order, number, at, kind, entity, currency, functional_currency, refund, leg, psp_refund_id,
        holder (whose gift card or store credit it moves, "" for nobody's), posted_on, tax_point
        (None: nothing of it is tax) and document_date as YYYY-MM-DD, worth (None, or what it is
        valued by: see core/postings.py), postings (account, amount, functional; debit positive)."""
        ...

    async def entry_hashes(self, order_id: str) -> dict[int, str]:
        """`Entry.hash` recomputed from the rows of one order's entries and postings, by number."""
        ...

    async def books(self, after: str, limit: int, only: str = "") -> list[Books]:
        """Orders by id, each with its entries as the rows have them; `only` this order."""
        ...

    async def strangers(self) -> list[str]:
        """Orders that entries or postings name and that are not there; some of them, by id."""
        ...

    async def balances(self, at: Instant | None) -> list[tuple[str, str, int, int]]:
        """(account, currency, amount, functional amount) of all entries up to `at`: what was kept
        last before it, and the entries since."""
        ...

    async def credits(self, holder: str) -> list[tuple[str, str, int]]:
        """(account, currency, amount) of what a holder was given back as gift cards and store
        credit, less what was taken back."""
        ...

    async def keep_balances(self, at: Instant) -> bool:
        """Keep the balances of that instant. False if nothing is kept: they are there already, or
        an older entry came meanwhile. An older entry that comes later takes them back."""
        ...

    async def last_kept(self) -> Instant:
        """Of when the newest kept balances are, 0 if there are none."""
        ...

    async def number_documents(self, series: str, at: Instant, limit: int) -> int:
        """Give documents that wait the next numbers of their entity's series, without gaps, in the
        order in which they wait; how many. Issued at `at`, never before the number before. Two at
        once: the second waits, and goes on where the first ended."""
        ...

    async def credit_notes(self, filters: dict[str, str], cursor: str, limit: int) -> Page:
        """Numbered documents by (entity, series, number); filters: order, refund, entity, series.
        Items: name, series, number, at, and the fields of core.documents.Document."""
        ...

    async def documents_due(
        self, limit: int, after: DueDocument | None = None
    ) -> list[DueDocument]:
        """Documents that wait for a number, in that order, after one of them."""
        ...

    async def number_gaps(self) -> list[tuple[str, str, int, int]]:
        """(entity, series, documents, last number) where those two differ."""
        ...

    async def closed(self) -> dict[str, str]:
        """The last closed period ("2026-10") of each legal entity that has closed one."""
        ...

    async def has_orders(self, entity: str) -> bool:
        """Whether an order is of that legal entity."""

    async def close_period(
        self, entity: str, period: str, at: Instant, actor: str, make: Callable[[Head], Event]
    ) -> bool:
        """Close a period and those before it, with the event that `make` appends to
        `system:ledger`. Waits for turns under way; from then on `write` raises PeriodClosed for an
        entry in them. False if it is closed already."""
        ...

    async def streams(self, after: str, limit: int) -> list[Head]:
        """The tip of every chain as its last event row says, by stream name, for `audit verify`."""
        ...

    async def order_ids(self, after: str, limit: int) -> list[tuple[str, int, str]]:
        """(order id, head_seq, head_hash) from the orders table, by id."""
        ...

    async def notes(self, order_id: str) -> list[NoteText]:
        """The notes of an order, oldest first."""
        ...

    async def person(self, entity: str, person_id: str) -> Person | None: ...

    async def counts(self, now: Instant) -> dict[str, int]:
        """Rows by state, for metrics: effects_due (could be claimed at `now`), inbox_unmatched,
        inbox_parked, refunds_review, refunds_unknown, orders_parked, reviews_overdue (somebody
        should have decided by `now`)."""
        ...

    # -- keys, system events, checkpoints --------------------------------------------------------
    async def add_principal(self, principal: Principal, key_hash: str) -> None: ...

    async def principal(self, key_hash: str) -> Principal | None:
        """The holder of a key that is not revoked."""
        ...

    async def principals(self) -> list[Principal]: ...

    async def revoke(self, principal_id: str, at: Instant) -> bool: ...

    async def append_system(self, stream: str, make: Callable[[Head], Event]) -> Event:
        """Append one event to a `system:*` stream under a lock on that stream: `make` builds it
        from the tip (seq 0 and GENESIS for a new stream) and does nothing else."""
        ...

    async def last_checkpoint(self) -> Checkpoint | None: ...

    async def changed_heads(self, since: Instant) -> list[Head]:
        """Tips of the chains with an event at or after `since`."""
        ...

    async def born(self, since: Instant) -> set[str]:
        """The streams whose first event is at or after `since`."""
        ...

    async def add_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Store it; False if another process has written that number meanwhile."""
        ...
