"""One street of real parties, for the tests that ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.erp import server as tryton
from tests.parties.street import Street
from tests.shops.vendure_kit import installed


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    if why := tryton.missing():
        pytest.skip(why)
    installed()
    made = Street(tmp_path_factory.mktemp("street"))
    try:
        made.open()
        yield made
    finally:
        made.close()
