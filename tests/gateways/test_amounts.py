"""Every party that moves money: our amounts in its units, and back (edge-16)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from amends.core.effects import RefundIntent
from amends.gateways.spec import Unwritable
from amends.kernel.currency import EXPONENT
from amends.kernel.outcome import Accepted
from tests.gateways.table import MoneyTable
from tests.gateways.test_providers import TABLES, every


def _worked() -> list[Any]:
    return [
        pytest.param(table, *case, id=f"{name}: {case[1]} {case[0]}")
        for name, table in TABLES.items()
        for case in table.amounts.worked
    ]


def _unsayable() -> list[Any]:
    anywhere = (("XXX", 5), ("EUR", 0), ("EUR", -1))
    return [
        pytest.param(table, currency, minor, id=f"{name}: {minor} {currency}")
        for name, table in TABLES.items()
        for currency, minor in (*table.amounts.unsayable, *anywhere)
    ]


def _comes_back(table: MoneyTable, asked: RefundIntent) -> tuple[int, str]:
    """The amount and currency the party says it refunded, after doing what it was asked."""
    request = table.gateway.write(asked, table.settings)
    outcome = table.gateway.parse(asked, table.amounts.echo(asked, request))
    assert isinstance(outcome, Accepted), outcome
    assert outcome.refund is not None
    return outcome.refund.amount, outcome.refund.currency


@pytest.mark.parametrize(("table", "currency", "minor", "said"), _worked())
def test_edge_16_amounts_are_written_in_the_party_s_units(
    table: MoneyTable, currency: str, minor: int, said: Any
) -> None:
    asked = replace(table.amounts.refund, currency=currency, amount=minor)
    assert table.amounts.said(table.gateway.write(asked, table.settings)) == said
    assert _comes_back(table, asked) == (minor, currency)
    if table.amounts.rest is not None:
        rest = replace(table.amounts.rest, currency=currency, amount=minor)
        assert table.amounts.said(table.gateway.write(rest, table.settings)) == said


@pytest.mark.parametrize(("table", "currency", "minor"), _unsayable())
def test_edge_16_what_cannot_be_said_exactly_is_not_written(
    table: MoneyTable, currency: str, minor: int
) -> None:
    with pytest.raises(Unwritable):
        asked = replace(table.amounts.refund, currency=currency, amount=minor)
        table.gateway.write(asked, table.settings)


@every
@settings(max_examples=20, deadline=None)
@given(units=st.integers(1, 10**12))
def test_edge_16_every_currency_makes_the_round_trip_or_is_refused(
    table: MoneyTable, units: int
) -> None:
    able = table.gateway.CAPABILITIES
    carried = able.decimals or EXPONENT
    for currency in EXPONENT:
        step = able.multiple_of.get(currency, 1)
        asked = replace(table.amounts.refund, currency=currency, amount=units * step)
        if currency in carried:
            assert _comes_back(table, asked) == (units * step, currency)
        refused = [asked] if currency not in carried else []
        refused += [replace(asked, amount=units * step - 1)] if step > 1 else []
        for other in refused:
            with pytest.raises(Unwritable, match=currency):
                table.gateway.write(other, table.settings)
