"""Rates of the day from the ECB's file, offline, and its traps: weekends, its end, currencies that
became the euro."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from amends.engine.config import ConfigError, LedgerConfig, parse
from amends.engine.rates import configured, daily
from amends.kernel.money import Rate, convert


def on(currency: str, day: str, functional: str = "EUR") -> Rate | None:
    source = daily(LedgerConfig(functional_currency=functional))
    assert source is not None
    return source(currency, day)


def exact(rate: Rate | None) -> Fraction:
    assert rate is not None
    return Fraction(rate.numerator, rate.denominator)


def test_the_rate_of_a_day_is_the_banks_to_the_digit() -> None:
    rate = on("USD", "2026-10-30")
    assert exact(rate) == 1 / Fraction("1.1172")
    assert rate is not None and (rate.source, rate.day) == ("ECB", "2026-10-30")


def test_edge_16_minor_units_are_those_of_each_currency() -> None:
    yen = on("JPY", "2026-10-30")
    assert yen is not None
    per_euro = 100 / exact(yen)  # yen have none, euro have two
    assert 100 < per_euro < 250
    assert convert(5800, yen) == round(5800 * exact(yen))


def test_a_weekend_has_the_rate_of_its_friday() -> None:
    friday, sunday = on("USD", "2026-10-23"), on("USD", "2026-10-25")
    assert sunday == friday and friday is not None
    assert friday.day == "2026-10-23"


def test_easter_is_bridged_and_no_more_than_is_set() -> None:
    monday = on("USD", "2026-04-06")  # closed from Good Friday on
    assert monday is not None and monday.day == "2026-04-02"
    week = daily(LedgerConfig(ecb_days=7))
    assert week is not None
    ended = week("USD", "2026-11-06")
    assert ended is not None and ended.day == "2026-10-30"
    assert week("USD", "2026-11-07") is None, (
        "the file has ended: no rate is better than an old one"
    )
    older = on("USD", "2026-12-31")
    assert older is not None and older.day == "2026-10-30", "and it says how old it is"
    assert on("USD", "2027-01-01") is None


@pytest.mark.parametrize(
    ("currency", "last", "after", "fixed"),
    [
        ("HRK", "2022-12-30", "2023-01-01", "7.53450"),
        ("BGN", "2025-12-31", "2026-01-01", "1.95583"),
    ],
)
def test_a_currency_that_became_the_euro_keeps_the_rate_it_was_converted_at(
    currency: str, last: str, after: str, fixed: str
) -> None:
    before, since, later = (on(currency, day) for day in (last, after, "2030-06-01"))
    assert before is not None and before.source == "ECB"
    assert since == later and since is not None and (since.source, since.day) == ("EU", "")
    assert exact(since) == 1 / Fraction(fixed)
    crossed = on(currency, "2026-10-30", "USD")
    assert exact(crossed) == Fraction("1.1172") / Fraction(fixed)
    assert crossed is not None and crossed.day == "2026-10-30"


@pytest.mark.parametrize("day", ["2022-05-09", "2026-01-01"])
def test_a_currency_that_is_no_longer_quoted_has_no_rate(day: str) -> None:
    assert on("RUB", day) is None, "its last was of 2022-03-01"


def test_books_in_another_currency_are_crossed_through_the_euro() -> None:
    both = exact(on("USD", "2026-10-30", "GBP"))
    assert both == exact(on("USD", "2026-10-30")) / exact(on("GBP", "2026-10-30"))
    assert exact(on("EUR", "2026-10-30", "USD")) == Fraction("1.1172")


@pytest.mark.parametrize("currency", ["KWD", "XXQ"])
def test_what_the_bank_does_not_quote_has_no_rate(currency: str) -> None:
    assert on(currency, "2026-10-30") is None
    assert on("USD", "2026-10-30", "KWD") is None


@pytest.mark.parametrize("day", ["0001-01-01", "0001-01-03", "1998-12-31", "9999-12-31"])
def test_a_day_that_the_bank_never_saw_has_no_rate(day: str) -> None:
    assert on("USD", day) is None
    assert on("EUR", day, "USD") is None


def test_set_rates_are_exact_and_the_bank_need_not_be_asked() -> None:
    ledger = LedgerConfig(rates={"KWD": "2.99", "JPY": "0.0061", "EUR": "1"}, ecb=False)
    found = configured(ledger)
    assert set(found) == {"KWD", "JPY"}
    assert found["KWD"] == Rate("KWD", "EUR", 299, 1000, "config")
    assert found["JPY"] == Rate("JPY", "EUR", 61, 100, "config")
    assert daily(ledger) is None


def test_a_newer_file_takes_the_place_of_the_installed_one(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("Date,USD,\n2026-11-20,1.1500,\n2026-11-19,N/A,\n")
    source = daily(LedgerConfig(ecb_file="new.csv"), tmp_path)
    assert source is not None
    assert exact(source("USD", "2026-11-21")) == 1 / Fraction("1.15")
    assert source("USD", "2026-11-19") is None
    assert source("CHF", "2026-11-20") is None


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ecb_file: there is no file"):
        parse({"ledger": {"ecb_file": "gone.zip"}}, tmp_path / "amends.toml")


@pytest.mark.parametrize("name", ["rates.zip", "rates.csv"])
@pytest.mark.parametrize("content", [b"<html>not found</html>", b"", b"Date,USD\n", b"\xff\xfe"])
def test_a_file_of_rates_that_is_none_names_itself(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match="ecb_file"):
        daily(LedgerConfig(ecb_file=name), tmp_path)


@pytest.mark.parametrize("rate", ["inf", "nan", "0", "-1", "x"])
def test_a_rate_that_is_none_names_itself(rate: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="USD"):
        parse({"ledger": {"rates": {"USD": rate}}}, tmp_path / "amends.toml")
