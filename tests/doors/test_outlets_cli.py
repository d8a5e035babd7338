"""`amends outbox` and `amends stock`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from amends.core.outlets import Books, Goods, Moved
from amends.kernel.time import MINUTE
from amends.store.outbox_spec import Came
from amends.store.spec import Batch
from amends.store.sqlite import SqliteStore
from tests.doors.test_cli import Shell, bare, shell
from tests.store.sql import write

__all__ = ["bare", "shell"]

AT = 1_790_000_000_000_000


def put(shell: Shell, *units: int, why: str = "closed: it is", sku: str = "TEA") -> None:
    """One telling that is stuck, and units of TEA that came back."""

    async def work() -> None:
        store = SqliteStore(shell.folder / "amends.db")
        await store.open()
        day = Books(key="b1", at=AT, day="2026-11-01", currency="EUR", lines=())
        await store.add_tells("books:main", "erp", [(1, day)])
        await store.claim_tells("p", AT, AT + MINUTE, {"erp": 1})
        await store.came("p", [Came("books:main", 1, "stuck", AT, "", why)], AT)
        batch = Batch()
        for n, count in enumerate(units, 1):
            goods = Goods("1", sku, count, "restock", "berlin")
            batch.moved.append(Moved("ord_1", n, AT + n, "R-1", goods, "key:x"))
        await write(store, batch)
        await store.close()

    asyncio.run(work())


def test_what_is_stuck_is_listed_told_again_and_given_up(shell: Shell) -> None:
    put(shell)
    (item,) = shell("outbox", "list", "--state", "stuck", "--json").json["items"]
    assert (item["order"], item["number"], item["detail"]) == ("books:main", 1, "closed: it is")
    assert "closed: it is" in shell("outbox", "list").out
    assert shell("outbox", "retry", "books:main", "1").code == 0
    assert shell("outbox", "drop", "books:main", "1").code == 0
    refused = shell("outbox", "drop", "books:main", "1")
    assert (refused.code, "dropped" in refused.err) == (1, True)
    assert shell("outbox", "retry", "books:main", "7").code == 1
    assert shell("outbox", "replay", "--connection", "no", "--since", "2026-11-01").code == 1
    assert shell("outbox", "enable", "no").code == 1


def test_what_others_said_is_no_markup(shell: Shell) -> None:
    """A party's sentence, and an article's name, are shown as they are."""
    put(shell, 1, why="[connections.erp] [/red]", sku="[/x]")
    assert "[connections.erp] [/red]" in shell("outbox", "list").out
    assert "[/x]" in shell("stock", "report").out


def test_a_state_there_is_not_is_said(shell: Shell) -> None:
    put(shell)
    refused = shell("outbox", "list", "--state", "bogus")
    assert refused.code != 0
    assert "open, stuck, done or dropped" in refused.err


def test_a_file_that_is_no_csv_is_said(shell: Shell) -> None:
    file = shell.folder / "counted.csv"
    file.write_text("sku,location,units\n" + "x" * 200_000 + ",berlin,1\n")
    refused = shell("stock", "count", str(file))
    assert refused.code == 1
    assert "counted.csv: line 2" in refused.err


def test_ghost_stock_is_found(shell: Shell) -> None:
    put(shell, 2, 1)
    told = shell("stock", "report", "--json")
    assert (told.code, told.json["items"][0]["ghost"]) == (0, None), "nobody has counted yet"
    file = shell.folder / "counted.csv"
    file.write_text("sku,location,units\nTEA,berlin,2\nMUG,,1\n")
    at = ("--at", "2026-11-02T18:00:00Z")
    assert shell("stock", "count", str(file), *at).out.startswith("2 of 2")
    assert shell("stock", "count", str(file), *at).out.startswith("0 of 2")
    told = shell("stock", "report", "--json")
    found = {
        one["sku"]: (one["booked"], one["counted"], one["ghost"]) for one in told.json["items"]
    }
    assert (told.code, found) == (1, {"TEA": (3, 2, 1), "MUG": (0, 1, -1)})
    assert "TEA" in shell("stock", "report").out
    assert shell("stock", "report", "--since", "2027-01-01").code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sku,units\nTEA,1\n", "columns sku,location,units"),
        ("sku,location,units\nTEA,a,-1\n", "line 2"),
        ("sku,location,units\nTEA,a,1\nTEA,a,2\n", "a second time"),
    ],
    ids=str,
)
def test_a_count_that_cannot_be_read_changes_nothing(shell: Shell, text: str, said: str) -> None:
    file: Path = shell.folder / "counted.csv"
    file.write_text(text)
    told = shell("stock", "count", str(file))
    assert (told.code, said in told.err) == (1, True), told.err
    assert shell("stock", "report", "--json").json == {"items": []}
