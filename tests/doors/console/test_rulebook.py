"""A policy as text: what is written reads back, and faults are found on their lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.core.policy import Cap, Document, Row
from amends.core.reasons import Refused
from amends.doors import examples
from amends.doors.console import rulebook
from amends.doors.console.rulebook import Lines, _lines, follows, limit, places, toml
from amends.engine import policies

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
ROW = st.builds(
    Row,
    id=st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True),
    when=TEXT,
    outcome=st.sampled_from(("approve", "review", "decline")),
    reason=st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
    says=TEXT,
    wait_for_receipt=st.booleans(),
    partial_bp=st.integers(1, 10_000),
    fee=st.dictionaries(st.sampled_from(("EUR", "JPY", "KWD")), st.integers(0, 10**12)),
    approver=st.sampled_from((None, "reviewer", "finance")),
    caps=st.lists(st.just("a-day"), max_size=2).map(tuple),
)
CAP = st.builds(
    Cap,
    of=st.sampled_from(("customer", "everybody")),
    per=st.sampled_from(("day", "month")),
    amount=st.none() | st.integers(1, 10**12),
    count=st.none() | st.integers(1, 99),
)
DOCUMENT = st.builds(
    Document,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,20}", fullmatch=True),
    rows=st.lists(ROW, min_size=1, max_size=4).map(tuple),
    caps=st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9-]{0,9}", fullmatch=True), CAP, max_size=2),
    at_purchase=st.booleans(),
)


@given(DOCUMENT)
def test_what_is_written_reads_back(document: Document) -> None:
    assert policies.parse(toml(document).encode(), "toml") == document


@pytest.mark.parametrize("name", examples.NAMES)
def test_the_examples_are_written_and_told(name: str) -> None:
    document = policies.parse(examples.text(name).encode(), "toml")
    assert policies.parse(toml(document).encode(), "toml") == document
    for row in document.rows:
        assert len(follows(row)) == len(_said(row))
    for cap in document.caps.values():
        assert "in a" in limit(cap, "EUR")


def _said(row: Row) -> list[str]:
    plain = ("id", "when", "outcome", "reason", "says")
    bare = Row("plain", "true", "review")
    names = (n for n in Row.__struct_fields__ if n not in plain)
    return [n for n in names if getattr(row, n) != getattr(bare, n)]


def test_faults_are_on_their_lines() -> None:
    text = (
        'name = "x"\n\n[[rows]]\nid = "a"\nwhen = "no.such > 1"\noutcome = "approve"\n'
        'approver = "admin"\n\n[[rows]]\nid = "a"\nwhen = "false"\noutcome = "review"\n'
    )
    document = policies.parse(text.encode(), "toml")
    with pytest.raises(Refused) as refused:
        policies.check(document)
    found = places(text, refused.value.refusal.extra["errors"])
    assert {(one.where, one.line) for one in found} >= {
        ("row 1, when", 5),
        ("row 2, id", 10),
        ("row 2, when", 11),
    }


@pytest.mark.parametrize(
    ("text", "line"), [('name = "x\n', 1), ('name = "x"\nrows = 3\n', 0), ("[[rows]]\n= 1\n", 2)]
)
def test_what_cannot_be_read_says_where(text: str, line: int) -> None:
    with pytest.raises(Refused) as refused:
        policies.parse(text.encode(), "toml")
    (found,) = places(text, refused.value.refusal.extra["errors"])
    assert found.line == line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a" + ".a" * 20_000 + " = 1", "20,000 points"),
        ("a = " + "9" * 5000, "A number is too large"),
        ("x = " + "[" * 50_000, "It is not TOML"),
        (
            "\n".join(
                f'[[rows]]\nid = "r{n}"\nwhen = "no.x"\noutcome = "review"' for n in range(5000)
            ),
            "",
        ),
    ],
    ids=["dots", "digits", "deep", "rows"],
)
def test_a_text_that_would_take_long_is_refused_at_once(text: str, says: str) -> None:
    """The loop that reads it decides refunds, too."""
    with pytest.raises(Refused) as refused:
        policies.check(policies.parse(f'name = "x"\n{text}'.encode(), "toml"))
    errors = refused.value.refusal.extra["errors"]
    assert len(places(text, errors)) <= 2 and says in errors[0]["detail"]


def test_a_text_is_read_once_for_all_its_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = ", ".join(f"A{n:04} = 1" for n in range(500))
    text = (
        f'name = "x"\n[[rows]]\nid = "a"\nwhen = "true"\noutcome = "approve"\nfee = {{{codes}}}\n'
    )
    with pytest.raises(Refused) as refused:
        policies.check(policies.parse(text.encode(), "toml"))
    read: list[str] = []

    def reading(said: str) -> Lines:
        read.append(said)
        return _lines(said)

    monkeypatch.setattr(rulebook, "_lines", reading)
    found = places(text, refused.value.refusal.extra["errors"])
    assert (len(found), {one.line for one in found}, len(read)) == (500, {6}, 1)
