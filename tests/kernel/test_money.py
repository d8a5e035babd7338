"""Division has a name: parts sum to the whole, nothing is negative, nothing is a float."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from amends.kernel.check import InvariantBroken
from amends.kernel.currency import EXPONENT, exponent, known
from amends.kernel.money import Money, Rate, allocate, convert, major, scale, share

WEIGHTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=12).filter(any)
TOTALS = st.integers(0, 10**15)
RATES = st.builds(
    Rate,
    st.just("USD"),
    st.just("EUR"),
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.just("config"),
)


@given(total=TOTALS, weights=WEIGHTS)
def test_allocated_parts_sum_to_the_whole(total: int, weights: list[int]) -> None:
    parts = allocate(total, weights)
    assert sum(parts) == total
    assert len(parts) == len(weights)
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert part >= 0
        assert abs(Fraction(total * weight, whole) - part) < 1
        assert weight or not part


@given(weights=WEIGHTS, data=st.data())
def test_a_part_never_exceeds_its_weight_if_the_whole_does_not(
    weights: list[int], data: st.DataObject
) -> None:
    total = data.draw(st.integers(0, sum(weights)))
    parts = allocate(total, weights)
    assert all(part <= weight for part, weight in zip(parts, weights, strict=True))
    assert allocate(sum(weights), weights) == tuple(weights)


@given(total=TOTALS, weights=WEIGHTS)
def test_allocating_a_debt_sums_too(total: int, weights: list[int]) -> None:
    assert sum(allocate(-total, weights)) == -total


def test_what_is_missing_goes_to_the_largest_remainder() -> None:
    """Not to the largest part: five sixths of five rest of 5/6, one sixth of 25/6."""
    assert allocate(5, [1, 5]) == (1, 4)
    assert allocate(10, [1, 6, 8]) == (1, 4, 5)


@given(
    parts=st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=8),
    data=st.data(),
)
def test_parts_of_either_sign_become_smaller_in_proportion(
    parts: list[int], data: st.DataObject
) -> None:
    whole = sum(parts)
    assume(whole > 0)
    total = data.draw(st.integers(0, whole))
    scaled = scale(total, parts)
    assert sum(scaled) == total
    for part, less in zip(parts, scaled, strict=True):
        assert 0 <= less <= part or part <= less <= 0, (part, less)
    assert scale(whole, parts) == tuple(parts)
    # What is negative is its share alone, half up, whatever stands beside it.
    for part, less in zip(parts, scaled, strict=True):
        if part < 0:
            assert less == -((2 * -part * total + whole) // (2 * whole))


def test_negative_parts_are_shares() -> None:
    assert scale(50, [120, -20]) == (60, -10)
    assert scale(1, [3, -1]) == (2, -1)
    assert scale(0, [5, -2]) == (0, 0)


def test_nothing_scaled_is_nothing() -> None:
    assert scale(0, [0, 0]) == (0, 0)


def test_ties_go_to_the_earlier_part() -> None:
    assert allocate(100, [1, 1, 1]) == (34, 33, 33)
    assert allocate(2, [1, 1, 1]) == (1, 1, 0)
    assert allocate(1, [0, 5, 5]) == (0, 1, 0)


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [-1, 2], [-5]])
def test_weights_that_cannot_be(weights: list[int]) -> None:
    with pytest.raises(InvariantBroken, match="weights"):
        allocate(1, weights)


@given(whole=TOTALS, parts=st.integers(1, 1000), data=st.data())
def test_shares_taken_one_after_the_other_sum_to_the_whole(
    whole: int, parts: int, data: st.DataObject
) -> None:
    left, units = whole, parts
    while units:
        some = data.draw(st.integers(1, units))
        taken = share(left, some, units)
        assert 0 <= taken <= left
        left, units = left - taken, units - some
    assert left == 0


def test_a_share_rounds_half_up() -> None:
    assert share(9600, 1, 3) == 3200
    assert (share(5, 1, 2), share(1, 1, 3), share(2, 1, 3)) == (3, 0, 1)
    assert (share(7, 0, 3), share(7, 3, 3)) == (0, 7)
    for part, parts in ((-1, 3), (4, 3), (0, 0)):
        with pytest.raises(InvariantBroken):
            share(7, part, parts)


@given(minor=TOTALS, rate=RATES)
def test_conversion_is_symmetrical_and_half_away_from_zero(minor: int, rate: Rate) -> None:
    there = convert(minor, rate)
    assert convert(-minor, rate) == -there
    exact = Fraction(minor * rate.numerator, rate.denominator)
    assert abs(there - exact) <= Fraction(1, 2)
    assert there - exact != Fraction(-1, 2)


def test_conversion_between_exponents() -> None:
    assert convert(1000, Rate("JPY", "EUR", 61, 100, "ECB")) == 610
    assert convert(1, Rate("KWD", "EUR", 3, 10, "ECB")) == 0
    assert convert(5, Rate("A", "B", 1, 10, "x")) == 1
    assert convert(-5, Rate("A", "B", 1, 10, "x")) == -1


def test_money_adds_only_in_its_own_currency() -> None:
    assert Money(5, "EUR") + Money(6, "EUR") - Money(1, "EUR") == Money(10, "EUR")
    for combine in (Money.__add__, Money.__sub__):
        with pytest.raises(InvariantBroken, match="do not add"):
            combine(Money(1, "EUR"), Money(1, "USD"))


def test_money_has_no_division() -> None:
    with pytest.raises(TypeError):
        Money(5, "EUR") / 2  # type: ignore[operator]


WRITTEN = [
    (-1050, "EUR", "-10.50"),
    (5, "EUR", "0.05"),
    (0, "EUR", "0.00"),
    (1050, "JPY", "1050"),
    (1050, "KWD", "1.050"),
    (-7, "CLF", "-0.0007"),
]


@pytest.mark.parametrize(("minor", "currency", "text"), WRITTEN)
def test_edge_16_as_people_write_it(minor: int, currency: str, text: str) -> None:
    assert major(minor, currency) == text
    assert str(Money(minor, currency)) == f"{text} {currency}"


def test_edge_16_exponents() -> None:
    assert [exponent(code) for code in ("EUR", "JPY", "KWD", "CLF", "ISK", "HUF", "MGA")] == [
        *(2, 0, 3, 4, 0, 2, 2)
    ]
    assert all(len(code) == 3 and code.isupper() for code in EXPONENT)
    assert known("HRK"), "orders made in a retired currency can still be owed money"
    for unknown in ("eur", "XXQ", "", "EURO"):
        assert not known(unknown)
        with pytest.raises(KeyError):
            exponent(unknown)
