"""Every command, what it prints, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from amends.doors import cli

from .conftest import ENVIRONMENT, order_body
from .process import SETTINGS, amends


class Said:
    """How a command ended and what it said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs commands in one folder, in this process."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture

    def __call__(self, *words: str) -> Said:
        self._capture.readouterr()
        code: object = 0
        try:
            cli.main([*words])
        except SystemExit as end:
            code = end.code
        out, err = self._capture.readouterr()
        assert "Traceback" not in err, err
        return Said(int(code) if isinstance(code, int) else 0, out, err)


@pytest.fixture
def bare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AMENDS_CONFIG", raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield Shell(tmp_path, capsys)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def shell(bare: Shell) -> Shell:
    """With settings and a database."""
    (bare.folder / "amends.toml").write_text(SETTINGS.replace("{url}", "http://127.0.0.1:9"))
    assert bare("init").code == 0
    return bare


def orders_file(folder: Path, *orders: dict[str, Any]) -> Path:
    path = folder / "orders.jsonl"
    path.write_text("".join(json.dumps(order) + "\n" for order in orders))
    return path


def test_init_makes_everything_and_leaves_it_alone(bare: Shell) -> None:
    first = bare("init")
    assert (first.code, "new" in first.out) == (0, True)
    (bare.folder / "amends.toml").write_text('[store]\nurl = "sqlite:///amends.db"\n')
    again = bare("init")
    assert (again.code, "new" in again.out) == (0, False)
    assert (bare.folder / "amends.db.audit" / "key.pem").exists()


