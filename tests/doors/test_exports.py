"""A simulated month, exported: beancount and hledger themselves find nothing, and a single cent
changed in the file makes each of them fail. `amends ledger check` proves the same from the rows.

Both programs are under the GPL and run as separate processes only.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amends.core.chart import CHART, Name
from amends.doors import cli
from amends.engine import journal
from amends.sim.play.room import room
from amends.sim.play.run import play
from amends.sim.play.trouble import PROFILES
from amends.sim.play.wish import Wish

AMOUNT = re.compile(r"(?m)^( +\S+  )(-?\d+\.?\d*) ([A-Z]{3})")
PRICE = re.compile(r"@@ (\d+\.?\d*) ")
NAMES = """
[sales_returns]
number = "8700"
name = "Erlösschmälerungen"
[tax_payable]
number = "1776"
[clearing]
number = "1360"
name = "Providers"
["clearing:stripe-eu"]
number = "1361"
name = "Stripe"
["seller_receivable:acct_1"]
number = "1411"
"""


@pytest.fixture(scope="module")
def month() -> Iterator[Path]:
    """The folder of a month's database, with its settings."""
    with room("", "exports") as (url, folder):
        wish = Wish(
            *(12, url, folder),
            orders=60,
            profile=PROFILES["calm"],
            providers=("stripe", "adyen", "paypal"),
        )
        assert play(wish).violations == []
        store = '[store]\nurl = "sqlite:///amends.db"\n'
        (folder / "amends.toml").write_text(store)
        (folder / "named.toml").write_text(f'{store}[ledger]\naccounts = "accounts.toml"\n')
        (folder / "accounts.toml").write_text(NAMES, encoding="utf-8")
        yield folder


Said = tuple[int, str, str]
Run = Callable[..., Said]


