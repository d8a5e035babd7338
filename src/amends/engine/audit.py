"""`amends audit verify` (invariant I10): recompute every chain, hold it against what was sealed.

An edited, inserted or deleted event is a broken chain; a deleted order is a sealed tip without its
chain; an order that claims to be older than the last seal but is in none was inserted. Journal
entries are sealed by the event that booked them. A chain that moves while it is read is read again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace

from amends.core.events import Event, sealed
from amends.engine.seals import OVERLAP, Unsealable, Witness, is_order, key_id
from amends.kernel.canon import GENESIS, canonical, chain, digest
from amends.kernel.time import Instant
from amends.store.spec import Checkpoint, Store

READ_AGAIN = 10  # times, while the chain keeps moving


class Finding(msgspec.Struct, frozen=True):
    """One thing `audit verify` found wrong; `stream`: an order id, `system:*` or "checkpoints"."""

    stream: str
    seq: int
    what: str


class Report(msgspec.Struct, frozen=True):
    """What `audit verify` looked at and found; notes are worth knowing and no sign of tampering."""

    ok: bool
    streams: int
    events: int
    checkpoints: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


class _Seals(msgspec.Struct):
    """What the folder's checkpoints say: sealed hashes by stream and seq."""

    tips: dict[str, dict[int, str]]
    count: int = 0
    last_number: int = 0
    last_at: Instant = 0


async def verify(store: Store, folder: Path) -> Report:
    """Recompute everything; hold it against the checkpoints in `folder`."""
    findings: list[Finding] = []
    notes: list[str] = []
    seals = _read_seals(folder, findings, notes)
    await _compare_rows(store, seals, findings)
    seen: set[str] = set()
    events = 0
    async for stream in _all_streams(store):
        seen.add(stream)
        count, wrong = await _settled(store, stream, seals)
        events += count
        findings += wrong
    for stream, points in sorted(seals.tips.items()):
        if stream not in seen:
            text = f"sealed up to event {max(points)} and gone with all its events"
            findings.append(Finding(stream, 0, text))
    findings += await _orders_without_events(store, seen)
    return Report(not findings, len(seen), events, seals.count, tuple(findings), tuple(notes))


def _read_seals(folder: Path, findings: list[Finding], notes: list[str]) -> _Seals:
    """Every line of the file: whole, signed by the folder's key, and following the one before."""
    witness = Witness(folder)
    seals = _Seals({})
    try:
        public = witness.key().public_key()
    except Unsealable as error:
        notes.append(f"nothing is sealed here: {error}")
        public = None
    previous, orders = GENESIS, 0
    for checkpoint in witness.follow():
        if digest(checkpoint) == previous:
            continue  # the same line twice: its writer was made up for and finished after all
        problem = _check_seal(checkpoint, public, previous)
        if problem:
            findings.append(Finding("checkpoints", checkpoint.number, problem))
        orders += sum(is_order(h.stream) and h.stream not in seals.tips for h in checkpoint.heads)
        for head in checkpoint.heads:
            seals.tips.setdefault(head.stream, {})[head.seq] = head.hash
        if orders != checkpoint.orders:
            text = f"counts {checkpoint.orders} orders, {orders} were sealed by then"
            findings.append(Finding("checkpoints", checkpoint.number, text))
            orders = checkpoint.orders
        previous = digest(checkpoint)
        seals.count += 1
        seals.last_number, seals.last_at = checkpoint.number, checkpoint.at
    notes += [
        f"line {n} of checkpoints.jsonl is torn (a crash while writing)" for n in witness.torn
    ]
    return seals


def _check_seal(checkpoint: Checkpoint, public: Ed25519PublicKey | None, previous: str) -> str:
    bare = canonical(replace(checkpoint, signature=""))
    if public is None or checkpoint.key_id != key_id(public):
        return "is signed by another key than this folder's"
    if not _signed(public, checkpoint.signature, bare):
        return "the signature is wrong"
    return "" if checkpoint.previous == previous else "does not follow the line before it"


