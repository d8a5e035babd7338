"""One suite, both databases: `store` is an open, empty store on each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from amends.store.open import connect
from amends.store.spec import Store

SQLITE = pytest.param("sqlite")
POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)

Another = Callable[[], Awaitable[Store]]


@pytest.fixture(params=[SQLITE, POSTGRES])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database without a schema."""
    if request.param == "postgres":
        return cast(str, request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/amends.db"


@pytest.fixture
async def another(store_url: str) -> AsyncIterator[Another]:
    """Opens one more store on the same database, as another process would."""
    opened: list[Store] = []

    async def make() -> Store:
        store = connect(store_url)
        await store.migrate()
        await store.open()
        opened.append(store)
        return store

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
async def store(another: Another) -> Store:
    return await another()
