"""Writes the tables of docs/gateways.md from the records and tests they describe.

`python -m tests.gateways.gateways_doc` writes it; a test holds that what is committed is what this
would write.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from amends.core.decision import Arrival, Method
from amends.core.parties import Split, SplitWay
from amends.gateways.registry import CERTIFIED, HEARING, PROVIDERS, SIGNS_IN
from amends.gateways.spec import Capabilities
from amends.kernel.currency import EXPONENT
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND
from tests.gateways import edges, reference
from tests.gateways.test_hearing import TABLES as HEARD
from tests.gateways.test_providers import TABLES as MONEY

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gateways.md"
BEGIN = "<!-- Written by `python -m tests.gateways.gateways_doc`; do not edit. -->"
END = "<!-- End of what is written. -->"

WORDS: dict[str, str] = {
    "provider": "moves money",
    "partial": "refunds a part",
    "void": "cancels an authorization",
    "release_part": "releases part of an authorization",
    "reversal": "reverses a payment, captured or not",
    "lookup": "can be asked what became of it",
    "lookup_delay": 'its "not found" counts after',
    "key_ttl": "keeps an idempotency key for",
    "requests_per_second": "requests a second, unless set",
    "settings": "settings of a connection",
    "secrets": "of them secret",
    "optional": "settings that may be left out",
    "lists": "settings that are lists, and may be left out",
    "tables": "settings that are tables, and may be left out",
    "takes": "is told of",
    "own_orders": "only of orders that are its own",
    "one_writer": "one telling at a time",
    "decimals": "currencies, and their decimals where ISO 4217 has others",
    "multiple_of": "amounts only in multiples of (minor units)",
    "methods": "by payment method",
    "arrivals": "the customer sees a refund after",
    "split": "takes sellers' shares back with a refund",
}
DURATIONS = ("lookup_delay", "key_ttl")


def table() -> str:
    """A row per capability, a column per gateway, providers first."""
    records = [party.CAPABILITIES for party in HEARING.values()]
    records.sort(key=lambda record: (not record.provider, record.name))
    fields = [field.name for field in msgspec.structs.fields(Capabilities) if field.name != "name"]
    rows = [
        [WORDS.get(name, name.replace("_", " ")), *(_cell(name, record) for record in records)]
        for name in fields
    ]
    for words, listed in (
        ("wants a login", SIGNS_IN),
        ("signs messages by certificate", CERTIFIED),
    ):
        rows.append([words, *(_yes(r.name in listed) if r.provider else "" for r in records)])
    head = ["", *(f"`{record.name}`" for record in records)]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(name: str, record: Capabilities) -> str:
    value = getattr(record, name)
    if not record.provider and not value:
        return ""
    if name == "decimals":
        return _currencies(value)
    return duration(value) if name in DURATIONS else _shown(value)


def _currencies(decimals: Mapping[str, int]) -> str:
    if not decimals:
        return "all"
    others = {code: there for code, there in decimals.items() if there != EXPONENT[code]}
    return f"{len(decimals)}: {_shown(others)}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return _yes(value)
    if value is None or isinstance(value, Split):
        return _split(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {most}" for key, most in sorted(value.items())) or "–"
    if isinstance(value, tuple):
        return ", ".join(_item(item) for item in value) or "–"
    return str(value)


def _item(value: Any) -> str:
    """A name, or the fields of a record that say something."""
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, Method):
        return _method(value)
    if isinstance(value, Arrival):
        return _arrival(value)
    said = msgspec.to_builtins(value)
    return " ".join(f"{key} {item}" for key, item in said.items())


def _method(method: Method) -> str:
    """What one payment method allows, in words."""
    said = (
        "not refunded" if not method.refunds else "",
        "only whole" if not method.partial else "",
        f"{method.count} refunds at most" if method.count else "",
        f"within {duration(method.within)}" if method.within else "",
        "line items" if method.lines else "",
        "of one capture each" if method.per_capture else "",
    )
    name = f"`{method.prefix}…`" if method.prefix else "all"
    return f"{name} {' and '.join(words for words in said if words)}"


def _arrival(arrival: Arrival) -> str:
    """Between how many days it is seen, and by which ways."""
    ways = ", ".join(f"`{way}`" for way in arrival.ways) or "all others"
    unit = "business days" if arrival.business else "days"
    return f"{ways} {arrival.earliest} to {arrival.latest} {unit}"


SPLITS: dict[SplitWay, str] = {
    "transfer": "in proportion, with or without the platform's fee",
    "amounts": "amounts for each account",
    "fee": "all, less what the platform adds",
}


def _split(split: Split | None) -> str:
    """How sellers' shares are taken back, of how many, and what becomes of it if the refund fails
    late."""
    if split is None:
        return "no"
    many = "any number" if not split.sellers else f"{split.sellers} seller"
    stays = "" if split.returns else "; stays with the platform if it fails late"
    return f"{many}: {SPLITS[split.way]}{stays}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def duration(microseconds: int) -> str:
    """In the largest unit that shows it exactly."""
    for unit, word in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")):
        if microseconds and microseconds % unit == 0 and (microseconds >= 2 * unit or unit != DAY):
            return f"{microseconds // unit} {word}"
    return "–"


def held() -> str:
    """What each is held to: a row per kind of reference, a column per gateway."""
    rows: dict[str, list[str]] = {"": [], "---": []}
    for name, heard in sorted(HEARD.items(), key=lambda item: (item[0] not in MONEY, item[0])):
        vectors = sum(reference.VECTORS[file] for file in heard.vectors)
        messages = sum(reference.PAYLOADS[file] for file in heard.payloads)
        cells = {
            "": f"`{name}`",
            "---": "---",
            "requests valid by its official OpenAPI files": _requests(name),
            "signatures judged as its vectors say": str(vectors or "–"),
            "published messages read": str(messages or "–"),
        }
        for row, cell in cells.items():
            rows.setdefault(row, []).append(cell)
    return "\n".join(f"| {' | '.join((name, *cells))} |" for name, cells in rows.items())


def _requests(name: str) -> str:
    if name not in MONEY:
        return ""
    asked, versions = len(MONEY[name].intents), len(MONEY[name].openapi)
    if not versions:
        return "there are none here"
    return f"{asked}, by each of {versions} versions" if versions > 1 else str(asked)


def met() -> str:
    """The edge cases: a row each, a column per provider, each cell a test that shows it."""
    names = sorted(PROVIDERS)
    rows = [["", "case", *(f"`{name}`" for name in names)], ["---"] * (len(names) + 2)]
    for number, words in edges.CASES.items():
        rows.append([str(number), words, *(_shown_by(number, name) for name in names)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown_by(number: int, provider: str) -> str:
    held = edges.HELD[number].get(provider)
    if held is None:
        return edges.NOT_THERE[number, provider]
    file, test = held
    return f"[{test.replace('_', ' ')}](../tests/gateways/{file}.py)"


def page() -> str:
    """The page with its tables as they should be."""
    tables = iter((table(), held(), met()))
    pieces = PAGE.read_text(encoding="utf-8").split(BEGIN)
    for at, piece in enumerate(pieces[1:], start=1):
        _, _, after = piece.partition(END)
        pieces[at] = f"{BEGIN}\n\n{next(tables)}\n\n{END}{after}"
    return "".join(pieces)


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
