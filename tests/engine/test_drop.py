"""Files for books that have no connector: whole, the same again, and believed by bean-check."""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.chart import Name
from amends.core.documents import Document
from amends.core.outlets import (
    Booked,
    Books,
    CreditNote,
    Goods,
    GoodsReturned,
    LinesReleased,
    RefundPaid,
)
from amends.engine.config import ConfigError, parse
from amends.engine.drop import MAIN, Dropper, droppers
from amends.gateways.spec import Settings
from amends.kernel.outcome import Accepted, Declined, NotSent

AT = 1_790_000_000_000_000  # 2026-09-21
DOCUMENT = Document(
    *("credit_note", "ord_1", 4, "rf_1", "main", "shop-1", "1001", "INV-7", "2026-09-01"),
    *("2026-09-21", "return", "USD", 2667, 533, 3200, True, ()),
)
NOTE = CreditNote(
    key="ord_1-4",
    at=AT,
    order="ord_1",
    shop="shop-1",
    shop_order="10/01",
    document=DOCUMENT,
    booked=(
        Booked("sales_returns", 2436, "USD", 2667),
        Booked("tax_payable", 487, "USD", 533),
        Booked("refunds_payable", -2923, "USD", -3200),
    ),
)
PAID = RefundPaid(
    *("ord_1-4", "rf_1", 3200, "USD", "clearing:stripe-eu", "re_1"),
    key="ord_1-4-6",
    at=AT,
    order="ord_1",
    booked=(
        Booked("refunds_payable", 2923, "USD", 3200),
        Booked("clearing:stripe-eu", -2923, "USD", -3200),
    ),
)
DAY = Books(
    key="books-a/../b-2026-09-20",
    at=AT,
    day="2026-09-20",
    currency="EUR",
    lines=(
        Booked("goodwill", 500, "EUR", 500),
        Booked("refunds_payable", -500, "EUR", -500),
        Booked("fx_gain_loss", 7, "USD", 0),
        Booked("refunds_payable", -7, "USD", 0),
    ),
)
BACK = GoodsReturned(
    *("R-1", (Goods("1", "TEA", 2, "restock", "berlin"), Goods("1", "TEA", 1, "write_off"))),
    key="ord_1-m2",
    at=AT,
    order="ord_1",
)
NAMES = {"sales_returns": Name("8700", "Erlösschmälerungen")}


def settings(**values: str) -> Settings:
    return Settings(name="books", gateway="files", values={"folder": "drop", **values})


async def dropped(folder: Path, *tellings: Any, **values: str) -> list[str]:
    """The names of the files, in the order they were written."""
    dropper, found = Dropper(folder, "EUR", NAMES), []
    for telling in tellings:
        outcome = await dropper.send(telling, settings(**values))
        assert isinstance(outcome, Accepted), outcome
        found.append(outcome.reference)
    return found


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


async def test_each_telling_is_a_table_of_its_own(tmp_path: Path) -> None:
    names = await dropped(tmp_path, NOTE, PAID, BACK, DAY)
    assert names == [
        "2026-09-21-credit_note-ord_1-4.csv",
        "2026-09-21-refund_paid-ord_1-4-6.csv",
        "2026-09-21-goods_returned-ord_1-m2.csv",
        "2026-09-20-books-books-a%2F..%2Fb-2026-09-20.csv",
    ]
    note, paid, back, day = (table(tmp_path / "drop" / name) for name in names)
    assert [row["amount"] for row in note] == ["2667", "533", "-3200"]
    assert (note[0]["account_number"], note[0]["invoice"]) == ("8700", "INV-7")
    assert (note[0]["functional_amount"], note[0]["functional_currency"]) == ("2436", "EUR")
    assert {(row["refund"], row["reference"]) for row in paid} == {("rf_1", "re_1")}
    assert [(row["units"], row["disposition"]) for row in back] == [
        ("2", "restock"),
        ("1", "write_off"),
    ]
    assert sum(int(row["functional_amount"]) for row in day) == 0


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t"])
async def test_no_name_is_a_formula(tmp_path: Path, begins: str) -> None:
    """Ids come from shops and whoever has a key; a spreadsheet runs what begins like one."""
    bad = f"{begins}HYPERLINK(1)"
    goods = GoodsReturned(
        key="k", at=AT, shop_order=bad, return_id=bad, lines=(Goods(bad, bad, 2, location=bad),)
    )
    note, back = await dropped(tmp_path, replace(NOTE, shop_order=bad), goods)
    (row,) = table(tmp_path / "drop" / back)
    for name in ("shop_order", "return_id", "line", "sku", "location"):
        assert row[name] == f"'{bad}"
    rows = table(tmp_path / "drop" / note)
    assert [one["amount"] for one in rows] == ["2667", "533", "-3200"], "an amount is none"
    assert {one["shop_order"] for one in rows} == {f"'{bad}"}


async def test_told_again_it_is_the_same_bytes_under_the_same_name(tmp_path: Path) -> None:
    for format_ in ("csv", "beancount"):
        (name,) = await dropped(tmp_path, NOTE, format=format_)
        before = sorted((p.name, p.read_bytes()) for p in (tmp_path / "drop").iterdir())
        (tmp_path / "drop" / name).write_text("half a fi")
        assert await dropped(tmp_path, NOTE, format=format_) == [name]
        after = sorted((p.name, p.read_bytes()) for p in (tmp_path / "drop").iterdir())
        assert after == before, "and nothing else is left lying about"


def bean_check(path: Path) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("beancount") is None:
        pytest.skip("beancount is not in this environment: make setup installs it from the lock")
    words = [sys.executable, "-m", "beancount.scripts.check", "--no-cache", str(path)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


async def test_bean_check_believes_the_folder_and_no_other_cent(tmp_path: Path) -> None:
    names = await dropped(tmp_path, NOTE, PAID, DAY, BACK, format="beancount")
    said = bean_check(tmp_path / "drop" / MAIN)
    assert (said.returncode, said.stderr) == (0, ""), said.stderr
    for name in names[:3]:
        file = tmp_path / "drop" / name
        text = file.read_text()
        file.write_text(
            re.sub(r"(\d)( EUR\n)", lambda m: f"{(int(m[1]) + 1) % 10}{m[2]}", text, count=1)
        )
        assert bean_check(tmp_path / "drop" / MAIN).returncode != 0, name
        file.write_text(text)


async def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "drop").write_text("a file in the way")
    outcome = await Dropper(tmp_path, "EUR", {}).send(NOTE, settings())
    assert isinstance(outcome, NotSent)
    other = await Dropper(tmp_path, "EUR", {}).send(LinesReleased((), key="k", at=AT), settings())
    assert isinstance(other, Declined)


def test_the_settings(tmp_path: Path) -> None:
    books: dict[str, Any] = {"gateway": "files", "folder": "drop", "format": "beancount"}
    whole: dict[str, Any] = {"store": {"url": "sqlite:///a.db"}, "connections": {"books": books}}
    config = parse(whole, tmp_path / "amends.toml")
    assert set(droppers(config.connections, tmp_path, "EUR", {})) == {"files"}
    books["format"] = "xml"
    with pytest.raises(ConfigError, match="format is csv or beancount"):
        parse(whole, tmp_path / "amends.toml")
