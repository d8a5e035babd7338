"""`amends policy …` and `amends stop …`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from amends.core.fields import FIELDS
from amends.core.requests import CustomerIn, RefundIn
from amends.doors import examples
from amends.engine import actions
from amends.engine.actions import Caller
from amends.engine.config import load
from amends.engine.wiring import Engine
from amends.store.open import connect
from tests.engine.lab import report

from .test_cli import Shell, bare, shell

__all__ = ["bare", "shell"]  # fixtures

SMALL = """
name = "small"
[[rows]]
id = "large"
when = "refund.amount > 3000"
outcome = "review"
reason = "large"
says = "We look at it."
approver = "finance"
[[rows]]
id = "rest"
when = "true"
outcome = "approve"
"""


@pytest.fixture
def written(shell: Shell) -> Shell:
    (shell.folder / "small.toml").write_text(SMALL)
    return shell


def test_a_condition_is_shown_as_it_is(shell: Shell) -> None:
    """A list of fields looks like a terminal's markup, and would be left out."""
    text = SMALL.replace("refund.amount > 3000", "1 in [refund.amount] || 2 in [refund.amount]")
    (shell.folder / "lists.toml").write_text(text)
    shown = shell("policy", "show", "lists.toml")
    assert (shown.code, "".join(shown.out.split()).count("[refund.amount]")) == (0, 2), shown


@pytest.fixture
def judged(written: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shell, list[str]]]:
    """With three refunds that the built-in policy decided."""
    yield written, asyncio.run(_refunds(written.folder))


async def _refunds(folder: Path) -> list[str]:
    store = connect(f"sqlite:///{folder / 'amends.db'}")
    await store.open()
    engine = Engine(load(folder / "amends.toml"), store, sends=False)
    await engine.start(sweep=False)
    caller, found = Caller("key:shop", "key:shop"), []
    for number, amount in enumerate((1000, 4000, 20_000)):
        told = await actions.report_order(
            engine, caller, report(str(number), 30_000, customer=CustomerIn("c-1"))
        )
        order = told.results[0].order
        assert order is not None, told
        request = RefundIn(order=order.id, amount=amount)
        found.append((await actions.request_refund(engine, caller, request)).results[0].refund)
    await engine.stop()
    await store.close()
    return found


def test_a_new_policy_is_written_checked_and_published(shell: Shell) -> None:
    for name in examples.NAMES:
        assert shell("policy", "new", "--like", name).code == 0
        assert shell("policy", "check", f"{name}.toml").code == 0
    again = shell("policy", "new", "--like", "apparel")
    assert (again.code, "there already" in again.err) == (1, True)
    assert "apparel" in shell("policy", "new", "--like", "cars").err
    assert "built-in" in shell("policy", "list").out
    made = shell("policy", "publish", "apparel.toml", "--why", "our trade", "--json").json
    assert (made["version"], made["name"], made["in_force"]) == (1, "apparel", True)
    later = shell("policy", "publish", "digital.toml", "--from", "2999-01-01T00:00:00Z", "--json")
    assert (later.json["version"], later.json["in_force"]) == (2, False)
    listed = shell("policy", "list", "--json").json["items"]
    assert [(v["version"], v["in_force"]) for v in listed] == [(2, False), (1, True)]
    assert "apparel" in shell("policy", "list").out
    shown = shell("policy", "show", "--json").json
    assert [row["id"] for row in shown["rows"]][-1] == "everything-else"
    assert shell("policy", "show", "2", "--json").json["name"] == "digital"
    assert shell("policy", "show", made["hash"][:20], "--json").json == shown
    assert "wait_for_receipt" in shell("policy", "show").out
    assert shell("policy", "show", "7").code == 1
    past = shell("policy", "publish", "apparel.toml", "--from", "2020-01-01T00:00:00Z")
    assert (past.code, "before it is published" in past.err) == (1, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("refund.amount > 3000", "refund.amout > 3000"), "row 1 (large), when: There is no field"),
        (("refund.amount > 3000", "refund.amount"), "row 1 (large), when: The condition is a num"),
        (("refund.amount > 3000", "(" * 60), "row 1 (large), when"),
        (("refund.amount > 3000", "lines.skus.exists(s, s == 'a')"), "row 1 (large), when"),
        (('when = "true"', 'when = "false"'), "row 2 (rest), when: The last row must be `true`"),
        (('"approve"', '"maybe"'), "row 2 (rest), outcome"),
        (('approver = "finance"', 'approver = "boss"'), "row 1 (large), approver"),
        (('approver = "finance"', "returnless = true"), "row 1 (large), returnless: A row that"),
        (('approver = "finance"', 'caps = ["none"]'), "row 1 (large), caps"),
        (("name = ", "nome = "), "nome"),
        (('name = "small"', 'name = "small'), "TOML"),
    ],
    ids=str,
)
def test_a_fault_is_named_with_its_row_and_place(
    written: Shell, change: tuple[str, str], said: str
) -> None:
    assert change[0] in SMALL
    (written.folder / "bad.toml").write_text(SMALL.replace(*change))
    told = written("policy", "check", "bad.toml")
    assert (told.code, told.out) == (1, "")
    assert said in told.err
    asked = written("policy", "check", "bad.toml", "--json")
    assert (asked.code, asked.json["ok"]) == (1, False)
    assert written("policy", "publish", "bad.toml").code == 1
    assert written("policy", "draft", "bad.toml").code == 1
    assert written("policy", "list", "--json").json["items"] == []


