"""Fixtures of the engine's suite: one laboratory a test, on both databases."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio

from amends.store.open import connect
from tests import postgres
from tests.engine.lab import Lab, laboratory

_made = iter(range(1, 1_000_000))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy: migrating once is enough."""
    path: Path = tmp_path_factory.mktemp("template") / "amends.db"
    store = connect(f"sqlite:///{path}")
    await store.migrate()
    await store.close()
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_template(postgres_server: str) -> str:
    """The name of a migrated database to copy."""
    name = "engine_template"
    postgres.sql(postgres_server, f'CREATE DATABASE "{name}"')
    store = connect(urlunsplit(urlsplit(postgres_server)._replace(path=f"/{name}")))
    await store.migrate()
    await store.close()
    return name


def fresh_postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("postgres_template")
    with postgres.database(server, f"engine_{next(_made)}", template) as url:
        yield url


@pytest.fixture
def pg_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """A migrated PostgreSQL database of this test alone."""
    with postgres.database(postgres_server, f"engine_{next(_made)}", postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def db_url(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[str]:
    """A migrated database of this test alone, of each kind in turn."""
    if request.param == "sqlite":
        shutil.copy(sqlite_template, tmp_path / "amends.db")
        yield f"sqlite:///{tmp_path / 'amends.db'}"
    else:
        yield from fresh_postgres(request)


@pytest_asyncio.fixture
async def lab(db_url: str, tmp_path: Path) -> AsyncIterator[Lab]:
    async with laboratory(db_url, tmp_path) as found:
        yield found
