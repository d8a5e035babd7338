"""`amends user …`, and the console's key, from the command line."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from amends.engine.config import ConfigError, load, parse
from amends.engine.vault import Vault, new_key, read_key

from .test_cli import Shell

PATH = Path("amends.toml")


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AMENDS_CONFIG", raising=False)
    return Shell(tmp_path, capsys)


def said(shell: Shell, *words: str) -> str:
    done = shell(*words)
    assert done.code == 0, done.err
    return done.out


def test_init_makes_a_key_once_for_its_owner_alone(shell: Shell, tmp_path: Path) -> None:
    assert "console.key (new" in said(shell, "init")
    key = tmp_path / "console.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_text()
    assert "new" not in said(shell, "init")
    assert key.read_text() == before
    assert load(tmp_path / "amends.toml").console.key == read_key(before.strip())


def test_people_from_the_command_line(shell: Shell) -> None:
    said(shell, "init")
    found = json.loads(said(shell, "user", "add", "Ada", "--role", "admin", "--json"))
    assert (found["login"], found["role"], found["state"]) == ("ada", "admin", "not signed in yet")
    assert len(found["password"]) == 23
    assert said(shell, "user", "add", "eve", "--role", "viewer", "--name", "Eve E.")
    for words in (["add", "ada", "--role", "viewer"], ["add", "x y", "--role", "viewer"]):
        assert shell("user", *words).code == 1
    wrong = shell("user", "add", "bob", "--role", "boss")
    assert (wrong.code, "A role is one of viewer" in wrong.err) == (1, True)
    last = shell("user", "disable", "ada")
    assert (last.code, "last admin" in last.err) == (1, True)
    assert "eve is finance." in said(shell, "user", "role", "eve", "finance")
    assert "cannot sign in" in said(shell, "user", "disable", "eve")
    assert "can sign in again" in said(shell, "user", "disable", "eve", "--enable")
    again = json.loads(said(shell, "user", "reset", "ada", "--json"))
    assert again["password"] != found["password"]
    people = json.loads(said(shell, "user", "list", "--json"))["items"]
    assert [(one["login"], one["role"]) for one in people] == [("ada", "admin"), ("eve", "finance")]
    assert "Eve E." in said(shell, "user", "list")
    assert said(shell, "user", "add", "odd", "--role", "viewer", "--name", "[b]Odd[/x]")
    assert "[b]Odd[/x]" in said(shell, "user", "list")
    assert shell("user", "reset", "nobody").code == 1


def test_a_wrong_key_names_the_setting(tmp_path: Path) -> None:
    raw = {"console": {"key": "file:console.key"}}
    with pytest.raises(ConfigError, match=r"\[console\] key: there is no file .*amends init"):
        parse(raw, tmp_path / PATH)
    (tmp_path / "console.key").write_text("c2hvcnQ=")
    with pytest.raises(ConfigError, match=r"\[console\] key: .* it has 5 bytes"):
        parse(raw, tmp_path / PATH)
    with pytest.raises(ConfigError, match="never in the file itself"):
        parse({"console": {"key": new_key()}}, tmp_path / PATH)
    assert parse(raw, tmp_path / PATH, connections=False).console.key == b""


def test_what_is_sealed_is_for_one_purpose() -> None:
    vault, other = Vault(read_key(new_key())), Vault(read_key(new_key()))
    sealed = vault.seal("secret", "totp usr_1")
    assert vault.open(sealed, "totp usr_1") == "secret"
    assert vault.seal("secret", "totp usr_1") != sealed
    for text, about in ((sealed, "totp usr_2"), (sealed[:-4] + "AAAA", "totp usr_1")):
        assert vault.open(text, about) is None
    for text in ("", "ä", "AAAA", "not base64!", sealed[:10]):
        assert vault.open(text, "totp usr_1") is None
    assert other.open(sealed, "totp usr_1") is None
    assert vault.mark("a", "form") != vault.mark("a", "step") != other.mark("a", "step")
