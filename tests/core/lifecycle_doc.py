"""Writes docs/lifecycle.md and docs/reasons.md from the code they describe.

`python -m tests.core.lifecycle_doc` writes them; a test holds that what is committed is what this
would write.
"""

from __future__ import annotations

from pathlib import Path

from amends.core.lifecycle import IGNORED, IMPOSSIBLE, NEWS, STATES, TABLE, News
from amends.core.order import LegState
from amends.core.reasons import SENTENCES, Reason

DOCS = Path(__file__).resolve().parents[2] / "docs"

WHERE: dict[LegState, str] = {
    "planned": "reserved, waiting for an approval",
    "sending": "decided; no answer yet",
    "unknown": "it may or may not have happened",
    "pending": "the provider is doing it",
    "requires_action": "the customer must act",
    "awaiting_funds": "no money on the balance there",
    "succeeded": "the money left",
    "failed": "it did not leave, or came back",
    "canceled": "taken back, or canceled there",
}

HEADS = """# The life of a leg

Written from `src/amends/core/lifecycle.py` by `python -m tests.core.lifecycle_doc`; do not edit.

A leg is one movement of money on one payment. News moves it from state to state, and each move has
its actions. What a provider *said* is its newest word, asked for after the leg last moved; what was
*heard* is a webhook or an answer that came late, and only moves a leg forward: what would go back
or sideways leads to a re-read instead.
"""


def lifecycle() -> str:
    parts = [HEADS, "## States\n", _states(), "## Moves\n", _diagram(), "## Every pair\n", _pairs()]
    return "\n".join(parts)


def _states() -> str:
    rows = [f"| `{state}` | {WHERE[state]} |" for state in STATES]
    return "\n".join(["| state | meaning |", "|---|---|", *rows, ""])


def _diagram() -> str:
    """One arrow per pair of states; staying where one is has none."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state in STATES:
        for news in NEWS:
            found = TABLE.get((state, news))
            if found and found[0] != state:
                arrows.setdefault((state, found[0]), []).append(news)
    lines = [f"    {was} --> {to}: {_labels(names)}" for (was, to), names in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> planned", *lines, "```", ""])


def _labels(names: list[str]) -> str:
    """`said_x` and `heard_x` together are x."""
    shown: list[str] = []
    for name in names:
        origin, _, status = name.partition("_")
        both = {f"said_{status}", f"heard_{status}"} <= set(names)
        label = status if origin in ("said", "heard") and both else name
        if label not in shown:
            shown.append(label)
    return ", ".join(shown)


def _pairs() -> str:
    rows = ["| news | " + " | ".join(STATES) + " |", "|---" * (len(STATES) + 1) + "|"]
    rows += [f"| `{news}` | " + " | ".join(_cell(s, news) for s in STATES) + " |" for news in NEWS]
    legend = (
        "A state in bold is where the leg goes; the words after it are the actions. "
        "`·` is ignored on purpose, `✗` cannot happen and raises.\n"
    )
    return "\n".join([legend, *rows, ""])


def _cell(state: LegState, news: News) -> str:
    if (state, news) in IGNORED:
        return "·"
    if (state, news) in IMPOSSIBLE:
        return "✗"
    to, actions = TABLE[(state, news)]
    moved = f"**{to}**" if to != state else ""
    return " ".join(part for part in (moved, ", ".join(actions)) if part)


def reasons() -> str:
    rows = [f"| `{reason.value}` | {SENTENCES[reason]} |" for reason in Reason]
    head = (
        "# Reasons\n\n"
        "Written from `src/amends/core/reasons.py` by `python -m tests.core.lifecycle_doc`; do not "
        "edit.\n\nThe `code` of every error. Where several apply, the one further up is given.\n"
    )
    return "\n".join([head, "| code | what it says |", "|---|---|", *rows, ""])


PAGES = {"lifecycle.md": lifecycle, "reasons.md": reasons}


def main() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
