"""How the stories are told: line by line as they happen, and a table of checks at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from time import monotonic

import msgspec
from rich.console import Console
from rich.text import Text

from amends.doors.demo.checks import Check
from amends.kernel.money import Money

WIDTH_MAX = 100  # columns; longer lines are hard to read
INDENT = 20  # columns before a sentence: the time and who
NAME, VALUE = 40, 16  # columns of the table of checks: 80 together with what is between
_WHO = {
    "shop": "magenta",
    "support": "blue",
    "lead": "blue",
    "provider": "yellow",
    "adyen": "yellow",
    "paypal": "yellow",
    "stranger": "red",
    "machine": "red",
    "amends": "cyan",
}
_AMOUNT = r"-?\b\d[\d.]* (?:EUR|USD|GBP|JPY|KWD|SEK)\b"
_GOOD = r"\b(?:succeeded|approved|accepted)\b"
_BAD = r"\b(?:failed|refused|lost|killed|kill -9|unknown)\b"


def money(minor: int, currency: str) -> str:
    """An amount as the stories write it: "32.00 EUR", "4980 JPY", "7.250 KWD"."""
    return str(Money(minor, currency.upper()))


class Line(msgspec.Struct, frozen=True):
    """One thing that happened: seconds since the curtain rose, who, and what in a sentence."""

    at: float
    who: str
    text: str


class Story(msgspec.Struct):
    """One story as told so far. `ok` once it ended as it should."""

    number: int
    title: str
    lines: list[Line]
    ok: bool = False
    seconds: float = 0.0


class Teller:
    """Tells to a console, or (None) only remembers."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._began = monotonic()
        self._width = min(console.width, WIDTH_MAX) if console else WIDTH_MAX
        self.stories: list[Story] = []
        self.story = Story(0, "Setting the stage", [])

    @property
    def seconds(self) -> float:
        return round(monotonic() - self._began, 2)

    def cast(self, sandbox: str, server: str, store: str) -> None:
        """Who plays, before the first story."""
        self.note("amends demo", "bold")
        self.note(f"  providers look-alikes of Stripe, Adyen and PayPal at {sandbox}")
        self.note("            that lose answers, repeat themselves and fail when told to")
        self.note("  shop      signs its webhooks (Standard Webhooks); support calls over REST")
        self.note(f"  amends    `amends serve` at {server}, on {store}")

    @contextmanager
    def tells(self, number: int, title: str) -> Iterator[None]:
        """A story; one whose number was told before goes on."""
        begun = self.seconds
        before = next((s for s in self.stories if s.number == number), None)
        self.story = before or Story(number, title, [])
        if before is None:
            self.stories.append(self.story)
        self.story.ok = False
        self._title(number, title)
        yield
        self.story.ok = True
        self.story.seconds = round(self.story.seconds + self.seconds - begun, 2)

    def say(self, who: str, text: str) -> None:
        """One line. `who` is one of the parties; "ok" for how it ended."""
        line = Line(self.seconds, who, text)
        self.story.lines.append(line)
        if self._console is None:
            return
        ended = who == "ok"
        words = Text(text, "green" if ended else "")
        words.highlight_regex(_GOOD, "green")
        words.highlight_regex(_BAD, "red")
        words.highlight_regex(_AMOUNT, "bold")
        margin = Text.assemble(
            (f"{line.at:6.2f} s  ", "dim"),
            ("✓" if ended else who, "bold green" if ended else _WHO.get(who, "")),
        )
        margin.pad_right(INDENT - len(margin))
        for part in words.wrap(self._console, self._width - INDENT):
            part.rstrip()
            self._console.print(Text.assemble(margin, part))
            margin = Text(" " * INDENT)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Something that takes a while; a terminal shows that it goes on."""
        live = self._console is not None and self._console.is_terminal
        with self._console.status(what) if live and self._console else nullcontext():
            yield

    def note(self, text: str, style: str = "") -> None:
        """A line outside the stories."""
        if self._console is not None:
            self._console.print(Text(text, style=style), soft_wrap=True)

    def _title(self, number: int, title: str) -> None:
        if self._console is not None:
            self._console.print()
            self._console.print(Text.assemble((f"{number:2}  ", "bold dim"), (title, "bold")))

    def table(self, checks: Sequence[Check]) -> None:
        """Expected beside found; what is too long for its column goes below."""
        if self._console is None:
            return
        self._console.print()
        title = "Our books against the providers' own truth"
        head = f"{title:{NAME + 4}}{'expected':>{VALUE}}  {'found':>{VALUE}}"
        self._console.print(
            Text.assemble((head[: len(title)], "bold"), (head[len(title) :], "dim"))
        )
        for check in checks:
            mark = ("✓", "bold green") if check.ok else ("✗", "bold red")
            value = (f"{check.found:>{VALUE}}", "" if check.ok else "red")
            below = len(check.found) > VALUE
            row = Text.assemble("  ", mark, f" {check.name:{NAME}}")
            row.append(f"{check.expected:>{VALUE}}", "dim")
            row.append("  ")
            row.append(*((f"{'see below':>{VALUE}}", "red") if below else value))
            self._console.print(row, soft_wrap=True)
            if below:
                for part in Text(check.found, "red").wrap(self._console, self._width - 4):
                    self._console.print(Text.assemble("    ", part))