def test_every_fault_is_told_at_once(written: Shell) -> None:
    text = SMALL.replace("refund.amount", "refund.sum").replace('when = "true"', 'when = "1"')
    (written.folder / "bad.toml").write_text(text)
    assert written("policy", "check", "bad.toml").err.count("\n") == 3


def test_a_policy_of_a_megabyte_is_refused(written: Shell) -> None:
    row = '[[rows]]\nid = "r{}"\nwhen = "refund.amount > 1"\noutcome = "review"\nsays = "{}"\n'
    text = 'name = "long"\n' + "".join(row.format(n, "x" * 480) for n in range(190))
    (written.folder / "long.toml").write_text(text + "[[rows]]" + SMALL.partition("[[rows]]")[2])
    told = written("policy", "check", "long.toml")
    assert (told.code, "bytes" in told.err) == (1, True)
    (written.folder / "longer.toml").write_text("#" * 1_100_000)
    told = written("policy", "check", "longer.toml")
    assert (told.code, "no policy is that long" in told.err) == (1, True)


def test_a_case_is_tried(written: Shell) -> None:
    told = written(
        "policy", "try", "small.toml", "--case", '{"refund.amount": 3001}', "--json"
    ).json
    assert (told["outcome"], told["rule"], told["says"]) == ("review", "large", "We look at it.")
    assert told["options"] == {"approver": "finance"}
    assert told["rows"] == [["large", "applies"], ["rest", "applies"]]
    assert told["assumed"] == {}
    (written.folder / "case.json").write_text("{}")
    told = written("policy", "try", "small.toml", "--case", "@case.json", "--json").json
    assert (told["outcome"], told["assumed"]) == ("approve", {"refund.amount": 0})
    assert "approve by rest" in written("policy", "try", "small.toml", "--case", "@case.json").out
    for words, said in (
        (("--case", "{"), "JSON"),
        (("--case", '{"refund.sum": 1}'), "refund.sum"),
        (("--case", '{"refund.amount": "1"}'), "refund.amount"),
        (("--case", '{"refund.amount": 1e99}'), "refund.amount"),
        (("--case", "@nowhere.json"), "nowhere.json"),
        (("--refund", "rf_no"), "refund"),
        ((), "--refund"),
    ):
        told = written("policy", "try", "small.toml", *words)
        assert (told.code, told.err.count("\n")) == (1, 1), told.err
        assert said in told.err


