"""`amends user …`, and the console's key, from the command line."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from amends.engine.config import ConfigError, load, parse
from amends.engine.vault import Vault, new_key, read_key
from tests.doors.process import amends

PATH = Path("amends.toml")


def said(folder: Path, *words: str) -> str:
    done = amends(folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_init_makes_a_key_once_for_its_owner_alone(tmp_path: Path) -> None:
    assert "console.key (new" in said(tmp_path, "init")
    key = tmp_path / "console.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_text()
    assert "new" not in said(tmp_path, "init")
    assert key.read_text() == before
    assert load(tmp_path / "amends.toml").console.key == read_key(before.strip())


def test_people_from_the_command_line(tmp_path: Path) -> None:
    said(tmp_path, "init")
    found = json.loads(said(tmp_path, "user", "add", "Ada", "--role", "admin", "--json"))
    assert (found["login"], found["role"], found["state"]) == ("ada", "admin", "not signed in yet")
    assert len(found["password"]) == 23
    assert said(tmp_path, "user", "add", "eve", "--role", "viewer", "--name", "Eve E.")
    for words in (["add", "ada", "--role", "viewer"], ["add", "x y", "--role", "viewer"]):
        assert amends(tmp_path, "user", *words).returncode == 1
    wrong = amends(tmp_path, "user", "add", "bob", "--role", "boss")
    assert (wrong.returncode, "A role is one of viewer" in wrong.stderr) == (1, True)
    last = amends(tmp_path, "user", "disable", "ada")
    assert (last.returncode, "last admin" in last.stderr) == (1, True)
    assert "eve is finance." in said(tmp_path, "user", "role", "eve", "finance")
    assert "cannot sign in" in said(tmp_path, "user", "disable", "eve")
    assert "can sign in again" in said(tmp_path, "user", "disable", "eve", "--enable")
    again = json.loads(said(tmp_path, "user", "reset", "ada", "--json"))
    assert again["password"] != found["password"]
    people = json.loads(said(tmp_path, "user", "list", "--json"))["items"]
    assert [(one["login"], one["role"]) for one in people] == [("ada", "admin"), ("eve", "finance")]
    assert "Eve E." in said(tmp_path, "user", "list")
    assert amends(tmp_path, "user", "reset", "nobody").returncode == 1


def test_a_wrong_key_names_the_setting(tmp_path: Path) -> None:
    raw = {"console": {"key": "file:console.key"}}
    with pytest.raises(ConfigError, match=r"\[console\] key: the file cannot be read"):
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
