"""Browsers without windows, an engine behind them, and a hand to move its clock."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pyotp

from amends.doors.rest import app
from amends.engine import passwords, people
from amends.kernel.time import SECOND, Instant
from tests.doors.conftest import Shop

KEY = base64.b64encode(b"a key of the console, 32 bytes..").decode()
GOOD = "a sentence that is long enough"
HOME = "http://localhost"


class Clock:
    """The machine's, and a hand to move it."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.ahead = inner, 0

    def now(self) -> Instant:
        return int(self._inner.now()) + self.ahead

    def monotonic(self) -> Instant:
        return int(self._inner.monotonic()) + self.ahead


class Door:
    """An engine, its clock, and browsers without windows."""

    def __init__(self, shop: Shop, clock: Clock, client: Callable[[], httpx.AsyncClient]) -> None:
        self.shop, self.engine = shop, shop.engine
        self.clock, self.browser = clock, client

    async def user(self, login: str = "ada", role: str = "viewer") -> tuple[str, str]:
        """(id, one-time password)."""
        user, once = await people.add(self.engine, "cli:test", login, "Ada", role)
        return user.id, once

    async def settled(
        self, login: str = "ada", role: str = "viewer"
    ) -> tuple[httpx.AsyncClient, str]:
        """A browser that is signed in for the first time, and the secret of its phone."""
        _, once = await self.user(login, role)
        browser = self.browser()
        await send(browser, "/console/sign-in", login=login, password=once)
        page = await send(browser, "/console/sign-in/password", password=GOOD, again=GOOD)
        assert page.headers["location"].startswith("/console/sign-in/enrol"), page.text
        secret = re.search(r'class="secret">(\w+)<', (await see(browser, "enrol")).text)
        assert secret
        answer = await send(browser, "/console/sign-in/enrol", code=self.code(secret[1]))
        assert answer.headers["location"] == "/console", answer.text
        return browser, secret[1]

    def code(self, secret: str, steps: int = 0) -> str:
        at = self.clock.now() // SECOND + steps * passwords.STEP_SECONDS
        return pyotp.TOTP(secret).at(at)

    async def events(self) -> list[tuple[str, Any]]:
        found = await self.engine.store.events("system:people", "", 500)
        return [(event.type, event.body) for event in found]


async def see(browser: httpx.AsyncClient, step: str) -> httpx.Response:
    return await browser.get(f"/console/sign-in/{step}")


async def send(browser: httpx.AsyncClient, path: str, **form: str) -> httpx.Response:
    """A form, with the token of its page."""
    page = await browser.get(path if "sign-in" in path else "/console")
    token = re.search(r'name="token" value="([\w-]+)"', page.text)
    return await browser.post(path, data={"token": token[1] if token else "", **form})


@asynccontextmanager
async def door_of(shop: Shop) -> AsyncIterator[Door]:
    """The console of a shop, with a clock that can be put forward."""
    clock = Clock(shop.engine.clock)
    shop.engine.clock = clock
    clients: list[httpx.AsyncClient] = []
    application = app(shop.engine)

    def client() -> httpx.AsyncClient:
        wire = httpx.ASGITransport(application)
        found = httpx.AsyncClient(transport=wire, base_url=HOME, headers={"Origin": HOME})
        clients.append(found)
        return found

    yield Door(shop, clock, client)
    for one in clients:
        await one.aclose()
