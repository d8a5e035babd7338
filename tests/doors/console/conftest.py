"""One browser and one served world for all of the console's browser tests.

Both are of a module, not of the session: the world's engine runs on a thread, and tests of other
modules may put theirs in its place.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser

from amends.engine import passwords
from tests.doors.conftest import ENVIRONMENT, Opening
from tests.doors.console.browser import available, browsing
from tests.doors.console.door import KEY, Door, door_of
from tests.doors.console.scene import Scene, furnish
from tests.doors.console.world import World, served

NOBODYS = "the password of nobody"
POLICY = {"auto_approve_up_to": 10000, "second_person": True}


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Passwords are hashed slowly on purpose; here with the least work Argon2 takes."""
    with pytest.MonkeyPatch.context() as patch:
        quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(passwords, "_hasher", quick)
        patch.setattr(passwords, "_NOBODY", quick.hash(NOBODYS))
        yield


@pytest.fixture(scope="session")
def chromium_there() -> None:
    if why := available():
        pytest.skip(why)


@pytest.fixture(scope="module")
def browser(chromium_there: None) -> Iterator[Browser]:
    """Of a module, not of the session: while it is open, this thread runs the browser's loop, and
    an asynchronous test of another module would find it running."""
    with browsing() as found:
        yield found


@pytest.fixture(scope="module")
def settings_in_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def world(
    chromium_there: None, settings_in_environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with served(tmp_path_factory.mktemp("console"), policy=POLICY) as found:
        yield found


@pytest.fixture(scope="module")
def scene(world: World) -> Scene:
    """A month of refunds."""
    return furnish(world)


@pytest.fixture
def own_world(
    chromium_there: None, settings_in_environment: None, tmp_path: Path
) -> Iterator[World]:
    """A world for one test, which may end it."""
    with served(tmp_path, policy=POLICY) as found:
        yield found


@pytest.fixture
async def door(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    """A console without a browser, over its own engine and sandbox."""
    monkeypatch.setenv("CONSOLE_KEY", KEY)
    sections = {"console": {"key": "env:CONSOLE_KEY"}, "policy": POLICY}
    async with opening(**sections) as shop, door_of(shop) as found:
        yield found
