"""The chronicle of a run as a story to read: virtual day and time, who, what."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from amends.sim.play.wish import Line, Report

STORY_MOST = 200  # lines of a story

# What a line begins with -> whose doing it is; else the world's, or that of an order's people.
WHO = (
    ("VIOLATION", "checker"),
    ("node-", "process"),
    ("wrote ", "amends"),
    ("sent ", "amends"),
    ("webhook ", "provider"),
    ("the desk", "desk"),
    ("support", "desk"),
    ("the bank", "bank"),
    ("shop's ", "shop"),
    ("ask-", "asker"),
)


def clock(at: float) -> str:
    """Virtual seconds as day and time since the world began."""
    day, rest = divmod(at, 86400)
    hour, rest = divmod(rest, 3600)
    minute, second = divmod(rest, 60)
    return f"day {int(day):>2} {int(hour):02}:{int(minute):02}:{second:06.3f}"


def timeline(report: Report, orders: Collection[str] = ()) -> list[str]:
    """The lines of these orders and of the whole world; of all orders if none is named."""
    return [_written(line) for line in report.chronicle if not orders or line.number in orders]


def story(report: Report, target: tuple[str, str]) -> list[str]:
    """What led to a violation (invariant, order number): from the first line about an order to the
    violation, with what struck the whole world meanwhile."""
    found = list(_until(report, target))
    first = next((place for place, line in enumerate(found) if line.number), 0)
    told = [_written(line) for line in found[first:]]
    if len(told) <= STORY_MOST:
        return told
    return [f"… {len(told) - STORY_MOST} earlier lines", *told[-STORY_MOST:]]


def _until(report: Report, target: tuple[str, str]) -> Iterator[Line]:
    invariant, number = target
    for line in report.chronicle:
        yield line
        if line.number == number and line.text.startswith(f"VIOLATION {invariant}:"):
            return


def _written(line: Line) -> str:
    text = re.sub("0{6,}", "…", line.text)  # ids are counted here and begin with zeros
    who = next((name for start, name in WHO if text.startswith(start)), "")
    who = who or ("people" if line.number else "world")
    about = f"order {line.number}" if line.number else ""
    return f"{clock(line.at)}  {about:<9}  {who:<8}  {text}"
