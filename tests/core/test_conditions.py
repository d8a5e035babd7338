"""Conditions of a policy: what is taken, what is refused and with which sentence."""

from __future__ import annotations

from typing import Any

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.core.conditions import (
    ArithmeticFailed,
    BadCondition,
    Type,
    compiled,
    flat,
    holds,
)

FIELDS: dict[str, Type] = {
    "order.amount": "int",
    "order.days": "int",
    "refund.reason": "string",
    "lines.skus": "strings",
    "dispute.open": "bool",
}
VALUES: dict[str, dict[str, Any]] = {
    "order": {"amount": 500, "days": 3},
    "refund": {"reason": "return"},
    "lines": {"skus": ["TEA", "CUP"]},
    "dispute": {"open": False},
}


def _context(groups: dict[str, dict[str, Any]]) -> cel.Context:
    fields = {f"{group}.{name}": x for group, held in groups.items() for name, x in held.items()}
    return cel.Context({flat(name): value for name, value in fields.items()})


@pytest.mark.parametrize(
    ("source", "comes_to"),
    [
        ("order.amount > 3", True),
        ("order.amount>3&&!dispute.open", True),
        ('refund . reason == "return" && "order.amount" != refund\n.reason', True),
        ('refund.reason in ["return", "damaged"] || dispute.open', True),
        ('"TEA" in lines.skus', True),
        ("size(lines.skus) == 2", True),
        ("lines.skus.size() > 2", False),
        ('refund.reason.startsWith("ret")', True),
        ('refund.reason.matches("^r.*n$")', True),
        ("refund.reason == 'it\\'s'", False),
        ("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9", True),
        ("7 / 2 == 3 && 7 % 2 == 1", True),
        ("-order.days < -2", True),
        ("order . amount\n> 1", True),
        ("dispute.open == false", True),
        ("order.days in [1, 2, 3]", True),
        ("true", True),
        ("!!!dispute.open", True),
    ],
)
def test_what_is_taken(source: str, comes_to: bool) -> None:
    assert holds(compiled(source, FIELDS), _context(VALUES)) is comes_to


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "a value is missing before the end"),
        ("order.amout > 3", "There is no field `order.amout`; there are order.amount, order.days."),
        ("amount > 3", "There is no field `amount`"),
        ("order", "`.` is missing"),
        ("true || order.amount", "two conditions, not a condition and a number"),
        ("order.amount", "it must be true or false"),
        ("order.amount == refund.reason", "two values of one kind"),
        ("order.amount in lines.skus", "not a number and a list of texts"),
        ('refund.reason < "x"', "two numbers"),
        ('"a" + "b" == "ab"', "two numbers"),
        ("!order.amount", "takes a condition"),
        ("1 < 2 < 3", "two values of one kind"),
        ("order.amount > 1.5", "cannot be read"),
        ('lines.skus.exists(x, x == "TEA")', "goes over a list, which a condition cannot"),
        ("has(order.amount)", "There is no function `has`"),
        ("int(refund.reason) > 3", "There is no function `int`"),
        ("lines.skus[0] == refund.reason", "cannot be taken apart"),
        ('order["amount"] > 1', "`.` is missing"),
        ("true ? true : false", "cannot be read"),
        ("order.amount > 99999999999999999999", "is larger than"),
        ('refund.reason.matches("[")', "is not a pattern"),
        ("refund.reason.matches(refund.reason)", "a pattern that is written out"),
        ("order.days in []", "contains nothing"),
        ('order.days in [1, "a"]', "must all be texts, or all be numbers"),
        ("(order.days > 1", "`)` is missing before the end"),
        ("order.days > 1 // at once", "a value is missing before `/`"),
        ("(" * 60 + "true" + ")" * 60, "nested more than 40 deep"),
        ("!" * 60 + "true", "nested more than 40 deep"),
        ("true && " * 400 + "true", "characters; at most 2,000 are taken"),
        ("size(refund.reason) > 2", "takes a list"),
    ],
)
def test_what_is_refused(source: str, says: str) -> None:
    with pytest.raises(BadCondition) as caught:
        compiled(source, FIELDS)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "source", ["1 / (order.days - 3) > 0", "order.amount * 9223372036854775807 > 0"]
)
def test_arithmetic_that_fails_is_an_error_and_no_verdict(source: str) -> None:
    with pytest.raises(ArithmeticFailed):
        holds(compiled(source, FIELDS), _context(VALUES))


def test_it_knows_what_it_reads() -> None:
    found = compiled('order.amount > 3 && ("A" in lines.skus || order.amount > 9)', FIELDS)
    assert found.fields == {"order.amount", "lines.skus"}


# -- any condition of the grammar ----------------------------------------------------------------

NUMBERS = st.one_of(st.integers(0, 10**6).map(str), st.sampled_from(["order.amount", "order.days"]))
TEXTS = st.sampled_from(['"return"', "'x'", "refund.reason"])


def _sums(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(inner, st.sampled_from("+-*/%"), inner).map(
        lambda t: f"({t[0]} {t[1]} {t[2]})"
    )


SUMS = st.recursive(NUMBERS, _sums, max_leaves=4)
RELATIONS = st.one_of(
    st.tuples(SUMS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), SUMS).map(" ".join),
    st.tuples(TEXTS, st.sampled_from(["==", "!="]), TEXTS).map(" ".join),
    st.tuples(TEXTS, st.just("in lines.skus")).map(" ".join),
    st.sampled_from(["dispute.open", "true", "false", "size(lines.skus) > 1"]),
)


def _both(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(" ".join),
        inner.map(lambda one: f"!({one})"),
        inner.map(lambda one: f"({one})"),
    )


CONDITIONS = st.recursive(RELATIONS, _both, max_leaves=8)


@settings(max_examples=400)
@given(
    CONDITIONS,
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-1, 400),
    st.sampled_from(["return", "x", ""]),
    st.lists(st.sampled_from(["return", "x"]), max_size=3),
)
def test_what_was_taken_never_meets_a_wrong_type(
    source: str, amount: int, days: int, reason: str, skus: list[str]
) -> None:
    """With any values it comes to true or false, or overflows: the check has seen all else."""
    groups: dict[str, dict[str, Any]] = {
        "order": {"amount": amount, "days": days},
        "refund": {"reason": reason},
        "lines": {"skus": skus},
        "dispute": {"open": True},
    }
    try:
        found = holds(compiled(source, FIELDS), _context(groups))
        assert found is cel.compile(source).execute(cel.Context(groups))  # as it is written
    except ArithmeticFailed as failed:
        words = ("verflow", "division by zero", "modulus", "emainder", "zero")
        assert any(word in str(failed) for word in words), failed


@settings(max_examples=300)
@given(st.text(alphabet="order.amount dispute.open<>=!&|()[]+-*/%\"'1,in", max_size=60))
def test_any_text_is_taken_or_refused_with_a_sentence(source: str) -> None:
    try:
        compiled(source, FIELDS)
    except BadCondition as bad:
        assert str(bad).endswith(".") or "not parse" in str(bad)