def test_what_it_writes_is_read_again(bare: Shell) -> None:
    bare("init", "--config", "etc/amends.toml", "--store", "sqlite:///rows.db")
    assert (bare.folder / "etc" / "rows.db").exists()
    assert bare("audit", "verify", "--config", "etc/amends.toml").code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("key", "list"), 1, "amends init"),
        (("serve", "--config", "no.toml"), 1, "no.toml"),
        (("nonsense",), 2, "nonsense"),
        (("serve", "--port", "x"), 2, "--port"),
        (("refund",), 2, "order"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_sentence(
    bare: Shell, words: tuple[str, ...], code: int, said: str
) -> None:
    told = bare(*words)
    assert (told.code, told.out) == (code, "")
    assert said in told.err
    if code == 1:
        assert told.err.count("\n") == 1


def test_a_database_that_was_not_made(bare: Shell) -> None:
    (bare.folder / "amends.toml").write_text("")
    told = bare("key", "list")
    assert (told.code, "amends init" in told.err) == (1, True)
    (bare.folder / "amends.toml").write_text('[store]\nurl = "mysql://x"\n')
    told = bare("audit", "verify")
    assert (told.code, "[store] url" in told.err) == (1, True)


def test_keys_are_made_listed_and_revoked(shell: Shell) -> None:
    made = shell("key", "create", "--name", "support", "--scopes", "refunds:write, read", "--json")
    assert set(made.json) == {"id", "key"}
    assert made.json["key"].startswith("amk_")
    listed = shell("key", "list", "--json").json["items"]
    assert [(k["id"], k["scopes"], k["revoked_at"]) for k in listed] == [
        (made.json["id"], ["refunds:write", "read"], None)
    ]
    assert made.json["key"] not in shell("key", "list").out
    assert shell("key", "revoke", made.json["id"]).code == 0
    assert shell("key", "revoke", made.json["id"]).code == 1
    assert shell("key", "create", "--name", "x", "--scopes", "all").code == 1
    rows = sqlite3.connect(shell.folder / "amends.db")
    found = [text for (text,) in rows.execute("SELECT type FROM events ORDER BY seq")]
    rows.close()
    assert found == ["key.created", "key.revoked"]


def test_an_edited_trail_is_found(shell: Shell) -> None:
    shell("key", "create", "--name", "a", "--scopes", "read")
    assert shell("audit", "checkpoint", "--json").json == {"made": True, "number": 1}
    assert shell("audit", "checkpoint").out == "Nothing has changed since the last checkpoint.\n"
    assert shell("audit", "verify", "--json").json["ok"] is True
    rows = sqlite3.connect(shell.folder / "amends.db")
    with rows:
        rows.execute("DROP TRIGGER IF EXISTS events_no_update")
        for (name,) in rows.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            rows.execute(f'DROP TRIGGER "{name}"')
        rows.execute("UPDATE events SET actor = 'cli:nobody'")
    rows.close()
    told = shell("audit", "verify")
    assert (told.code, "edited" in told.out) == (1, True)
    assert shell("audit", "verify", "--json").json["findings"][0]["stream"] == "system:keys"


def test_a_refund_is_decided_here_and_sent_elsewhere(shell: Shell) -> None:
    path = orders_file(shell.folder, order_body())
    assert shell("import", str(path)).code == 0
    made = shell("refund", "shop-1/1001", "--lines", "1:1", "--key", "t-1", "--json")
    assert (made.code, made.json["amount"], made.json["state"]) == (0, 3200, "sending")
    again = shell("refund", "shop-1/1001", "--lines", "1:1", "--key", "t-1", "--json")
    assert again.json == made.json
    told = shell("refund", "shop-1/1001", "--lines", "1:1", "--shipping", "full")
    assert (told.code, "38.00 EUR, sending" in told.out) == (0, True)
    rows = sqlite3.connect(shell.folder / "amends.db")
    assert rows.execute("SELECT count(*) FROM effects WHERE lease_holder = ''").fetchone() == (2,)
    rows.close()


def test_every_part_of_an_amount_can_be_asked_for(shell: Shell) -> None:
    body = order_body()
    body["charges"] = [
        {"id": "w", "kind": "gift_wrap", "total": 300},
        {"id": "t", "kind": "tip", "total": 200},
    ]
    body["lines"].append({"id": "2", "quantity": 1, "total": 1000})
    body["tenders"][0] |= {"amount": 11_700, "captured": 11_700}
    shell("import", str(orders_file(shell.folder, body)))
    words = ("--lines", "1:1", "--charges", "w:100,t", "--adjust", "2:50", "--reason", "damaged")
    made = shell("refund", "shop-1/1001", *words, "--fee", "restocking:70", "--json")
    assert (made.code, made.json["amount"]) == (0, 3200 + 100 + 200 + 50 - 70)
    whole = shell("refund", "shop-1/1001", "--charges", "full", "--fee", "none", "--json")
    assert whole.json["amount"] == 200
    words = ("--amount", "400", "--reason", "goodwill", "--compensation")
    assert shell("refund", "shop-1/1001", *words, "--json").json["breakdown"]["compensation"] == 400
    words = ("--lines", "1:1", "--statutory", "--waive")
    assert shell("refund", "shop-1/1001", *words, "--json").json["amount"] == 3200


def test_a_manual_payout_is_recorded(shell: Shell) -> None:
    old = order_body() | {"placed_at": "2020-01-01T00:00:00Z"}
    old["tenders"][0]["method"] = "bacs_debit"
    shell("import", str(orders_file(shell.folder, old)))
    told = shell("refund", "shop-1/1001", "--lines", "1:1")
    assert (told.code, "older" in told.out, "payout" in told.out) == (0, True, True)
    refund = told.out.partition(":")[0]
    for words in (("--reference", "Ann Other"), ("--reference", "a", "--way", "cash")):
        assert shell("payout", refund, *words).code == 1
    assert shell("payout", "rf_no", "--reference", "SEPA-1").code == 1
    paid = shell("payout", refund, "--reference", "SEPA-1", "--key", "k", "--json")
    assert (paid.code, paid.json["state"], paid.json["task"]) == (0, "succeeded", None)
    again = shell("payout", refund, "--reference", "SEPA-1", "--key", "k", "--json")
    assert again.json == paid.json
    second = shell("payout", refund, "--reference", "SEPA-2")
    assert (second.code, "wrong_state" in second.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("shop-1/no",), "unknown_order"),
        (("shop-1/1001", "--amount", "999999"), "exceeds_remaining"),
        (("shop-1/1001", "--amount", "-5"), "int >= 1"),
        (("shop-1/1001", "--lines", "9:1"), "unknown_line"),
        (("shop-1/1001", "--lines", "1"), "ID:QUANTITY"),
        (("shop-1/1001", "--lines", "1:1", "--fee", "restocking"), "KIND:AMOUNT"),
        (("shop-1/1001", "--lines", "1:1", "--fee", "whim:5"), "whim"),
        (("shop-1/1001", "--lines", "1:1", "--charges", "w:x"), "ID:AMOUNT"),
        (("shop-1/1001", "--lines", "1:1", "--charges", "w"), "unknown_line"),
        (("shop-1/1001", "--compensation"), "goodwill"),
        (("shop-1/1001", "--lines", "1:²"), "ID:QUANTITY"),
        (("shop-1/1001", "--shipping", "²"), "enum value"),
        (("shop-1/1001", "--charges", "w:²"), "ID:AMOUNT"),
        (("shop-1/1001", "--reason", "whim"), "whim"),
        (("shop-1/1001", "--key", "t-1", "--amount", "7"), "idempotency"),
    ],
    ids=str,
)
def test_refunds_that_are_refused(shell: Shell, words: tuple[str, ...], said: str) -> None:
    shell("import", str(orders_file(shell.folder, order_body())))
    shell("refund", "shop-1/1001", "--amount", "5", "--key", "t-1")
    told = shell("refund", *words)
    assert (told.code, told.out) == (1, "")
    assert said.lower() in told.err.lower()


