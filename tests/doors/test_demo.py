"""`amends demo`: whole runs as processes, and its judgement on evidence that was tampered with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import msgspec
import pytest
from typer.testing import CliRunner

from amends.doors import cli
from amends.doors.demo import command
from amends.doors.demo.checks import Ours, Trail, Truth, judge
from amends.doors.demo.play import Kept, Outcome, Wish, concluded
from amends.doors.demo.told import Teller

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds; a run takes some twenty, and a test must not hang


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "amends.doors.cli", "demo", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def played(folder: Path, *arguments: str) -> dict[str, Any]:
    """What a run printed, after it ended with 0."""
    run = start(folder, "--json", *arguments)
    out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, out + err
    found: dict[str, Any] = json.loads(out)
    return found


def assert_all_hold(result: dict[str, Any]) -> None:
    assert result["ok"] is True
    assert [check for check in result["checks"] if not check["ok"]] == []
    assert len(result["checks"]) >= 15
    assert len(result["stories"]) == 23
    assert all(story["ok"] and story["lines"] for story in result["stories"])


@pytest.mark.slow
def test_a_run_on_a_temporary_file_holds_and_leaves_nothing(tmp_path: Path) -> None:
    assert_all_hold(played(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_runs_on_one_postgres_hold_and_leave_their_orders(
    postgres_url: str, tmp_path: Path
) -> None:
    assert_all_hold(played(tmp_path, "--store", postgres_url))
    run = start(tmp_path, "--store", postgres_url, "--keep")
    told = ""
    try:
        while "curl" not in told:
            line = run.stdout.readline() if run.stdout else ""
            assert line, f"{told}{run.communicate(timeout=PATIENCE)}"
            told += line
        assert re.search(r"^All \d+ checks hold\.$", told, re.MULTILINE)
        assert reads_refunds(told) >= 2 * 20
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=PATIENCE)
    assert run.returncode == 0
    assert list(tmp_path.iterdir()) == []


def reads_refunds(told: str) -> int:
    """How many refunds the server that was kept shows to the key it was kept with."""
    url = re.search(r"http://[0-9.:]+/v1", told)
    key = re.search(r"amk_[\w-]+", told)
    assert url and key, told
    headers = {"Authorization": f"Bearer {key[0]}"}
    with urlopen(Request(f"{url[0]}/refunds?limit=200", headers=headers), timeout=10) as answer:
        return len(json.loads(answer.read())["items"])


@pytest.mark.slow
def test_ctrl_c_in_the_middle_leaves_nothing_running(tmp_path: Path) -> None:
    run = start(tmp_path)
    while run.stdout and not run.stdout.readline().startswith(" 2  "):
        assert run.poll() is None
    settings = next(tmp_path.glob("*/amends.toml")).read_text()
    port = int(re.findall(r"^port = (\d+)$", settings, re.MULTILINE)[0])
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=PATIENCE)
    assert run.returncode == 130
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5)


def test_a_store_that_cannot_be_is_told_before_anything_is_made(tmp_path: Path) -> None:
    run = start(tmp_path, "--store", "mysql://x")
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 1
    assert "sqlite:///" in err
    assert list(tmp_path.iterdir()) == []


# -- its judgement -------------------------------------------------------------------------------

CLEARING = "clearing:stripe-eu"


def postings(account: str, amount: int) -> list[dict[str, Any]]:
    return [
        {"account": account, "amount": amount, "functional": amount},
        {"account": "refunds_payable", "amount": -amount, "functional": -amount},
    ]


def evidence() -> tuple[Truth, Ours, Trail]:
    """One order of 50.00 EUR, 30.00 of it refunded, everything as it should be."""
    leg = {
        "id": "leg_1",
        "kind": "refund",
        "psp_payment_id": "pi_1",
        "psp_refund_id": "re_1",
        "amount": 3000,
        "state": "succeeded",
    }
    refund = {
        "id": "rf_1",
        "state": "succeeded",
        "reason": "return",
        "legs": [leg],
        "fallback_of": None,
    }
    order = {
        "id": "ord_1",
        "currency": "EUR",
        "parked": None,
        "payments": [{"psp_payment_id": "pi_1", "remaining": 2000, "credited": 0}],
        "refunds": [refund],
    }
    common = {"order": "ord_1", "currency": "EUR", "functional_currency": "EUR", "kind": "claim"}
    entries = [
        {**common, "number": 1, "psp_refund_id": "", "postings": postings("sales_returns", 3000)},
        {**common, "number": 2, "psp_refund_id": "re_1", "postings": postings(CLEARING, -3000)},
    ]
    movement = {
        "gateway": "stripe",
        "psp_payment_id": "pi_1",
        "psp_refund_id": "re_1",
        "kind": "refund",
        "amount": 3000,
        "currency": "eur",
        "status": "succeeded",
        "key": "leg_1-1",
        "settled_currency": "EUR",
        "settled": 3000,
        "settled_fee": 0,
    }
    payment = {"psp_payment_id": "pi_1", "authorized": 5000, "captured": 5000, "refunded": 3000}
    message = frozenset({("shop-1", "msg_1")})
    keys = {"leg_1": frozenset({"leg_1-1"})}
    return (
        Truth([movement], [payment]),
        Ours([order], entries, keys, frozenset({"rf_1"}), {"stripe": CLEARING}),
        Trail(message, message, 0, ()),
    )


Tampering = Callable[[Any, Any], None]


def _forged(truth: Any, ours: Any) -> None:
    truth.movements.append(truth.movements[0] | {"psp_refund_id": "re_2", "key": None})


def _twice(truth: Any, ours: Any) -> None:
    truth.movements.append(truth.movements[0] | {"psp_refund_id": "re_2"})


def _other_amount(truth: Any, ours: Any) -> None:
    truth.movements[0]["amount"] = 3001


def _came_back(truth: Any, ours: Any) -> None:
    truth.movements[0]["status"] = "failed"


def _exchanged(truth: Any, ours: Any) -> None:
    truth.movements[0] |= {"settled_currency": "GBP", "settled": 2999}


def _released_there(truth: Any, ours: Any) -> None:
    truth.movements.append(truth.movements[0] | {"kind": "void", "psp_refund_id": None})


def _over_refunded(truth: Any, ours: Any) -> None:
    truth.payments[0]["refunded"] = 5001


def _unknown_key(truth: Any, ours: Any) -> None:
    truth.movements[0]["key"] = "leg_9-1"


def _unbalanced(truth: Any, ours: Any) -> None:
    ours.entries[1]["postings"][0]["functional"] += 1


def _never_booked(truth: Any, ours: Any) -> None:
    del ours.entries[1]


def _left_open(truth: Any, ours: Any) -> None:
    ours.orders[0]["refunds"][0]["state"] = "sending"


def _parked(truth: Any, ours: Any) -> None:
    ours.orders[0]["parked"] = "a defect"


def _request_lost(truth: Any, ours: Any) -> None:
    ours.orders[0]["refunds"].clear()


@pytest.mark.parametrize(
    ("tamper", "names"),
    [
        (_forged, {"Each movement is on our books", "clearing:stripe-eu in EUR is theirs"}),
        (_twice, {"No leg was paid twice", "Each movement is on our books"}),
        (_other_amount, {"Each paid refund is one movement", "Each movement is on our books"}),
        (_came_back, {"Each paid refund is one movement", "clearing:stripe-eu in EUR is theirs"}),
        (_exchanged, {"What was exchanged is booked as taken"}),
        (_released_there, {"Each release here is a release there"}),
        (_over_refunded, {"No payment gave back more than it took"}),
        (_unknown_key, {"No leg was paid twice"}),
        (_unbalanced, {"Each journal entry balances"}),
        (_never_booked, {"Refunds payable is explained", "Each movement is on our books"}),
        (_left_open, {"No refund is open, no order parked"}),
        (_parked, {"No refund is open, no order parked"}),
        (_request_lost, {"Each accepted request is there"}),
    ],
)
def test_what_does_not_agree_is_found(tamper: Tampering, names: set[str]) -> None:
    assert all(check.ok for check in judge(*evidence()))
    truth, ours, trail = deepcopy(evidence())
    tamper(truth, ours)
    assert names <= {check.name for check in judge(truth, ours, trail) if not check.ok}


def test_what_is_not_on_disk_is_found() -> None:
    truth, ours, trail = evidence()
    lost = msgspec.structs.replace(trail, stored=frozenset(), unmatched=1, findings=("edited",))
    assert [check.name for check in judge(truth, ours, lost) if not check.ok] == [
        "Each acknowledged webhook is on disk",
        "No webhook waits for its order",
        "The audit trail verifies",
    ]


@pytest.mark.parametrize(("tamper", "status"), [(None, 0), (_forged, 1)])
def test_a_forged_movement_ends_with_1(
    tamper: Tampering | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(wish: Wish, teller: Teller, kept: Kept) -> Outcome:
        truth, ours, trail = deepcopy(evidence())
        if tamper is not None:
            tamper(truth, ours)
        checks = judge(truth, ours, trail)
        teller.table(checks)
        return concluded(checks, teller, "the-logs")

    monkeypatch.setattr(command, "play", play)
    shown = CliRunner().invoke(cli.app, ["demo"])
    assert shown.exit_code == status
    last = shown.output.strip().splitlines()[-1]
    if status:
        assert "do not hold: Each movement is on our books" in last
        assert "the-logs" in shown.output
    else:
        assert re.fullmatch(r"All \d+ checks hold\.", last)
    result = json.loads(CliRunner().invoke(cli.app, ["demo", "--json"]).stdout)
    assert result["ok"] is (status == 0)
