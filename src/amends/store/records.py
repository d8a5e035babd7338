"""Rows as they are handed over: pages and tips, what decisions are made by, people who sign in.

Instants are microseconds, UTC; 0 stands for never.
"""

from __future__ import annotations

from typing import Any

import msgspec

from amends.core.history import Stop
from amends.kernel.time import Instant


class Page(msgspec.Struct, frozen=True):
    """Some rows, and the cursor of the next page ("" at the end)."""

    items: list[dict[str, Any]]
    next: str


class Head(msgspec.Struct, frozen=True):
    """The tip of one event chain."""

    stream: str
    seq: int
    hash: str


class PolicyRow(msgspec.Struct, frozen=True):
    """A version of the policy. `number` counts from 1 without gaps; `doc` is its text, `hash` the
    hash of that. It holds from `effective_from` until the next one does."""

    number: int
    hash: str
    name: str
    doc: str
    effective_from: Instant
    at: Instant
    actor: str


class DraftRow(msgspec.Struct, frozen=True):
    """A policy that decides nothing. `shadow`: it runs beside the one that does."""

    name: str
    doc: str
    hash: str
    shadow: bool
    at: Instant
    actor: str


class StopRow(msgspec.Struct, frozen=True):
    """A stop, and when, by whom and why it was lifted, if it was."""

    stop: Stop
    lifted_at: Instant = 0
    lifted_by: str = ""
    lifted_why: str = ""


class ModelRow(msgspec.Struct, frozen=True):
    """A trained model: its text, and JSON of what else belongs to it; `hash` is of both. Lists
    leave `model` empty."""

    hash: str
    kind: str
    name: str
    model: str
    meta: str
    at: Instant
    actor: str


class ShopStats(msgspec.Struct, frozen=True):
    """What is usual at one connection, as a JSON object, and when it was reckoned."""

    connection: str
    at: Instant
    doc: str


class Amounts(msgspec.Struct, frozen=True):
    """Of how many refunds, and their amounts' 19 quantiles from 5 % to 95 %, functional: each the
    smallest amount that at least so many are not above."""

    count: int
    quantiles: tuple[int, ...]


class User(msgspec.Struct, frozen=True):
    """Somebody who signs in. `password` is Argon2's own text, `totp` the enciphered secret.

    `totp_step` is that of the last code taken, so that none is taken twice; `failures` are those
    in a row; `password_at` 0: the password has to be changed first.
    """

    id: str
    login: str
    name: str
    role: str
    password: str
    totp: str = ""
    totp_step: int = 0
    created_at: Instant = 0
    disabled_at: Instant = 0
    failures: int = 0
    locked_until: Instant = 0
    password_at: Instant = 0


class Session(msgspec.Struct, frozen=True):
    """A browser that signs in, or has: `hash` is the SHA-256 of its cookie, `stage` how far it has
    come, `agent` what it says it is."""

    hash: str
    user_id: str
    stage: str
    csrf: str
    created_at: Instant
    seen_at: Instant
    expires_at: Instant
    agent: str = ""
