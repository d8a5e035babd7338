"""Fixtures of the engine's suite: one laboratory a test, on both databases."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio
import structlog

from amends.doors import logs
from amends.store.open import connect
from amends.store.schema import metadata
from tests import postgres
from tests.engine.crash import Stage
from tests.engine.lab import Lab, laboratory


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy: migrating once is enough."""
    path: Path = tmp_path_factory.mktemp("template") / "amends.db"
    store = connect(f"sqlite:///{path}")
    await store.migrate()
    await store.close()
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_migrated(postgres_server: str) -> str:
    """The URL of one migrated database, which the tests empty and use in turn."""
    postgres.sql(postgres_server, 'CREATE DATABASE "engine"')
    url = urlunsplit(urlsplit(postgres_server)._replace(path="/engine"))
    store = connect(url)
    await store.migrate()
    await store.close()
    return url


def emptied(url: str) -> str:
    """The same database without a row; its triggers are asleep for that."""
    tables = "; ".join(f"DELETE FROM {table.name}" for table in metadata.sorted_tables)
    postgres.sql(url, f"SET session_replication_role = replica; {tables}")
    return url


@pytest.fixture
def pg_url(postgres_migrated: str) -> str:
    """A migrated PostgreSQL database without a row."""
    return emptied(postgres_migrated)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def db_url(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> str:
    """A migrated database without a row, of each kind in turn."""
    if request.param == "sqlite":
        shutil.copy(sqlite_template, tmp_path / "amends.db")
        return f"sqlite:///{tmp_path / 'amends.db'}"
    return emptied(request.getfixturevalue("postgres_migrated"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def bare_stage(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Stage:
    url = request.getfixturevalue("postgres_migrated") if request.param == "postgres" else ""
    return Stage(sqlite_template, tmp_path, url)


@pytest_asyncio.fixture
async def stage(bare_stage: Stage) -> AsyncIterator[Stage]:
    """For tests that need a database without a row many times."""
    yield bare_stage
    await bare_stage.close()


@pytest_asyncio.fixture
async def pg_stage(
    tmp_path: Path, sqlite_template: Path, postgres_migrated: str
) -> AsyncIterator[Stage]:
    found = Stage(sqlite_template, tmp_path, postgres_migrated)
    yield found
    await found.close()


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """As a process has them: on standard error, without the values of local variables."""
    logs.set_up()
    yield
    structlog.reset_defaults()


@pytest_asyncio.fixture
async def lab(db_url: str, tmp_path: Path) -> AsyncIterator[Lab]:
    async with laboratory(db_url, tmp_path) as found:
        yield found
