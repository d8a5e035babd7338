"""Templates to pages: how money, instants and states are written."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec
import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from amends.core.order import shown_state
from amends.core.requests import PayoutWay
from amends.doors.console.words import (
    APPROVE_REASONS,
    CASES,
    DECLINE_REASONS,
    STATES,
    TONES,
    event_words,
    reason_words,
    verb,
)
from amends.engine.people import ROLES
from amends.kernel.money import major
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND, Clock, Instant, parse_rfc3339, rfc3339

HERE = Path(__file__).parent
STATIC = HERE / "static"


class Paper:
    """The templates of a process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._made = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._made.filters |= {
            "money": money,
            "bare": bare,
            "when": when,
            "age": self._age,
            "took": took,
            "share": share,
            "state": state,
            "shown": shown_state,
            "reason": reason_words,
            "told": event_words,
            "score": score,
            "verb": verb,
            "case": lambda what: CASES.get(what, what),
            "iso": rfc3339,
            "said": said,
            "short": short,
            "tail": tail,
            "plainly": lambda code: str(code).replace("_", " ").replace("-", " "),
        }
        self._made.globals |= {"asset": asset, "roles": ROLES, "ways": get_args(PayoutWay)}
        self._made.globals |= {"why": {"approve": APPROVE_REASONS, "decline": DECLINE_REASONS}}

    def page(self, template: str, **values: Any) -> bytes:
        """One page, as bytes."""
        return self._made.get_template(template).render(**values).encode()

    def _age(self, at: Instant | str) -> str:
        return took(max(0, self._clock.now() - _instant(at)))


def money(minor: int, currency: str) -> str:
    """`1,234.50 EUR`."""
    return f"{bare(minor, currency)} {currency}"


def bare(minor: int, currency: str) -> str:
    """The same without its currency, for columns that say it above."""
    text = major(minor, currency)
    sign, digits = ("−", text[1:]) if text.startswith("-") else ("", text)
    whole, dot, rest = digits.partition(".")
    return f"{sign}{int(whole):,}{dot}{rest}"


def when(at: Instant | str | None, precise: bool = False) -> Markup:
    """An instant in UTC, for people and for programs."""
    if not at:
        return Markup('<span class="none">never</span>')
    full = rfc3339(_instant(at))
    shown = f"{full[:10]} {full[11 : 19 if precise else 16]}"
    return Markup('<time datetime="{}">{}\u202fUTC</time>').format(full, shown)


def _instant(at: Instant | str) -> Instant:
    return parse_rfc3339(at) if isinstance(at, str) else at


def took(length: int | None) -> str:
    """Microseconds as people say them."""
    if length is None:
        return "–"
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")):
        if length >= 10 * unit or (length >= unit and unit <= MINUTE):
            return f"{length // unit}\u202f{name}"
        if length >= unit:
            smaller = {DAY: (HOUR, "h"), HOUR: (MINUTE, "min")}[unit]
            rest = length % unit // smaller[0]
            tail = f" {rest}\u202f{smaller[1]}" if rest else ""
            return f"{length // unit}\u202f{name}{tail}"
    return f"{length // 1000}\u202fms"


def share(part: tuple[int, int] | None) -> str:
    """A part of a whole in percent, with one decimal where it is small."""
    if part is None or not part[1]:
        return "–"
    per_mille = (1000 * part[0] * 2 + part[1]) // (2 * part[1])
    if per_mille >= 100 or per_mille % 10 == 0:
        return f"{(per_mille + 5) // 10}\u202f%"
    return f"{per_mille // 10}.{per_mille % 10}\u202f%"


def score(bp: int) -> str:
    """A risk of 1/10,000 in percent."""
    return f"{bp // 100}.{bp % 100 // 10}\u202f%"


def state(name: str) -> Markup:
    """A state as a badge: its word, and a colour that says the same."""
    tone = TONES.get(name, "plain")
    words = STATES.get(name, name.replace("_", " "))
    return Markup('<span class="badge {}">{}</span>').format(tone, words)


def said(value: Any) -> str:
    """A value of a policy, as it is written there."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def short(identifier: str) -> Markup:
    """A long id that may break where there is no room."""
    head, line, tail = str(identifier).rpartition("_")
    return Markup("{}{}<wbr>{}").format(head, line, tail) if line else escape(identifier)


def tail(identifier: str) -> str:
    """A long id by its end, which tells it from others: `rf_…4tw1g8m30w`."""
    head, line, rest = identifier.rpartition("_")
    return f"{head}{line}…{rest[-10:]}" if len(rest) > 12 else identifier


@cache
def asset(name: str) -> str:
    """The address of a static file, another one for other content."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/console/static/{name}?v={digest}"


def qr(text: str) -> Markup:
    """A QR code as SVG, black on white whatever the theme: so that cameras read it."""
    made = segno.make(text, error="m").svg_inline(
        scale=5, border=4, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=False
    )
    return Markup(made)
