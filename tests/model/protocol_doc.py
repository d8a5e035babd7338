"""Writes docs/protocol.md: what the search of the leg's protocol covers, and what every precaution
is for. `python -m tests.model.protocol_doc` writes it, and prints it."""

from __future__ import annotations

from pathlib import Path

from tests.model.protocol import Guards, World, moves, same, wrong
from tests.model.search import Found, explore

PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"

WHY = {
    "stable_key": "The same bytes again have the same key",
    "intent_first": "The intent is committed before its first byte leaves",
    "retention": "No resend once the provider may have forgotten the key",
    "margin": "... and none so late that it may have by the time the bytes arrive",
    "lookup_delay": '"Not found" counts only some time after the last byte',
    "doubt": '"Declined" after an unknown outcome is no answer',
    "unknown": "A timeout or a server's error is no failure",
    "lease": "Nobody takes a row over before its lease is over",
    "lease_at_send": "No first byte leaves late in a lease",
    "look_first": "A new key only after a look-up that found nothing",
    "overtaken": "A look-up asked before the last byte settles nothing",
}

HEAD = """# The protocol of a leg, searched whole

Written by `python -m tests.model.protocol_doc`; do not edit.

`tests/model/protocol.py` is a small model of how one leg is paid: its row, two workers with a
lease, the wire, a provider that keeps keys for a while and lists a refund only after a while. At
every step any of this may happen: a worker dies, bytes are lost or late, an answer is lost, the
provider refunds, declines, says "already refunded", answers with an error that it keeps under the
key (having refunded or not), turns a request away, forgets the key; a webhook comes; time passes.

A breadth-first search visits every state. In each, money has moved at most once; if the leg rests
as failed none has, if it rests as succeeded it has once; and some way leads to rest.
"""

BOUNDS = """The bounds: one leg, two workers, at most two requests on the wire, two keys. Durations
are small numbers of ticks; a retention of four ticks stands for Stripe's 24 hours. Amounts, other
legs of the payment, refunds that are pending or fail later are not in it (`tests/core` has those).
Nor are authorizations, captures, and providers that answer no look-up (`test_webhooks_only.py`
there) or tell nothing but by look-ups (`test_by_look.py`).
Both workers read one clock: what is newest is told by counting events, but "not found" counts by
instants, so `lookup_delay` must be more than clocks differ.
A third key is where the search ends; it counts as a way to rest.

The model shares no code with the engine. `tests/model/twin.py` ties them: each situation in which
the search has the engine decide is come to by a shortest way on a real order, and after every step
`core.decide` has made of the real leg what the model made of its own, lease included; long random
walks do the same. What carries requests (`engine/deliver.py`, `engine/sweep.py`) is not compared:
its rules on leases are assumed here and held by [the crash points](crash-points.md).

## What every precaution is for

Taken out one at a time, the search comes to money lost, by these shortest ways. A and B are two
processes; time passes in ticks.
"""


def whole() -> Found[World]:
    return explore(World(), moves, wrong, same)


def without(guard: str) -> Found[World]:
    """The search with one precaution taken out."""
    guards = Guards()._replace(**{guard: False})
    return explore(World(), lambda world: moves(world, guards), wrong, same)


def size(found: Found[World]) -> str:
    return f"{len(found.states):,} states, {found.edges:,} moves"


def trace(found: Found[World]) -> str:
    """The way to the wrong state, a line a move."""
    steps = [label for label, _ in found.way(found.bad)]
    lines = [f"{number:>2}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join([*lines, f"    → {wrong(found.states[found.bad])}"])


def committed() -> str:
    return PAGE.read_text(encoding="utf-8")


def page() -> str:
    parts = [HEAD, f"With all precautions: **{size(whole())}, nothing wrong in any.**\n", BOUNDS]
    for guard in Guards._fields:
        parts += [f"### {WHY[guard]}\n", "```text", trace(without(guard)), "```\n"]
    return "\n".join(parts).rstrip() + "\n"


def main() -> None:
    text = page()
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
