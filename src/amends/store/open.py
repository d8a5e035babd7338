"""From a URL to a store."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

from amends.store.spec import Store
from amends.store.sqlite import SqliteStore


def connect(url: str) -> Store:
    """The store a URL names, not opened yet. Raises ValueError with a sentence.

    `sqlite:///amends.db` is a file in the working directory, `sqlite:////var/lib/amends.db` one by
    its full path; `postgresql://user:password@host:port/name?sslmode=require` is as libpq has it.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return SqliteStore(_path(url))
    if scheme in ("postgresql", "postgres"):
        return _postgres(url)
    shown = f"{scheme}://" if scheme else "no scheme"
    raise ValueError(f"a store's url begins with sqlite:/// or postgresql://, this has {shown}")


def _path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc or not parts.path.strip("/") or parts.query:
        raise ValueError("a SQLite store is a file: sqlite:///amends.db, or sqlite:////full/path")
    return Path(unquote(parts.path[1:]))


def _postgres(url: str) -> Store:
    """Loaded by name, since asyncpg is an extra that a SQLite store does not need."""
    try:
        module = import_module("amends.store.postgres")
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise ValueError("PostgreSQL needs asyncpg: pip install 'amends[postgres]'") from error
    store: Store = module.PostgresStore(url)
    return store