@pytest.fixture
def run(month: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`amends ledger …` on the month's books: how it ended and what it said."""

    def go(*words: str, settings: str = "amends.toml") -> Said:
        code: object = 0
        try:
            cli.main(["ledger", *words, "--config", str(month / settings)])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return (int(code) if isinstance(code, int) else 0, said.out, said.err)

    return go


def bean_check(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("beancount") is None:
        pytest.skip("beancount is not in this environment: make setup installs it from the lock")
    path = folder / "books.beancount"
    path.write_text(text)
    words = [sys.executable, "-m", "beancount.scripts.check", "--no-cache", str(path)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def hledger(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("hledger") is None:
        pytest.skip("hledger is not here: apt-get install hledger, and this is tested too")
    path = folder / "books.journal"
    path.write_text(text)
    words = ["hledger", "-f", str(path), "check", "-s", "ordereddates"]
    return subprocess.run(words, capture_output=True, text=True, check=False)


TOOLS = {"beancount": bean_check, "hledger": hledger}


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["amends.toml", "named.toml"])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_month_is_accepted_by_the_tool_itself(
    run: Run, tool: str, settings: str, tmp_path: Path
) -> None:
    code, text, _ = run("export", "--format", tool, settings=settings)
    told = TOOLS[tool](text, tmp_path)
    assert (code, told.returncode) == (0, 0), told.stderr[:2000]
    assert len(set(re.findall(r"@@ \S+ ([A-Z]{3})", text))) == 1
    assert len({found[2] for found in AMOUNT.findall(text)}) >= 3, "a month of several currencies"
    assert ("1361-stripe" in text.lower()) == (settings == "named.toml")


def _cent_more(found: re.Match[str], group: int) -> str:
    """The matched text with its amount one minor unit higher."""
    amount = found[group]
    places = len(amount.partition(".")[2])
    minor = int(amount.replace(".", "")) + 1
    digits = str(abs(minor)).rjust(places + 1, "0")
    more = ("-" if minor < 0 else "") + (
        f"{digits[:-places]}.{digits[-places:]}" if places else digits
    )
    start, end = found.span(group)
    return found[0][: start - found.start()] + more + found[0][end - found.start() :]


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_a_cent_changed_anywhere_is_refused_by_the_tool(
    run: Run, tool: str, tmp_path: Path
) -> None:
    """In an amount of each currency, foreign ones too, and in a price."""
    _, text, _ = run("export", "--format", tool)
    body = text[: text.rindex("balance")] if tool == "hledger" else text.rpartition("\n\n")[0]
    spoilt = []
    for currency in {found[2] for found in AMOUNT.findall(body)}:
        found = next(m for m in AMOUNT.finditer(body) if m[3] == currency)
        spoilt.append((found, _cent_more(found, 2)))
        if "." in found[2]:  # less than half a cent, which both let pass unless they are told
            spoilt.append((found, f"{found[1]}{found[2]}4 {currency}"))
    price = next(PRICE.finditer(body))
    spoilt.append((price, _cent_more(price, 1)))
    for found, more in spoilt:
        told = TOOLS[tool](text[: found.start()] + more + text[found.end() :], tmp_path)
        assert told.returncode == 1, (found[0], more)


@pytest.mark.slow
def test_refunds_are_links_and_codes(run: Run) -> None:
    _, beancount, _ = run("export", "--format", "beancount")
    _, journal, _ = run("export", "--format", "hledger")
    rows = list(csv.DictReader(io.StringIO(run("export")[1])))
    refunds = {row["refund"] for row in rows if row["refund"]}  # a dispute is of none
    assert refunds == set(re.findall(r"\^(rf_\w+)", beancount))
    assert refunds == set(re.findall(r"\* \((rf_\w+)\) ", journal))
    assert all(re.search(rf'\* "\w+" "{name}" \^{name} \^ord_', beancount) for name in refunds)


@pytest.mark.slow
def test_the_trial_balance_is_zero_and_the_books_are_in_order(run: Run) -> None:
    code, out, _ = run("check", "--json")
    report = json.loads(out)
    assert (code, report["ok"], report["findings"]) == (0, True, [])
    rows = list(csv.DictReader(io.StringIO(run("export")[1])))
    assert report["entries"] == len({(row["order"], row["number"]) for row in rows})
    totals: Counter[str] = Counter()
    for row in rows:
        totals[row["currency"]] += int(row["amount"])
    assert set(totals.values()) == {0}
    assert sum(int(row["functional_amount"]) for row in rows) == 0
    assert "in order." in run("check")[1]


@pytest.mark.slow
def test_the_merchants_numbers_and_names(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("export", settings="named.toml")[1])))
    named = {(row["account"], row["account_number"], row["account_name"]) for row in rows}
    assert ("sales_returns", "8700", "Erlösschmälerungen") in named
    assert ("clearing:stripe-eu", "1361", "Stripe") in named
    assert ("clearing:paypal-eu", "1360", "Providers") in named
    assert ("refunds_payable", "", "") in named
    balances = json.loads(run("balances", "--json", settings="named.toml")[1])["balances"]
    assert {r["number"] for r in balances if r["account"] == "tax_payable"} == {"1776"}
    assert "8700 Erlösschmälerungen" in run("balances", settings="named.toml")[1]


SPOILS = {
    "UPDATE postings SET amount = amount + 1 WHERE account = 'tax_payable'": "is off by 1 ",
    "UPDATE postings SET functional = functional + 1 WHERE account = 'sales_returns'": "is off by",
    "UPDATE postings SET account = 'clearing:other' WHERE account LIKE 'clearing:%'": "was paid",
    "UPDATE postings SET account = 'goodwill' WHERE account = 'refunds_payable' AND amount < 0": (
        "is claimed"
    ),
    "UPDATE postings SET account = 'goodwill' WHERE account = 'customer_receipts'": "captures is",
    "UPDATE postings SET account = 'goodwill' WHERE account = 'refunds_payable'": (
        "The payout is not on refunds_payable"
    ),
    "DELETE FROM entries WHERE number = 1": "are numbered",
    "UPDATE entries SET currency = 'XCD'": "is in XCD",
    "DELETE FROM postings": "has no postings",
    "UPDATE entries SET order_id = 'ord_x' || order_id": "there is no such order",
}


@pytest.mark.slow
@pytest.mark.parametrize("spoil", SPOILS, ids=lambda text: text[:40])
def test_what_is_wrong_in_the_rows_is_told(month: Path, run: Run, spoil: str) -> None:
    database = month / "spoilt.db"
    for left in month.glob("spoilt.db*"):  # of the case before, its log too
        left.unlink()
    shutil.copy(month / "amends.db", database)
    (month / "spoilt.toml").write_text('[store]\nurl = "sqlite:///spoilt.db"\n')
    with sqlite3.connect(database) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in names.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(spoil)
    code, out, _ = run("check", settings="spoilt.toml")
    assert code == 1
    assert SPOILS[spoil] in out
    assert "findings." in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[sale_returns]\nnumber = "1"', "'sale_returns', which amends does not book on"),
        ('["tax_payable:x"]\nnumber = "1"', "there is one tax_payable for all"),
        ('["clearing:"]\nnumber = "1"', "there is one clearing for all"),
        ('["clearing:there"]\nnumber = "1"', "no [connections.there] is configured"),
        ("[tax_payable]", "gives 'tax_payable' no number and no name"),
        ("[tax_payable]\nnumber = 5", "cannot be read"),
        ("tax_payable = ", "cannot be read"),
    ],
)
def test_a_wrong_file_of_accounts_stops_the_start(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "accounts.toml").write_text(text)
    (tmp_path / "amends.toml").write_text('[ledger]\naccounts = "accounts.toml"\n')
    with pytest.raises(SystemExit) as end:
        cli.main(["worker", "--config", str(tmp_path / "amends.toml")])
    told = capsys.readouterr().err
    assert (end.value.code, said in " ".join(told.split())) == (1, True), told


