"""What rows know of customers at one instant: the statements, and what is made of their rows.

Sums over whole days come from one statement, the same on both databases but for how it is told
whom it is about; who else was seen with a fingerprint from another. Both read a bounded number of
rows by a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import fields, replace

from amends.core.history import OTHERS_MAX, UNKNOWN, History, Window
from amends.store.spec import Wanted

SUMMED = tuple(field.name for field in fields(Window))
WINDOWS = (30, 90, 365)  # days, today included

OTHERS = OTHERS_MAX + 1  # the customer among them


def summed(customer: str, entity: str, day: str) -> str:
    """One row for one customer of `d`, by what names customer, entity and day in the statement:
    the first day known, the largest order, and the sums of each window. Nothing: two NULLs first.
    """
    sums = [
        f"coalesce(sum(d.{name}) FILTER (WHERE d.day > {day} - {length}), 0)"
        for length in WINDOWS
        for name in SUMMED
    ]
    whose = f"customer = {customer} AND {{0}}entity = {entity} AND {{0}}day"
    first = f"SELECT min(f.day) FROM customer_days AS f WHERE f.{whose.format('f.')} <= {day}"
    return (
        f"SELECT ({first}) AS first_day, max(d.order_max) AS order_max, {', '.join(sums)}"
        f" FROM customer_days AS d WHERE d.{whose.format('d.')} > {day} - {WINDOWS[-1]}"
        f" AND d.day <= {day}"
    )


def to_history(row: Sequence[Any]) -> History:
    """A customer's days, from a row of `summed`."""
    first, largest, *sums = row
    if first is None:
        return UNKNOWN
    width = len(SUMMED)
    d30, d90, d365 = (Window(*map(int, sums[n : n + width])) for n in range(0, len(sums), width))
    return History(first, d30, d90, d365, largest or 0)


def with_others(
    history: History,
    wanted: Wanted,
    seen: dict[tuple[str, str], set[str]],
) -> History:
    """Add how many others are known; `seen` has the customers by (kind, value)."""
    _, customer, sights = wanted
    others: dict[str, set[str]] = {}
    for kind, value in sights:
        others.setdefault(kind, set()).update(seen.get((kind, value), ()))
    counts = {
        f"{kind}_others": min(len(found - {customer}), OTHERS_MAX) for kind, found in others.items()
    }
    return replace(history, **counts) if any(counts.values()) else history


def merged(wanted: Sequence[Wanted]) -> dict[tuple[str, str], Wanted]:
    """Each customer once, sorted, with the fingerprints of all that name it."""
    sights: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for entity, customer, with_ in wanted:
        sights.setdefault((entity, customer), set()).update(with_)
    return {key: (*key, tuple(sorted(sights[key]))) for key in sorted(sights)}


def fingerprints(wanted: Iterable[Wanted]) -> list[tuple[str, str]]:
    """The (kind, value) to look for, each once, sorted."""
    return sorted({sight for _, _, sights in wanted for sight in sights})


def gathered(found: Iterable[Sequence[Any]]) -> dict[tuple[str, str], set[str]]:
    """Customers by (kind, value), from rows of those three."""
    seen: dict[tuple[str, str], set[str]] = {}
    for kind, value, customer in found:
        seen.setdefault((kind, value), set()).add(customer)
    return seen


def histories(
    wanted: dict[tuple[str, str], Wanted],
    days: Iterable[Sequence[Any]],
    found: Iterable[Sequence[Any]],
) -> dict[tuple[str, str], History]:
    """By (entity, customer). `days` are those two and a row of `summed`; `found` as `gathered`
    takes them."""
    seen = gathered(found)
    known = {(entity, customer): to_history(sums) for entity, customer, *sums in days}
    return {key: with_others(known.get(key, UNKNOWN), who, seen) for key, who in wanted.items()}
