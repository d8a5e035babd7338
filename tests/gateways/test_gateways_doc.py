"""The capability table of the documentation is the records', and says all of them."""

from __future__ import annotations

import re
from pathlib import Path

from amends.gateways.registry import HEARING, PROVIDERS
from amends.kernel.time import DAY, HOUR, MINUTE, SECOND
from tests.gateways import edges, gateways_doc


def test_the_table_is_what_the_records_say() -> None:
    written = gateways_doc.PAGE.read_text(encoding="utf-8")
    assert written == gateways_doc.page(), "run: python -m tests.gateways.gateways_doc"


def test_every_gateway_has_its_column() -> None:
    head = gateways_doc.table().splitlines()[0]
    assert all(f"`{name}`" in head for name in HEARING)


def test_the_facts_are_held_by_tests_that_are_there() -> None:
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", gateways_doc.PAGE.read_text(encoding="utf-8"))
    assert len(named) == 12
    root = gateways_doc.PAGE.parents[1]
    for path, name in named:
        assert f"def {name}(" in (root / path).read_text(encoding="utf-8"), name


def test_every_edge_case_is_shown_at_every_provider_or_cannot_be() -> None:
    for number in edges.CASES:
        shown = set(edges.HELD[number])
        assert not {name for name in shown if (number, name) in edges.NOT_THERE}
        assert set(PROVIDERS) == shown | {n for case, n in edges.NOT_THERE if case == number}
        for file, test in edges.HELD[number].values():
            text = (Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8")
            assert f"def test_edge_{number:02d}_{test}(" in text, (file, test)


def test_durations_are_exact() -> None:
    shown = [gateways_doc.duration(value) for value in (45 * DAY, DAY, 2 * DAY, 90 * MINUTE)]
    assert shown == ["45 days", "24 h", "2 days", "90 min"]
    assert [gateways_doc.duration(value) for value in (3 * HOUR, 61 * SECOND, 0)] == [
        "3 h",
        "61 s",
        "–",
    ]