def test_an_import_is_taken_up_where_it_stopped(shell: Shell) -> None:
    orders = [order_body(str(n), f"pi_{n}") for n in range(1200)]
    orders[3] = {**orders[3], "currency": "XYZ"}
    path = orders_file(shell.folder, *orders)
    with path.open("a") as file:
        file.write("{\n\n")
    first = shell("import", str(path), "--json")
    assert first.code == 1
    assert first.json == {"created": 1199, "known": 0, "refused": 2, "skipped": 0}
    refused = path.with_name("orders.jsonl.refused.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in refused] == [4, 1201]
    assert [json.loads(line)["code"] for line in refused] == ["unknown_currency", "malformed"]
    assert not path.with_name("orders.jsonl.progress").exists()
    again = shell("import", str(path), "--json")
    assert again.json == {"created": 0, "known": 1199, "refused": 2, "skipped": 0}
    stat = path.stat()
    mark = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    progress = path.with_name("orders.jsonl.progress")
    progress.write_text(json.dumps({"file": mark, "line": 1000}))
    assert shell("import", str(path), "--json").json["known"] == 200
    progress.write_text("torn")
    assert shell("import", str(path)).code == 1
    assert shell("import", str(path), "--restart", "--json").json["known"] == 1199


def test_a_csv_groups_its_lines(shell: Shell) -> None:
    path = shell.folder / "orders.csv"
    path.write_text(
        "connection,order_id,currency,payment_connection,psp_payment_id,amount,captured,"
        "line_id,title,quantity,total,tax\n"
        'shop-1,1,EUR,stripe-eu,pi_1,1500,1500,a,"Tea, green",1,1000,160\n'
        "shop-1,1,EUR,stripe-eu,pi_1,1500,1500,b,Pot,1,500,80\n"
        "shop-1,2,EUR,stripe-eu,pi_2,900,,,,,,\n"
        "shop-1,3,EUR,stripe-eu,pi_3,9.00,,,,,,\n"
    )
    told = shell("import", str(path), "--json")
    assert told.json == {"created": 2, "known": 0, "refused": 1, "skipped": 0}
    refused = json.loads((shell.folder / "orders.csv.refused.jsonl").read_text())
    assert (refused["line"], "9.00" in refused["detail"]) == (5, True)
    made = shell("refund", "shop-1/1", "--lines", "a:1,b:1", "--json")
    assert (made.json["amount"], len(made.json["breakdown"]["lines"])) == (1500, 2)
    whole = shell("refund", "shop-1/2", "--json")
    assert whole.json["amount"] == 900
    (shell.folder / "bad.csv").write_text("a,b\n1,2\n")
    assert "connection" in shell("import", "bad.csv").err
    assert shell("import", "none.csv").code == 1


def test_the_books_are_shown_and_exported(shell: Shell) -> None:
    dollars = {**order_body("2", "pi_2"), "currency": "USD"}
    shell("import", str(orders_file(shell.folder, order_body(), dollars)))
    for number in ("1001", "2"):
        assert shell("refund", f"shop-1/{number}", "--lines", "1:1").code == 0
    found = shell("ledger", "balances", "--json").json
    assert sum(row["functional_amount"] for row in found["balances"]) == 0
    assert "sales_returns" in shell("ledger", "balances").out
    assert (
        shell("ledger", "balances", "--at", "2020-01-01T00:00:00Z", "--json").json["balances"] == []
    )
    for day in ("soon", "0001-01-01T00:00:00+23:59"):
        assert "amends:" in shell("ledger", "balances", "--at", day).err
    lines = shell("ledger", "entries", "--json").out.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["claim", "claim"]
    assert "26.67 EUR" in shell("ledger", "entries", "--account", "sales_returns").out
    rows = list(csv.DictReader(io.StringIO(shell("ledger", "export").out)))
    for currency in ("EUR", "USD"):
        assert sum(int(row["amount"]) for row in rows if row["currency"] == currency) == 0
    assert sum(int(row["functional_amount"]) for row in rows) == 0
    beancount = shell("ledger", "export", "--format", "beancount").out
    assert beancount.count("open Income:Sales-returns") == 1
    assert "Liabilities:Refunds-payable  -32.00 USD @@ " in beancount
    hledger = shell("ledger", "export", "--format", "hledger").out
    assert "income:sales-returns  26.67 EUR" in hledger


def test_a_small_difference_is_written_off_and_back(shell: Shell) -> None:
    assert shell("import", str(orders_file(shell.folder, order_body()))).code == 0
    order = shell("refund", "shop-1/1001", "--json").json["order"]
    where = (order, "clearing:stripe-eu")
    assert "as entry 1 of" in shell("ledger", "write-off", *where, "2", "--why", "rounded").out
    large = shell("ledger", "write-off", *where, "101", "--why", "who knows")
    assert (large.code, "write_off_up_to" in large.err) == (1, True)
    assert "by entry 2" in shell("ledger", "reverse", order, "1", "--why", "it came").out
    again = shell("ledger", "reverse", order, "1", "--why", "it came")
    assert (again.code, "was reversed before" in again.err) == (1, True)
    unknown = shell("ledger", "reverse", "ord_none", "2", "--why", "it came")
    assert (unknown.code, "report the order first" in unknown.err) == (1, True)
    kinds = [json.loads(x)["kind"] for x in shell("ledger", "entries", "--json").out.splitlines()]
    assert kinds == ["write_off", "write_off"]
    assert shell("ledger", "check").code == shell("audit", "verify").code == 0


def test_a_month_is_closed_once_and_only_when_it_is_over(shell: Shell) -> None:
    assert shell("ledger", "close", "2020-10").out == "2020-10 is closed for main.\n"
    for month in ("2020-10", "2020-09"):
        again = shell("ledger", "close", month)
        assert (again.code, "is closed already" in again.err) == (1, True)
    assert "has not ended" in shell("ledger", "close", "9999-12").err
    for words in ("2020-13", "october", "2020-1", "2020-010"):
        assert "is no month" in shell("ledger", "close", words).err
    unknown = shell("ledger", "close", "2020-10", "--entity", "mian")
    assert (unknown.code, "'mian'" in unknown.err) == (1, True)
    other = order_body("1002", "pi_2") | {"entity": "other"}
    assert shell("import", str(orders_file(shell.folder, other))).code == 0
    assert shell("ledger", "close", "2020-10", "--entity", "other").code == 0
    assert shell("audit", "verify").code == 0


def test_credit_notes_are_listed(shell: Shell) -> None:
    shell("import", str(orders_file(shell.folder, {**order_body(), "invoice": "INV-7"})))
    refund = shell("refund", "shop-1/1001", "--lines", "1:1", "--json").json["id"]
    said = shell("ledger", "credit-notes").out
    assert ("without number" in said, "32.00 EUR" in said, refund in said) == (True, True, True)
    (line,) = shell("ledger", "credit-notes", "--json", "--refund", refund).out.splitlines()
    note = json.loads(line)
    assert (note["name"], note["invoice"], note["tax"], note["gross"]) == ("", "INV-7", 533, 3200)
    assert shell("ledger", "credit-notes", "--refund", "rf_other").out == ""


def test_edge_19_the_command_names_tenders(shell: Shell) -> None:
    body = order_body()
    body["tenders"][0] |= {"amount": 7200, "captured": 7200}
    body["tenders"].append({"kind": "gift_card", "amount": 3000, "reference": "GC-1"})
    shell("import", str(orders_file(shell.folder, body)))
    named = shell("refund", "shop-1/1001", "--amount", "900", "--tenders", "GC-1:900", "--json")
    assert [(g["kind"], g["state"]) for g in named.json["legs"]] == [("credit", "succeeded")]
    assert shell("refund", "shop-1/1001", "--amount", "5", "--tenders", "GC-1:6").code == 1
    found = shell("ledger", "credits", "GC-1", "--json").json
    assert [row["amount"] for row in found["credits"]] == [900]
    assert "9.00" in shell("ledger", "credits", "GC-1").out
    assert shell("ledger", "check").code == 0


def test_a_worker_does_not_share_a_sqlite_file(shell: Shell) -> None:
    told = shell("worker")
    assert (told.code, "PostgreSQL" in told.err) == (1, True)


def test_help_teaches_with_examples() -> None:
    runner = CliRunner()
    for words in (
        *(["init"], ["serve"], ["worker"], ["sandbox"], ["refund"], ["payout"], ["import"]),
        *(["key", "create"], ["key", "list"], ["key", "revoke"]),
        *(["audit", "verify"], ["audit", "checkpoint"]),
        *(["ledger", "balances"], ["ledger", "entries"], ["ledger", "export"]),
        *(["ledger", "check"], ["ledger", "close"], ["ledger", "credit-notes"]),
        ["ledger", "credits"],
    ):
        told = runner.invoke(cli.app, [*words, "--help"])
        assert told.exit_code == 0, words
        assert f"Example: amends {' '.join(words)}" in told.output, words


def test_the_version_is_told_by_the_installed_command(tmp_path: Path) -> None:
    said = amends(tmp_path, "--version")
    assert (said.returncode, said.stdout.split()[0]) == (0, "amends")
