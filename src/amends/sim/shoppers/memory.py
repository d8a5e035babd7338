"""What is known of each shopper's past, kept in memory by the rules that rows keep it by.

Sums are over whole UTC days, today included; values are what was asked for, whatever became of it;
of others with the same card, address or device at most OTHERS_MAX are counted. A shop's usual
amounts and its categories' shares are reckoned once a day, when they are first asked for.
"""

from __future__ import annotations

from bisect import insort
from typing import Any

SUMMED = (
    *("orders", "order_value", "refunds", "refund_value"),
    *("not_received", "disputes", "not_returned", "findings"),
)
WINDOWS = {"d30": 30, "d90": 90, "d365": 365}
OTHERS_MAX = 20
DAY = 86_400_000_000


class Memory:
    """Shoppers by their ids; days are counted since 1970-01-01."""

    def __init__(self) -> None:
        self._days: dict[str, dict[int, dict[str, int]]] = {}
        self._seen: dict[tuple[str, str], set[str]] = {}

    def add(self, customer: str, at: int, **sums: int) -> None:
        """Add to the customer's day; `order_max` is a maximum, the rest are sums."""
        day = self._days.setdefault(customer, {}).setdefault(at // DAY, {})
        for name, more in sums.items():
            known = day.get(name, 0)
            day[name] = max(known, more) if name == "order_max" else known + more

    def saw(self, customer: str, sights: dict[str, str]) -> None:
        """Fingerprints (kind -> value) with a customer."""
        for kind, value in sights.items():
            self._seen.setdefault((kind, value), set()).add(customer)

    def past(self, customer: str, sights: dict[str, str], at: int) -> dict[str, Any]:
        """What is known by then, with `first_day` 0 of somebody who was never seen."""
        today = at // DAY
        days = {day: sums for day, sums in self._days.get(customer, {}).items() if day <= today}
        if not days:
            return {"first_day": 0, **self._others(customer, sights)}
        found: dict[str, Any] = {"first_day": min(days)}
        for name, length in WINDOWS.items():
            within = [sums for day, sums in days.items() if day > today - length]
            found[name] = {key: sum(sums.get(key, 0) for sums in within) for key in SUMMED}
        year = [sums for day, sums in days.items() if day > today - WINDOWS["d365"]]
        found["order_max"] = max((sums.get("order_max", 0) for sums in year), default=0)
        return found | self._others(customer, sights)

    def _others(self, customer: str, sights: dict[str, str]) -> dict[str, int]:
        return {
            f"{kind}_others": min(
                len(self._seen.get((kind, value), set()) - {customer}), OTHERS_MAX
            )
            for kind, value in sights.items()
        }


class Usual:
    """What is usual at the shop, reckoned once a day."""

    def __init__(self) -> None:
        self._amounts: list[int] = []
        self._sold: dict[str, int] = {}
        self._back: dict[str, int] = {}
        self._day = 0
        self._shown: dict[str, Any] = {"count": 0, "quantiles": [], "categories": {}}

    def sold(self, category: str, value: int) -> None:
        self._sold[category] = self._sold.get(category, 0) + value

    def asked(self, amount: int, categories: dict[str, int]) -> None:
        """A refund was asked for; `categories` has the value of each that it is of."""
        insort(self._amounts, amount)
        for category, value in categories.items():
            self._back[category] = self._back.get(category, 0) + value

    def shown(self, at: int) -> dict[str, Any]:
        """Count, 19 quantiles (5 % to 95 %) and each category's share in 1/10,000."""
        if at // DAY != self._day:
            self._day = at // DAY
            known = self._amounts
            places = [len(known) * n // 20 for n in range(1, 20)] if known else []
            shares = {
                name: 10_000 * self._back.get(name, 0) // value
                for name, value in self._sold.items()
            }
            quantiles = [known[place] for place in places]
            self._shown = {"count": len(known), "quantiles": quantiles, "categories": shares}
        return self._shown
