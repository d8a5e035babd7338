"""A real Tryton, for the tests that ask for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.erp import server
from tests.erp.server import Tryton


@pytest.fixture(scope="session")
def tryton() -> Iterator[Tryton]:
    """A server over its own SQLite file, one per test process."""
    if why := server.missing():
        pytest.skip(why)
    with server.running() as erp:
        yield erp