def _signed(public: Ed25519PublicKey, signature: str, content: bytes) -> bool:
    try:
        public.verify(bytes.fromhex(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True


async def _compare_rows(store: Store, seals: _Seals, findings: list[Finding]) -> None:
    row = await store.last_checkpoint()
    if seals.count and (row is None or row.number < seals.last_number):
        text = "the database has lost its copy of it: an older database was put in its place"
        findings.append(Finding("checkpoints", seals.last_number, text))


async def _all_streams(store: Store) -> AsyncIterator[str]:
    after = ""
    while page := await store.streams(after, 500):
        for head in page:
            yield head.stream
        after = page[-1].stream


async def _settled(store: Store, stream: str, seals: _Seals) -> tuple[int, list[Finding]]:
    """One chain, read again while something is wrong with it and it moves: business goes on."""
    count, wrong = 0, [Finding(stream, 0, "never holds still")]
    for _ in range(READ_AGAIN):
        before = await store.order(stream) if is_order(stream) else None
        count, wrong = await _verify_stream(store, stream, seals)
        after = await store.order(stream) if wrong and before else before
        if not wrong or before == after:
            break
    return count, wrong


async def _verify_stream(store: Store, stream: str, seals: _Seals) -> tuple[int, list[Finding]]:
    """Recompute one chain, its books and its order's tip: how many events, and what is wrong."""
    points = dict(seals.tips.get(stream, {}))
    previous, expected, cursor, first_at = GENESIS, 1, "", 0
    books: set[str] = set()
    while page := await store.events(stream, cursor, 500):
        for event in page:
            first_at = first_at or event.at
            problem = _check(event, expected, previous, points)
            if problem:
                return expected, [Finding(stream, event.seq, problem)]
            books.update(event.entries)
            previous, expected = event.hash, event.seq + 1
        cursor = str(page[-1].seq)
    wrong: list[Finding] = []
    if beyond := [seq for seq in sorted(points) if seq >= expected]:
        text = f"sealed, but the chain ends at event {expected - 1}"
        wrong.append(Finding(stream, beyond[0], text))
    if stream not in seals.tips and first_at < seals.last_at - OVERLAP:
        text = "is older than the last checkpoint but was never sealed: inserted afterwards"
        wrong.append(Finding(stream, 1, text))
    if is_order(stream):
        wrong += await _verify_order(store, stream, expected - 1, previous, books)
    return expected - 1, wrong


def _check(event: Event, expected: int, previous: str, points: dict[int, str]) -> str:
    if event.seq != expected:
        return f"event {expected} is missing"
    if event.previous != previous:
        return "does not link to the event before it"
    content = sealed(
        event.stream,
        event.seq,
        event.at,
        event.type,
        event.actor,
        event.fact,
        event.ctx,
        event.body,
        event.entries,
    )
    if chain(previous, content) != event.hash:
        return "its content is not what its hash says: edited"
    if event.seq in points and points.pop(event.seq) != event.hash:
        return "is not the event that was sealed here"
    return ""


async def _verify_order(
    store: Store, stream: str, seq: int, tip: str, books: set[str]
) -> list[Finding]:
    """The order ends where its chain ends, and its journal is what its events booked."""
    wrong: list[Finding] = []
    order = await store.order(stream)
    if order is None:
        wrong.append(Finding(stream, 0, "events without their order"))
    elif (order.head_seq, order.head_hash) != (seq, tip):
        wrong.append(Finding(stream, seq, "the order's tip is not its chain's"))
    found = await store.entry_hashes(stream)
    wrong += [
        Finding(stream, 0, f"journal entry {number} was edited or inserted")
        for number, content in found.items()
        if content not in books
    ]
    if len(found) < len(books):
        wrong.append(Finding(stream, 0, "a journal entry that an event booked is missing"))
    return wrong


async def _orders_without_events(store: Store, seen: set[str]) -> list[Finding]:
    wrong: list[Finding] = []
    after = ""
    while page := await store.order_ids(after, 500):
        for identifier, _, _ in page:
            if identifier not in seen and not await store.events(identifier, "", 1):
                wrong.append(Finding(identifier, 0, "an order without any event"))
        after = page[-1][0]
    return wrong
