"""A policy as text: TOML of a document, and the lines that its faults are on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from amends.core.policy import Cap, Document, Row
from amends.doors.console.render import money
from amends.engine import policy_desk

_HEAD = re.compile(r"\s*\[\[\s*rows\s*\]\]")
_FIELD = re.compile(r"\s*(\w+)\s*=")
Lines = dict[tuple[int, str], int]  # by row and field the line, "" being that the row begins on


def toml(document: Document) -> str:
    """A document as people write it; reading it again gives the same."""
    plain = policy_desk.plain(document)
    parts = [f"name = {_value(plain['name'])}"]
    if document.at_purchase:
        parts.append("at_purchase = true")
    for name, cap in plain.get("caps", {}).items():
        parts += ["", f"[caps.{name}]", *_pairs(cap)]
    for row in plain["rows"]:
        parts += ["", "[[rows]]", *_pairs(row)]
    return "\n".join(parts) + "\n"


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    for name, value in table.items():
        yield f"{name} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = ", ".join(f"{_value(name)} = {_value(one)}" for name, one in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, str) and '"' in value and not re.search(r"['\x00-\x1f\x7f]", value):
        return f"'{value}'"  # nothing is escaped in it
    # JSON's strings, lists, numbers and booleans are TOML's, but for one character
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


class Place(NamedTuple):
    """A fault of a text: where in words, its line (0: not known), and what is wrong."""

    where: str
    line: int
    says: str


def places(text: str, errors: list[dict[str, str]]) -> list[Place]:
    """Where the faults of a text are. The text is read once, however many there are."""
    lines = _lines(text)
    return [_place(lines, one["pointer"], one["detail"]) for one in errors]


def _lines(text: str) -> Lines:
    found: Lines = {}
    number = -1
    for line, said in enumerate(text.splitlines(), 1):
        if _HEAD.match(said):
            number += 1
            found[number, ""] = line
        elif number >= 0 and (field := _FIELD.match(said)):
            found.setdefault((number, field[1]), line)
    return found


def _place(lines: Lines, pointer: str, says: str) -> Place:
    parts = [part for part in pointer.split("/") if part]
    if len(parts) > 1 and parts[0] == "rows" and parts[1].isdigit():
        number = int(parts[1])
        words = ", ".join([f"row {number + 1}", *parts[2:]])
        field = parts[2] if parts[2:] else ""
        return Place(words, lines.get((number, field), lines.get((number, ""), 0)), says)
    found = re.search(r"line (\d{1,6})", says)
    return Place(", ".join(parts), int(found[1]) if found else 0, says)


# -- in words --------------------------------------------------------------------------------------

_PLAIN = {
    "returnless": "the goods stay with the customer",
    "wait_for_receipt": "leaves once the goods are back",
    "store_credit_first": "as store credit where the customer agrees",
    "second_person": "a second person",
}


def follows(row: Row) -> list[str]:
    """What a row says beside its outcome, in words."""
    found = []
    for name, value in policy_desk.row_options(row).items():
        if name in _PLAIN:
            found.append(_PLAIN[name])
        elif name == "approver":
            found.append(f"{value} or higher decides")
        elif name == "partial_bp":
            found.append(f"{_percent(value)} of it")
        elif name == "restocking_bp":
            found.append(f"{_percent(value)} of the goods kept back")
        elif name == "fee":
            fees = ", ".join(money(n, code) for code, n in value.items())
            found.append(f"fee of {fees} kept back")
        elif name == "caps":
            found.append(f"within the caps {', '.join(value)}")
    return found


def _percent(bp: int) -> str:
    whole, rest = divmod(bp, 100)
    return f"{whole}.{rest:02}\u202f%" if rest else f"{whole}\u202f%"


_OF = {"everybody": "everybody together", "requester": "one who asks", "address": "one address"}


def limit(cap: Cap, currency: str) -> str:
    """A cap in a sentence."""
    of = _OF.get(cap.of, f"one {cap.of}")
    parts = [money(cap.amount, currency)] if cap.amount is not None else []
    parts += [f"{cap.count} refunds"] if cap.count is not None else []
    over = "goes to a person" if cap.over == "review" else "is declined"
    return f"{' and '.join(parts)} for {of} in a {cap.per}; what is over it {over}."
