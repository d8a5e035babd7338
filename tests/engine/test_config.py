"""Which gateways a connection may name, and what it must say to be let in: each refusal names the
setting and what to do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from amends.doors.commands_setup import TEMPLATE
from amends.engine.config import Config, ConfigError, parse
from amends.engine.vault import new_key
from amends.gateways.registry import CAPABILITIES, HEARING
from amends.kernel.time import HOUR
from tests.gateways.paypal_certificates import ROOT

CHOICE = f"one of {', '.join(sorted(CAPABILITIES))}."
HOME = "env:HOME"
PAYPAL = {
    "gateway": "paypal",
    "client_id": "AcOwnTableClient",
    "client_secret": HOME,
    "environment": "sandbox",
}
ADYEN = {
    "gateway": "adyen",
    "api_key": HOME,
    "merchant_account": "AmendsECOM",
    "environment": "test",
    "hmac_keys": ["env:HMAC"],
}
MOLLIE = {"gateway": "mollie", "api_key": "env:MOLLIE"}
HOOKS = {
    "gateway": "webhook",
    "url": "https://example.com/hooks",
    "webhook_secrets": ["env:HOOKS"],
    "events": ["refund.*"],
}
BASE = "http://127.0.0.1:9400"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMAC", "0A" * 32)
    monkeypatch.setenv("MOLLIE", "test_" + "x" * 30)
    monkeypatch.setenv("HOOKS", "whsec_" + "QUJD" * 8)
    monkeypatch.setenv("WORDS", "no hexadecimal key")


def _load(**connection: Any) -> Config:
    return parse({"connections": {"eu": connection}}, Path("amends.toml"))


def _refusal(**connection: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(**connection)
    return str(caught.value).removeprefix("[connections.eu]").removeprefix(":").strip()


def test_an_unknown_gateway_is_refused() -> None:
    assert _refusal(gateway="square") == f"gateway 'square' is unknown; {CHOICE}"
    assert {"shopify", "standard", "stripe", "woocommerce"} < set(HEARING) < set(CAPABILITIES)
    assert set(HEARING) | {"smtp", "webhook"} <= set(CAPABILITIES)


def test_a_whole_connection_is_taken() -> None:
    assert _load(**PAYPAL).connections["eu"].rate == 10
    assert _load(**MOLLIE).connections["eu"].indeterminate_after == HOUR
    assert _load(**ADYEN).connections["eu"].settings.webhook_secrets == ("0A" * 32,)


def test_what_a_new_file_proposes_would_be_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`amends init` writes one connection of each gateway as a comment; each is whole."""
    text = re.sub(r"^# (?=\[|\w+ = )", "", TEMPLATE.replace("{url}", "sqlite:///x.db"), flags=re.M)
    for name in re.findall(r"env:(\w+)", text):
        monkeypatch.setenv(name, "test_" + "x" * 30 if name == "MOLLIE_KEY" else "0A" * 32)
    (tmp_path / "console.key").write_text(new_key())
    found = parse(tomllib.loads(text), tmp_path / "amends.toml").connections
    assert {connection.settings.gateway for connection in found.values()} == set(HEARING)


@pytest.mark.parametrize(
    ("whole", "setting", "said"),
    [
        (PAYPAL, "client_id", "needs client_id = '…'."),
        (PAYPAL, "client_secret", "needs client_secret = 'env:NAME or file:PATH'."),
        (PAYPAL, "environment", "needs environment = '…'."),
        (ADYEN, "api_key", "needs api_key = 'env:NAME or file:PATH'."),
        (ADYEN, "merchant_account", "needs merchant_account = '…'."),
        (ADYEN, "environment", "needs environment = '…'."),
        (ADYEN, "hmac_keys", "hmac_keys are missing: Adyen tells what became of a refund by"),
    ],
)
def test_a_missing_setting_is_named(whole: dict[str, Any], setting: str, said: str) -> None:
    rest = {name: value for name, value in whole.items() if name != setting}
    assert _refusal(**rest).startswith(said)


