"""`amends connections check` against a real Tryton."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from amends.doors.cli import app
from amends.gateways import tryton as gateway
from amends.gateways.spec import Settings
from tests.erp import server
from tests.erp.server import Tryton
from tests.erp.talking import driven, settings


def with_values(its: Settings, **values: str) -> Settings:
    return msgspec.structs.replace(its, values={**its.values, **values})


def test_nothing_is_wrong_with_right_settings(tryton: Tryton) -> None:
    assert driven(gateway.inspect(settings(tryton))) == ()


def test_each_wrong_setting_says_what_to_do(tryton: Tryton) -> None:
    its = settings(
        tryton,
        accounts={"sales_returns": "9.9.9", "tax_payable": "Assets"},
        taxes={"VAT 0.20": "VAT of old"},
        products={"TEA": "COFFEE"},
        locations={"refurbish": "WORKSHOP"},
    )
    its = with_values(its, warehouse="Moon", party="Nobody", journal="X", rpc_password="wrong")
    said = driven(gateway.inspect(its))
    for words in (
        "sales_returns is to be '9.9.9'",
        "tax_payable is to be 'Assets', on which nothing can be booked",
        "clearing = ",
        "VAT of old",
        "COFFEE",
        "'Moon'",
        "set `journal`",
        "'Nobody'",
        "401",
    ):
        assert any(words in sentence for sentence in said), (words, said)
    located = settings(tryton, locations={"refurbish": "WORKSHOP"})
    assert "WORKSHOP" in driven(gateway.inspect(located))[0]


@pytest.mark.parametrize(
    ("values", "words"), [({"api_key": "wrong"}, "401"), ({"company": "Other"}, "'Other'")]
)
def test_without_a_key_or_a_company_it_ends(
    tryton: Tryton, values: dict[str, str], words: str
) -> None:
    (said,) = driven(gateway.inspect(with_values(settings(tryton), **values)))
    assert words in said


def configured(folder: Path, base_url: str, erp: Tryton, table: str = "") -> str:
    codes = erp.facts["accounts"]
    assert isinstance(codes, dict)
    (folder / "amends.toml").write_text(
        f'[store]\nurl = "sqlite:///{folder / "amends.db"}"\n'
        f'[connections.erp]\ngateway = "tryton"\nbase_url = "{base_url}"\n'
        f'api_key = "env:TRYTON_KEY"\n{table}\n'
        f'[connections.erp.accounts]\nclearing = "{codes["cash"]}"\n'
    )
    return str(folder / "amends.toml")


def test_the_command_says_so(
    tryton: Tryton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRYTON_KEY", str(tryton.facts["key"]))
    config = configured(tmp_path, tryton.url, tryton)
    command = ["connections", "check", "--config", config]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    config = configured(tmp_path, tryton.url, tryton, 'party = "Nobody"')
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 1
    (item,) = json.loads(done.stdout)["items"]
    assert (item["connection"], item["ok"]) == ("erp", False)
    assert "Nobody" in item["wrong"][0]
    assert CliRunner().invoke(app, [*command[:2], "nowhere", *command[2:]]).exit_code == 1


def test_an_erp_that_is_away_is_said_to_be(
    tryton: Tryton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRYTON_KEY", server.PASSWORD)
    with socket.socket() as free:  # bound, and nobody listens
        free.bind(("127.0.0.1", 0))
        config = configured(tmp_path, f"http://127.0.0.1:{free.getsockname()[1]}/erp", tryton)
        done = CliRunner().invoke(app, ["connections", "check", "--config", config])
    assert done.exit_code == 1
    assert "no connection" in done.output