def test_every_account_has_a_place_in_the_books() -> None:
    assert {account.root for account in CHART.values()} <= {
        *("Assets", "Liabilities", "Income", "Expenses", "Equity"),
    }
    assert all(account.holds.endswith(".") for account in CHART.values())


# -- accounts as the tools take them --------------------------------------------------------------


def item(number: int, *postings: tuple[str, int]) -> dict[str, Any]:
    lines = [{"account": a, "amount": n, "functional": n} for a, n in postings]
    dates = dict.fromkeys(("posted_on", "document_date", "tax_point"), "2026-09-21")
    names = {"order": "ord_1", "refund": "rf_1", "leg": "", "psp_refund_id": "", "entity": "main"}
    kind = {"kind": "claim", "currency": "EUR", "functional_currency": "EUR", "postings": lines}
    return {"at": 1_790_000_000 * 10**6 + number, "number": number, **dates, **names, **kind}


BOOKS = (
    item(1, ("sales_returns", 100), ("refunds_payable", -100)),
    item(2, ("refunds_payable", 60), ("clearing:stripe-eu", -60)),
    item(3, ("refunds_payable", 40), ("clearing:adyen-eu", -40)),
    item(4, ("disputed", 7), ("clearing:adyen-eu", -7)),
)
NAMED: dict[str, dict[str, Name]] = {
    "a script without capitals": {"sales_returns": Name("", "返金")},
    "a numeral that is a letter to nobody": {"sales_returns": Name("", "Ⅳ Erlöse")},
    "a raised digit first": {"sales_returns": Name("", "²nd")},
    "nothing that a name may hold": {"sales_returns": Name("", "&/")},
    "an account above others": {"clearing": Name("1360"), "disputed": Name("1360")},
    "one like the others": {"clearing": Name("1360"), "clearing:stripe-eu": Name("1360")},
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("names", NAMED.values(), ids=NAMED)
def test_any_name_of_a_merchant_is_one_that_the_tool_takes(
    names: dict[str, Name], tool: str, tmp_path: Path
) -> None:
    """Beancount counts what is below an account into a balance it asserts; hledger does not."""
    writer = {"beancount": journal.Beancount, "hledger": journal.Hledger}[tool](names)
    text = writer.begin() + "".join(map(writer.entry, BOOKS)) + writer.end()
    told = TOOLS[tool](text, tmp_path)
    assert told.returncode == 0, told.stderr[:300]


# -- amounts that are worth more and less ---------------------------------------------------------


def exchanged(number: int, *postings: tuple[str, int, int]) -> dict[str, Any]:
    """Of dollars, with what they are worth."""
    lines = [{"account": a, "amount": n, "functional": ours} for a, n, ours in postings]
    return {**item(number), "currency": "USD", "postings": lines}


def both_ways(tool: str) -> str:
    """A dispute that takes more may be worth less: its accounts go two ways. And any other."""
    writer: journal.Writer = journal.Beancount({})
    if tool == "hledger":
        writer = journal.Hledger({})
    ways = [(amount, ours) for amount in (-200, -1, 1, 300) for ours in (-150, -1, 0, 1, 100)]
    told = [
        exchanged(n, ("clearing:stripe-eu", amount, ours), ("disputed", -amount, -ours))
        for n, (amount, ours) in enumerate(ways, 1)
    ]
    apart = (("clearing:stripe-eu", -200, 100), ("disputed", 200, 182), ("fx_gain_loss", 0, -282))
    told.append(exchanged(len(told) + 1, *apart))
    return writer.begin() + "".join(map(writer.entry, told)) + writer.end()


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_worth_the_other_way_is_accepted_and_no_cent_of_it_can_change(
    tool: str, tmp_path: Path
) -> None:
    text = both_ways(tool)
    told = TOOLS[tool](text, tmp_path)
    assert told.returncode == 0, told.stderr[:600]
    start, end = text.rindex(" 1.82 EUR") - 200, text.rindex("\n2026")  # the last of them
    spoilt = [(one, _cent_more(one, 2)) for one in AMOUNT.finditer(text, start, end)]
    spoilt += [(one, _cent_more(one, 1)) for one in PRICE.finditer(text, start, end)]
    assert len(spoilt) >= 6
    for one, more in spoilt:
        told = TOOLS[tool](text[: one.start()] + more + text[one.end() :], tmp_path)
        assert told.returncode == 1, (one[0], more)


def test_two_connections_are_two_accounts() -> None:
    names = ("stripe.eu", "stripe_eu", "stripe-eu", "Stripe-EU", "返金", "払戻")
    found = {journal.ledger_account(f"clearing:{name}", {}).lower() for name in names}
    assert len(found) == len(names)
    assert "assets:clearing:stripe-eu" in found
