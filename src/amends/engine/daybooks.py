"""The books of a day for ERPs: once a day is over, all that the ledger booked on it and no credit
note or payment has told already, in one balanced telling for each that takes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from amends.core.chart import memo
from amends.core.outlets import Booked, Books, Outlet, Telling
from amends.core.postings import first_open
from amends.core.told import booked_of
from amends.kernel.time import DAY, MINUTE, Instant, day_of
from amends.store.spec import Store

SETTLED = 10 * MINUTE  # after midnight, so that no turn of the day before is still being committed
AT_ONCE = 31  # days, after a long sleep; the rest follows


async def tell_days(store: Store, outlets: Iterable[Outlet], functional: str, now: Instant) -> int:
    """Store what is due; how many days. The first telling to a party is of the day before it was
    connected, and empty: what is older is not its business."""
    made = 0
    for outlet in outlets:
        if "books" in outlet.takes:
            made += await _tell(store, outlet, functional, (now - SETTLED) // DAY - 1)
    return made


async def _tell(store: Store, outlet: Outlet, functional: str, yesterday: int) -> int:
    stream = f"books:{outlet.entity}:{outlet.name}"
    filters = {"order": stream, "connection": outlet.name}
    last = (await store.tells(filters, "", 1)).items
    if not last:
        first: tuple[int, Telling] = (yesterday, _books(outlet, yesterday, functional, "", ()))
        return await store.add_tells(stream, outlet.name, [first])
    closed = (await store.closed()).get(outlet.entity, "")
    found: list[tuple[int, Telling]] = []
    for day in range(int(last[0]["number"]) + 1, yesterday + 1)[:AT_ONCE]:
        lines = await _booked(store, outlet, day)
        found.append((day, _books(outlet, day, functional, closed, lines)))
    return await store.add_tells(stream, outlet.name, found) if found else 0


async def _booked(store: Store, outlet: Outlet, day: int) -> tuple[Booked, ...]:
    since, until = day * DAY, (day + 1) * DAY
    amounts, ours = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for account, currency, amount, worth in await store.day_booked(outlet.entity, since, until):
        amounts[account, currency] += amount
        ours[account, currency] += worth
    told = await store.told_between(outlet.name, outlet.entity, since, until)
    for one in booked_of(told):
        amounts[one.account, one.currency] -= one.amount
        ours[one.account, one.currency] -= one.functional
    known = amounts.keys() | ours.keys()
    keys = sorted(key for key in known if (amounts[key] or ours[key]) and not memo(key[0]))
    return tuple(Booked(a, ours[a, c], c, amounts[a, c]) for a, c in keys)


def _books(
    outlet: Outlet, day: int, functional: str, closed: str, lines: tuple[Booked, ...]
) -> Books:
    """Posted on its day, or on the first open one where that is closed."""
    date = day_of(day * DAY)
    posted = first_open(closed) if closed and date[:7] <= closed else date
    return Books(
        key=f"books-{outlet.entity}-{date}",
        at=(day + 1) * DAY,
        entity=outlet.entity,
        day=posted,
        currency=functional,
        lines=lines,
    )
