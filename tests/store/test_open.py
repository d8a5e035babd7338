"""From a URL to a store."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from amends.store.open import connect
from amends.store.postgres import PostgresStore
from amends.store.sqlite import SqliteStore


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///amends.db", "amends.db"),
        ("sqlite:////var/lib/amends.db", "/var/lib/amends.db"),
        ("sqlite:///a%20b/c.db", "a b/c.db"),
    ],
)
def test_a_sqlite_url_names_a_file(url: str, path: str) -> None:
    store = connect(url)
    assert isinstance(store, SqliteStore)
    assert store.path == Path(path)


@pytest.mark.parametrize("url", ["postgresql://a@h/x", "postgres://a:b@h:5/x?sslmode=require"])
def test_a_postgresql_url(url: str) -> None:
    store = connect(url)
    assert isinstance(store, PostgresStore)
    assert store.name == "PostgreSQL at h/x"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:secret@h/x", "mysql://"),
        ("amends.db", "no scheme"),
        ("", "no scheme"),
        ("sqlite://", "a SQLite store is a file"),
        ("sqlite:///", "a SQLite store is a file"),
        ("sqlite://amends.db", "a SQLite store is a file"),
        ("sqlite:///x?mode=ro", "a SQLite store is a file"),
    ],
)
def test_other_urls_are_refused_with_a_sentence(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        connect(url)
    assert "secret" not in str(refused.value)


def test_without_asyncpg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "amends.store.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ValueError, match=r"pip install 'amends\[postgres\]'"):
        connect("postgresql://a@h/x")
    assert isinstance(connect("sqlite:///amends.db"), SqliteStore)
