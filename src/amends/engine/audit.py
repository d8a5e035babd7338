"""Signed checkpoints and their verification (invariant I10).

Every minute one line is appended to `checkpoints.jsonl`, outside the database: the tips of all
event chains that changed, the number of orders sealed so far and the hash of the line before,
signed with Ed25519. `verify` recomputes every chain and holds it against what was sealed: an
edited, inserted or deleted event is a broken chain, a deleted order is a sealed tip without its
chain, an order that claims to be older than the last seal but is in none was inserted.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from msgspec.structs import replace

from amends.core.events import Event, sealed
from amends.kernel.canon import GENESIS, canonical, chain, digest
from amends.kernel.time import MINUTE, Clock
from amends.store.spec import Checkpoint, Head, Store, StoreUnavailable

OVERLAP = 2 * MINUTE  # a transaction may commit this long after its events' instants
READ_AGAIN = 20  # times `verify` follows an order that others move on while it looks


class Finding(msgspec.Struct, frozen=True):
    """One thing `audit verify` found wrong."""

    stream: str
    seq: int
    what: str


class Report(msgspec.Struct, frozen=True):
    """What `audit verify` looked at and found."""

    ok: bool
    streams: int
    events: int
    checkpoints: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


class Sealer:
    """Makes checkpoints. The key and the file live in the audit folder."""

    def __init__(self, store: Store, folder: Path, clock: Clock) -> None:
        self._store, self._folder, self._clock = store, folder, clock

    def prepare(self) -> None:
        """Make the folder and the signing key, if they are not there yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "key.pem"
        if not path.exists():
            pem = Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            fresh = self._folder / f"key.{secrets.token_hex(8)}.new"
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
            with suppress(FileExistsError):  # another process was first; theirs is whole
                os.link(fresh, path)
            fresh.unlink()

    async def seal(self) -> Checkpoint | None:
        """One checkpoint over what changed since the last; None if nothing did or another process
        was faster. The row decides who writes the line; a line that is missing is made up for."""
        last = await self._store.last_checkpoint()
        since = last.at - OVERLAP if last else 0
        now = self._clock.now()
        if last is not None and last.number not in _numbers(self._folder):
            self._append(last)  # its writer stopped between the row and the line
        known = _known_heads(self._folder)
        heads = [h for h in await self._store.changed_heads(since) if known.get(h.stream) != h]
        if not heads:
            return None
        fresh = sum(1 for h in heads if h.stream not in known and _is_order(h.stream))
        key = self._key()
        draft = Checkpoint(
            number=last.number + 1 if last else 1,
            at=now,
            orders=sum(1 for stream in known if _is_order(stream)) + fresh,
            heads=tuple(sorted(heads, key=lambda h: h.stream)),
            previous=digest(last) if last else GENESIS,
            key_id=_key_id(key.public_key()),
            signature="",
        )
        checkpoint = replace(draft, signature=key.sign(canonical(draft)).hex())
        if not await self._store.add_checkpoint(checkpoint):
            return None
        self._append(checkpoint)
        return checkpoint

    def _key(self) -> Ed25519PrivateKey:
        pem = (self._folder / "key.pem").read_bytes()
        key = load_pem_private_key(pem, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise StoreUnavailable(f"{self._folder / 'key.pem'} is not an Ed25519 key")
        return key

    def _append(self, checkpoint: Checkpoint) -> None:
        """One write, one line, synced: a torn line can only be the last one."""
        path = self._folder / "checkpoints.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (b"\n" if torn else b"") + canonical(checkpoint) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_order(stream: str) -> bool:
    return not stream.startswith("system:")


def _key_id(key: Ed25519PublicKey) -> str:
    return digest(key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex())[:16]


def _lines(folder: Path) -> list[tuple[int, Checkpoint | None]]:
    path = folder / "checkpoints.jsonl"
    if not path.exists():
        return []
    found: list[tuple[int, Checkpoint | None]] = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line:
            try:
                found.append((number, msgspec.json.decode(line, type=Checkpoint)))
            except msgspec.DecodeError:
                found.append((number, None))
    return found


def _numbers(folder: Path) -> set[int]:
    return {checkpoint.number for _, checkpoint in _lines(folder) if checkpoint is not None}


def _known_heads(folder: Path) -> dict[str, Head]:
    return {
        head.stream: head
        for _, checkpoint in _lines(folder)
        if checkpoint is not None
        for head in checkpoint.heads
    }


async def verify(store: Store, folder: Path) -> Report:
    """Recompute everything; hold it against the checkpoints in `folder`."""
    findings: list[Finding] = []
    notes: list[str] = []
    sealed_heads, checkpoints, last_at = await _read_seals(store, folder, findings, notes)
    seen: set[str] = set()
    events = 0
    async for head in _all_heads(store):
        seen.add(head.stream)
        events += await _verify_stream(store, head, sealed_heads, last_at, findings)
    for stream, points in sorted(sealed_heads.items()):
        if stream not in seen:
            text = f"sealed up to event {max(points)} and gone with all its events"
            findings.append(Finding(stream, 0, text))
    await _verify_orders(store, seen, findings)
    return Report(not findings, len(seen), events, checkpoints, tuple(findings), tuple(notes))


async def _read_seals(
    store: Store, folder: Path, findings: list[Finding], notes: list[str]
) -> tuple[dict[str, dict[int, str]], int, int]:
    """Sealed tips by stream and seq; how many checkpoints; when the last one was made."""
    heads: dict[str, dict[int, str]] = {}
    lines = _in_order(folder, findings, notes)
    public = _public_key(folder)
    previous, last_at, count = GENESIS, 0, 0
    for checkpoint in lines:
        bare = replace(checkpoint, signature="")
        if public is None or not _signed(public, checkpoint.signature, canonical(bare)):
            findings.append(Finding("checkpoints", checkpoint.number, "the signature is wrong"))
        if checkpoint.number != count + 1:
            gone = f"checkpoints {count + 1} to {checkpoint.number - 1} are not in the file"
            findings.append(Finding("checkpoints", checkpoint.number, gone))
        elif checkpoint.previous != previous:
            findings.append(Finding("checkpoints", checkpoint.number, "does not follow the last"))
        previous, last_at, count = digest(checkpoint), checkpoint.at, checkpoint.number
        for head in checkpoint.heads:
            heads.setdefault(head.stream, {})[head.seq] = head.hash
        orders = sum(1 for stream in heads if _is_order(stream))
        if orders != checkpoint.orders:
            notes.append(f"checkpoint {checkpoint.number} counts {checkpoint.orders} orders")
    row = await store.last_checkpoint()
    if row is not None and row.number > count:
        notes.append(f"the database knows checkpoint {row.number}, the file ends at {count}")
    if row is None and count:
        findings.append(Finding("checkpoints", count, "the database has lost its checkpoints"))
    return heads, len(lines), last_at


def _in_order(folder: Path, findings: list[Finding], notes: list[str]) -> list[Checkpoint]:
    """Each checkpoint once: when its writer is slow, another process writes its line too."""
    found: dict[int, Checkpoint] = {}
    for line, checkpoint in _lines(folder):
        if checkpoint is None:
            notes.append(f"line {line} of checkpoints.jsonl is torn (a crash while writing)")
        elif found.setdefault(checkpoint.number, checkpoint) != checkpoint:
            text = f"line {line} holds another checkpoint of the same number"
            findings.append(Finding("checkpoints", checkpoint.number, text))
    return [found[number] for number in sorted(found)]


def _public_key(folder: Path) -> Ed25519PublicKey | None:
    path = folder / "key.pem"
    if not path.exists():
        return None
    key = load_pem_private_key(path.read_bytes(), password=None)
    return key.public_key() if isinstance(key, Ed25519PrivateKey) else None


def _signed(public: Ed25519PublicKey, signature: str, content: bytes) -> bool:
    try:
        public.verify(bytes.fromhex(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True


async def _all_heads(store: Store) -> AsyncIterator[Head]:
    after = ""
    while page := await store.streams(after, 500):
        for head in page:
            yield head
        after = page[-1].stream


async def _verify_stream(
    store: Store,
    head: Head,
    sealed_heads: dict[str, dict[int, str]],
    last_at: int,
    findings: list[Finding],
) -> int:
    """Recompute one chain; how many events it has."""
    points = dict(sealed_heads.get(head.stream, {}))
    previous, expected, cursor, first_at = GENESIS, 1, "", 0
    # Before the events: what is committed meanwhile has its event, but not yet its entry, here.
    entries = await store.entry_hashes(head.stream) if _is_order(head.stream) else {}
    books: set[str] = set()
    while page := await store.events(head.stream, cursor, 500):
        for event in page:
            first_at = first_at or event.at
            problem = _check(event, expected, previous, points)
            if problem:
                findings.append(Finding(head.stream, event.seq, problem))
                return expected
            books.update(event.entries)
            previous, expected = event.hash, event.seq + 1
        cursor = str(page[-1].seq)
    for seq in sorted(points):
        if seq >= expected:
            text = f"sealed, but the chain ends at event {expected - 1}"
            findings.append(Finding(head.stream, seq, text))
            return expected
    if not sealed_heads.get(head.stream) and first_at and first_at < last_at - OVERLAP:
        text = "is older than the last checkpoint but was never sealed: inserted afterwards"
        findings.append(Finding(head.stream, 1, text))
    await _verify_books(store, head.stream, books, entries, findings)
    return expected - 1


def _check(event: Event, expected: int, previous: str, points: dict[int, str]) -> str:
    if event.seq != expected:
        return f"event {expected} is missing"
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
    if event.previous != previous:
        return "does not link to the event before it"
    if chain(previous, content) != event.hash:
        return "its content is not what its hash says: edited"
    if event.seq in points and points.pop(event.seq) != event.hash:
        return "is not the event that was sealed here"
    return ""


async def _verify_books(
    store: Store, stream: str, books: set[str], entries: dict[int, str], findings: list[Finding]
) -> None:
    """Every journal entry is one an event sealed, and the other way round."""
    for number, content in entries.items():
        if content not in books:
            findings.append(Finding(stream, 0, f"journal entry {number} was edited or inserted"))
    if books - set(entries.values()):
        later = await store.entry_hashes(stream)
        if books - set(later.values()):
            text = "a journal entry that an event booked is missing"
            findings.append(Finding(stream, 0, text))


async def _verify_orders(store: Store, seen: set[str], findings: list[Finding]) -> None:
    """Every order row has its chain, and ends where its chain ends; every chain has its order."""
    after = ""
    without = {stream for stream in seen if _is_order(stream)}
    while page := await store.order_ids(after, 500):
        for identifier, seq, tip in page:
            without.discard(identifier)
            problem = await _tip_problem(store, identifier, seq, tip)
            if problem:
                findings.append(Finding(identifier, seq, problem))
        after = page[-1][0]
    findings += [Finding(stream, 0, "its order is gone") for stream in sorted(without)]


async def _tip_problem(store: Store, identifier: str, seq: int, tip: str) -> str:
    """What is wrong between an order and its chain; read again while others move both on."""
    tail: list[Event] = []
    for _ in range(READ_AGAIN):
        tail = await store.events(identifier, str(seq - 1), 2)
        if len(tail) == 1 and tail[0].hash == tip:
            return ""
        order = await store.order(identifier)
        if order is None or order.head_seq <= seq:
            break
        seq, tip = order.head_seq, order.head_hash
    if not tail and not await store.events(identifier, "", 1):
        return "an order without any event"
    return "the order's tip is not its chain's"
