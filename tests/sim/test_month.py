"""A small month, proved as the large one is, and what each proof is worth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import month

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if shutil.which("hledger") is None:
        pytest.skip("hledger is not here: apt-get install hledger, and this is tested too")
    pytest.importorskip("beancount", reason="make setup installs it from the lock")
    folder = tmp_path_factory.mktemp("month")
    assert month.play(folder, orders=240, asking=0.4) == []
    month.exported(folder)
    yield folder


def test_the_books_of_a_month_are_right(played: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(month.prove(played)) == []
    said = capsys.readouterr().out
    assert all(
        f"{party}-eu {currency}:" in said
        for party in ("stripe", "adyen", "paypal")
        for currency in ("EUR", "USD", "JPY", "CHF")
    )
    assert "stripe-eu KWD:" in said


def test_a_cent_more_at_a_provider_is_seen(played: Path, tmp_path: Path) -> None:
    told = json.loads((played / "providers.json").read_bytes())
    paid = next(rows for rows in told["payments"].values() if rows[0]["currency"] == "usd")
    paid[0]["captured"] += 1
    (tmp_path / "providers.json").write_text(json.dumps(told))
    (wrong,) = month.clearing(tmp_path, played / "books.csv")
    assert wrong.startswith("('stripe-eu', 'USD') holds")


def test_a_line_less_in_the_books_is_seen(played: Path, tmp_path: Path) -> None:
    lines = (played / "books.csv").read_text().splitlines(keepends=True)
    lines.remove(next(line for line in reversed(lines) if ",refunds_payable," in line))
    (tmp_path / "books.csv").write_text("".join(lines))
    wrong = list(month.trial_balance(played, tmp_path / "books.csv"))
    assert len(wrong) == 3
    assert wrong[0].startswith("the books are off by")
    assert wrong[2] == "amends ledger balances says other than the export"


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("  Assets:A  12.99 EUR", "  Assets:A  13.00 EUR"),
        ("  Assets:A  -0.10 EUR", "  Assets:A  -0.09 EUR"),
        ("  Assets:A  -0.01 EUR", "  Assets:A  0.00 EUR"),
        ("  Assets:A  99 JPY", "  Assets:A  100 JPY"),
        ("  Assets:A  -1.234 KWD", "  Assets:A  -1.233 KWD"),
    ],
)
def test_a_cent_more(line: str, more: str) -> None:
    assert month._cent_more(line) == more
