"""A replay as a picture: day by day, what left by itself and what would have."""

from __future__ import annotations

from datetime import date

from amends.doors.svg import STYLE, Axis, Box, Look, Points, chart, legend, text
from amends.engine.replay import Day, Replay, Total
from amends.kernel.money import major

WIDE, HIGH = 960, 400
LOOKS = {"old": Look("as it was", "#888", dash=5), "new": Look("as it would be", "#0b62a4")}


def picture(found: Replay, currency: str) -> str:
    """Two charts: the share of refunds, and the amount, that were approved by themselves."""
    days = sorted(found.days)
    first = date.fromisoformat(days[0]) if days else None
    shares: dict[str, Points] = {"old": [], "new": []}
    amounts: dict[str, Points] = {"old": [], "new": []}
    for name in days:
        day = found.days[name]
        x = float((date.fromisoformat(name) - first).days) if first else 0.0
        for key, total in _both(day):
            shares[key].append((x, 100 * total.count / day.all.count))
            amounts[key].append((x, float(major(total.amount, currency))))
    words = (
        f"{found.policy}: {found.decisions:,} decisions, {found.changed.count:,} would be others"
    )
    across = Axis(f"days since {days[0]}" if days else "days")
    boxes: tuple[Box, Box] = ((70, 90, 370, 230), (560, 90, 370, 230))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" role="img">',
        STYLE,
        f'<rect width="{WIDE}" height="{HIGH}" fill="#fff"/>',
        text(70, 30, words, "start", "title"),
        legend(70, 52, tuple(LOOKS.values()), 170),
        chart(boxes[0], _drawn(shares), across, Axis("approved by themselves, %"), LOOKS),
        chart(boxes[1], _drawn(amounts), across, Axis(f"approved a day, {currency}"), LOOKS),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _both(day: Day) -> tuple[tuple[str, Total], ...]:
    return (("old", day.old), ("new", day.new))


def _drawn(lines: dict[str, Points]) -> dict[str, Points]:
    return {key: points for key, points in lines.items() if points}