@pytest.mark.parametrize(
    ("whole", "wrong", "said"),
    [
        (PAYPAL, {"environment": "prod"}, 'environment must be "live" or "sandbox".'),
        (PAYPAL, {"client_secret": "EsecretInTheFile"}, "write a secret as env:NAME or file:PATH"),
        (PAYPAL, {"merchant_account": "x"}, "'merchant_account' is not a setting of gateway"),
        (MOLLIE, {"api_key": "env:WORDS"}, "api_key must be an API key of a website profile"),
        (ADYEN, {"environment": "https://x"}, 'environment must be "test", or the prefix of your'),
        (ADYEN, {"hmac_keys": []}, "hmac_keys are missing"),
        (ADYEN, {"hmac_keys": ["env:HMAC", "env:WORDS"]}, "a key of hmac_keys is not hexadecimal"),
        (HOOKS, {"events": "refund.*"}, 'events must be a list of text: events = ["…"].'),
        (HOOKS, {"events": [""]}, "events must be a list of text"),
        (HOOKS, {"events": ["nothing"]}, "events: nothing is called 'nothing'"),
        (HOOKS, {"schedule": ["5s"]}, "needs schedule = '…'."),
        (HOOKS, {"allow_private": 1}, "allow_private is true or false."),
        (HOOKS, {"webhook_secrets": []}, "webhook_secrets is needed"),
        (ADYEN, {"trust_anchors": HOME}, "'trust_anchors' is not a setting of gateway 'adyen'."),
    ],
)
def test_a_wrong_setting_is_named(whole: dict[str, Any], wrong: dict[str, Any], said: str) -> None:
    assert said in _refusal(**whole | wrong)


def test_a_list_and_a_truth_value_are_taken() -> None:
    settings = _load(**HOOKS, allow_private=True).connections["eu"].settings
    assert settings.lists == {"events": ("refund.*",)}
    assert settings.values == {"url": "https://example.com/hooks", "allow_private": "true"}


def test_a_secret_in_a_file_is_found_beside_the_settings(tmp_path: Path) -> None:
    """Whatever folder the process was started in; a whole path stays what it is."""
    (tmp_path / "key").write_text("0B" * 32)
    for name in ("file:key", f"file:{tmp_path / 'key'}"):
        values = ADYEN | {"hmac_keys": [name]}
        found = parse({"connections": {"eu": values}}, tmp_path / "amends.toml")
        assert found.connections["eu"].settings.webhook_secrets == ("0B" * 32,)
    assert "write a secret as env:NAME or file:PATH" in _refusal(**ADYEN | {"api_key": "file:"})


@pytest.mark.parametrize("text", ["", " \n", "two\nlines", "two\r\nX-Evil: 1", "a\0b"])
def test_a_secret_that_no_header_could_carry_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    file = f"file:{tmp_path / 'key'}"
    said = f"api_key: what stands in {file} is empty or more than one line of text."
    assert said in _refusal(**ADYEN | {"api_key": file})
    assert "is empty or more" in _refusal(**ADYEN | {"hmac_keys": [file]})


def test_blanks_around_a_secret_are_not_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMAC", "0A" * 32 + "\r\n")
    assert _load(**ADYEN).connections["eu"].settings.webhook_secrets == ("0A" * 32,)


def test_roots_of_its_own_are_for_a_sandbox(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    (tmp_path / "words.pem").write_text("no certificate")
    own = {"trust_anchors": f"file:{tmp_path / 'root.pem'}"}
    good = _load(**PAYPAL, **own, base_url=BASE).connections["eu"]
    assert good.trust_anchors == ROOT.pem.strip()
    assert "goes with base_url" in _refusal(**PAYPAL, **own)
    live = PAYPAL | {"environment": "live"}
    assert "is for a sandbox" in _refusal(**live, **own, base_url=BASE)
    bad = {"trust_anchors": f"file:{tmp_path / 'words.pem'}"}
    assert "holds no certificates" in _refusal(**PAYPAL, **bad, base_url=BASE)
    gone = {"trust_anchors": f"file:{tmp_path / 'gone.pem'}"}
    assert "cannot be read" in _refusal(**PAYPAL, **gone, base_url=BASE)