def test_drafts_are_kept_compared_and_dropped(written: Shell) -> None:
    kept = written("policy", "draft", "small.toml", "--shadow", "--json").json
    assert (kept["name"], kept["shadow"]) == ("small", True)
    assert written("policy", "drafts", "--json").json["items"] == [kept]
    (written.folder / "other.toml").write_text(
        SMALL.replace("3000", "2000").replace("We look at it.", "").replace('"rest"', '"all"')
    )
    told = written("policy", "diff", "small", "other.toml", "--json").json
    assert [(one["where"], one["old"], one["new"]) for one in told] == [
        ("row rest", {"id": "rest", "when": "true", "outcome": "approve"}, None),
        ("row all", None, {"id": "all", "when": "true", "outcome": "approve"}),
        ("row large, when", "refund.amount > 3000", "refund.amount > 2000"),
        ("row large, says", "We look at it.", None),
    ]
    assert "~ row large, when" in written("policy", "diff", "small", "other.toml").out
    assert "same" in written("policy", "diff", "small", "small.toml").out
    assert written("policy", "drop", "small").code == 0
    gone = written("policy", "drop", "small")
    assert (gone.code, gone.err.count("\n")) == (1, 1)


def test_refunds_are_tried_explained_and_replayed(judged: tuple[Shell, list[str]]) -> None:
    shell, refunds = judged
    again = shell("policy", "try", "small.toml", "--refund", refunds[1], "--json").json
    assert (again["outcome"], again["rule"]) == ("review", "large")
    why = shell("policy", "explain", refunds[2], "--json").json
    assert (why["outcome"], why["by"], why["rule"]) == ("review", "row", "above-auto-approve")
    assert why["rows"][0] == {"row": "above-auto-approve", "verdict": "applies"}
    assert why["condition"] == "refund.amount > 10000"
    assert why["sentence"] in shell("policy", "explain", refunds[2]).out
    assert shell("policy", "explain", "rf_no").code == 1
    found = shell("policy", "replay", "small.toml", "--plot", "plot.svg", "--json").json
    assert (found["decisions"], found["changed"]["count"]) == (3, 1)
    assert found["matrix"]["approve"]["review"] == {"count": 1, "amount": 4000}
    assert [(c["refund"], c["old"], c["new"]) for c in found["cases"]] == [
        (refunds[1], "approve", "review")
    ]
    drawn = ElementTree.parse(shell.folder / "plot.svg").getroot()
    assert len(drawn.findall(".//{*}polyline")) == 4
    told = shell("policy", "replay", "small.toml", "--since", "1d").out
    assert "3 decisions" in told and "1 would be others, of 40.00 EUR" in told
    none = shell("policy", "replay", "current", "--since", "2999-01-01T00:00:00Z", "--json").json
    assert none["decisions"] == 0
    assert shell("policy", "replay", "small.toml", "--since", "soon").code == 1


def test_a_replay_of_nothing_can_be_drawn(written: Shell) -> None:
    assert written("policy", "replay", "small.toml", "--plot", "none.svg").code == 0
    assert "not measured" in (written.folder / "none.svg").read_text()


def test_fields_are_listed(bare: Shell) -> None:
    told = bare("policy", "fields", "--json").json
    assert [one["name"] for one in told] == [field.name for field in FIELDS]


def test_refunds_are_stopped_and_go_on(written: Shell) -> None:
    for words in ((), ("--all", "--order", "ord_1"), ("--order", "a", "--customer", "b")):
        told = written("stop", "set", "--why", "x", *words)
        assert (told.code, "Name one of" in told.err) == (1, True)
    assert written("stop", "set", "--all", "--why", " ").code == 1
    stop = written("stop", "set", "--customer", "c-1", "--why", "asked by phone", "--json").json
    assert (stop["scope"], stop["key"]) == ("customer", "c-1")
    listed = written("stop", "list", "--json").json["items"]
    found = [(one["id"], one["why"], one["lifted_at"]) for one in listed]
    assert found == [(stop["id"], "asked by phone", None)]
    assert written("stop", "lift", stop["id"], "--why", "cleared").code == 0
    assert written("stop", "lift", stop["id"], "--why", "cleared").code == 1
    assert written("stop", "list", "--json").json["items"] == []
    (lifted,) = written("stop", "list", "--all", "--json").json["items"]
    assert lifted["lifted_by"].startswith("cli:")
    assert written("audit", "verify").code == 0


def test_help_teaches(bare: Shell) -> None:
    for group, name in (("policy", "replay"), ("policy", "publish"), ("stop", "set")):
        assert f"Example: amends {group} {name}" in " ".join(
            bare(group, name, "--help").out.split()
        )
