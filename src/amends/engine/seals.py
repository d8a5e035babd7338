"""Signed checkpoints (invariant I10): the file that a database's owner cannot rewrite unseen.

Every minute one line is appended to `checkpoints.jsonl`, outside the database: the tips of all
event chains that changed, the number of orders sealed so far and the hash of the line before,
signed with Ed25519. Each folder is a witness of its own: a new one begins by sealing everything.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from msgspec.structs import replace

from amends.kernel.canon import GENESIS, canonical, digest
from amends.kernel.time import MINUTE, Clock
from amends.store.records import Head
from amends.store.spec import Checkpoint, Store

OVERLAP = 2 * MINUTE  # a transaction may commit this long after its events' instants


class Unsealable(Exception):
    """The signing key is not there or not one; the sentence says what to do."""


class Witness:
    """The folder: the signing key and the file of checkpoints, read once and then followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recent: list[Checkpoint] = []  # the last one, and those within OVERLAP before it
        self.torn: list[int] = []  # lines that are not whole: a crash while writing
        self._lines = 0
        self._read_to = 0

    def prepare(self) -> None:
        """Make the folder and the signing key, if they are not there yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "key.pem"
        if not path.exists():
            pem = Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            fresh = self.folder / f"key.{secrets.token_hex(8)}.new"
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
            with suppress(FileExistsError):  # another process was first; theirs is whole
                os.link(fresh, path)
            fresh.unlink()

    def key(self) -> Ed25519PrivateKey:
        """The signing key. Raises Unsealable."""
        path = self.folder / "key.pem"
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise Unsealable(f"{path} cannot be read: {error}. `amends init` makes one.") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Unsealable(f"{path} is not an Ed25519 key.")
        return key

    def follow(self) -> list[Checkpoint]:
        """The checkpoints written since the last call; keeps the recent ones."""
        path = self.folder / "checkpoints.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._read_to)
            whole, _, _ = file.read().rpartition(b"\n")
        self._read_to += len(whole) + 1 if whole else 0
        found = [c for line in whole.split(b"\n") if (c := self._parse(line)) is not None]
        self.recent += found
        if self.recent:
            oldest = self.recent[-1].at - OVERLAP
            self.recent = [c for c in self.recent if c.at >= oldest]
        return found

    def _parse(self, line: bytes) -> Checkpoint | None:
        self._lines += 1
        if not line:
            return None
        try:
            return msgspec.json.decode(line, type=Checkpoint)
        except msgspec.DecodeError:
            self.torn.append(self._lines)
            return None

    def append(self, checkpoint: Checkpoint) -> None:
        """One write, one line, synced: only the last can be torn, and is closed before ours."""
        path = self.folder / "checkpoints.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (b"\n" if torn else b"") + canonical(checkpoint) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Sealer:
    """Makes checkpoints."""

    def __init__(self, store: Store, folder: Path, clock: Clock) -> None:
        self._store, self._clock, self._witness = store, clock, Witness(folder)

    def prepare(self) -> None:
        """Make the folder and the signing key, if they are not there yet."""
        self._witness.prepare()

    async def seal(self) -> Checkpoint | None:
        """One checkpoint over what changed since this folder's last; None if nothing did, or if
        another process is at it. Raises Unsealable, StoreUnavailable."""
        descriptor = os.open(self._witness.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return await self._seal()
        except BlockingIOError:
            return None
        finally:
            os.close(descriptor)

    async def _seal(self) -> Checkpoint | None:
        key = self._witness.key()
        mine = key_id(key.public_key())
        self._witness.follow()
        row = await self._store.last_checkpoint()
        if row is not None and row.key_id == mine and row.number > self._last_number():
            self._witness.append(row)  # its writer stopped between the row and the line
            self._witness.follow()
        draft = await self._draft(row.number + 1 if row else 1, mine)
        if draft is None:
            return None
        checkpoint = replace(draft, signature=key.sign(canonical(draft)).hex())
        if not await self._store.add_checkpoint(checkpoint):
            return None
        self._witness.append(checkpoint)
        return checkpoint

    def _last_number(self) -> int:
        return self._witness.recent[-1].number if self._witness.recent else 0

    async def _draft(self, number: int, mine: str) -> Checkpoint | None:
        recent = self._witness.recent
        last = recent[-1] if recent else None
        since = last.at - OVERLAP if last else 0
        known: dict[str, Head] = {h.stream: h for c in recent for h in c.heads}
        now = self._clock.now()
        heads = [h for h in await self._store.changed_heads(since) if known.get(h.stream) != h]
        if not heads:
            return None
        # An order that began before `since` is in an older checkpoint: all of those sealed it.
        born = await self._store.born(since)
        fresh = sum(h.stream in born and h.stream not in known for h in heads if is_order(h.stream))
        return Checkpoint(
            number=number,
            at=now,
            orders=(last.orders if last else 0) + fresh,
            heads=tuple(sorted(heads, key=lambda h: h.stream)),
            previous=digest(last) if last else GENESIS,
            key_id=mine,
            signature="",
        )


def is_order(stream: str) -> bool:
    """Whether a chain is an order's; the others are `system:*`."""
    return not stream.startswith("system:")


def key_id(key: Ed25519PublicKey) -> str:
    """Names a signing key: the first 16 hex digits of a hash of its public half."""
    return digest(key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex())[:16]
