"""Writes the table of fields of docs/policies.md from the code; the prose around it is kept.

`python -m tests.core.policy_doc` writes it; a test holds that what is committed is what this would
write.
"""

from __future__ import annotations

import re
from pathlib import Path

from amends.core.fields import FIELDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policies.md"
ENDS = "<!-- fields -->\n", "\n<!-- end of fields -->"
TYPES = {"int": "number", "bool": "true or false", "string": "text", "strings": "list of texts"}


def table() -> str:
    rows = [
        f"| `{f.name}` | {TYPES[f.type]} | {f.words} | {'guess' if f.guess else ''} |"
        for f in FIELDS
    ]
    return "\n".join(["| field | type | what it says | |", "|---|---|---|---|", *rows])


def page(text: str) -> str:
    """The page with its table as it should be, between two comments."""
    pattern = re.compile(re.escape(ENDS[0]) + ".*?" + re.escape(ENDS[1].strip()), re.DOTALL)
    assert pattern.search(text), "no place for the table"
    return pattern.sub(lambda _: ENDS[0] + table() + ENDS[1], text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
