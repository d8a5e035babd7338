"""A served console with people, orders and refunds: the application and its engine on a thread."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyotp
import uvicorn
from msgspec.structs import replace

from amends.core.requests import OrderIn, RefundIn
from amends.doors.rest import app
from amends.engine import actions, passwords, people, queries
from amends.engine.actions import Caller
from amends.engine.config import parse
from amends.engine.vault import Vault
from amends.engine.wiring import RESTING, Engine
from amends.sim.serve import Sandbox, running
from amends.store.open import connect
from amends.store.records import User
from tests.doors.conftest import order_body, settings

KEY = base64.b64encode(b"the console's key of the tests!!").decode()
PASSWORD = "correct horse battery staple"
T = TypeVar("T")
_hashed: list[str] = []  # of that password, once: it takes long on purpose


class Person:
    """Somebody who works here, with a phone."""

    def __init__(self, user: User, password: str, secret: str) -> None:
        self.user, self.password, self.secret = user, password, secret

    def code(self) -> str:
        return pyotp.TOTP(self.secret).now()


class World:
    """What a browser test talks to."""

    def __init__(self, engine: Engine, sandbox: Sandbox, url: str) -> None:
        self.engine, self.sandbox, self.url = engine, sandbox, url
        self.loop = asyncio.get_running_loop()
        self._number = 0

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something where the engine runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def person(self, login: str, role: str, name: str = "") -> Person:
        """Somebody with a password of their own and an enrolled phone."""
        return self.do(self._person(login, role, name))

    async def _person(self, login: str, role: str, name: str) -> Person:
        engine = self.engine
        before, _ = await people.add(engine, "cli:test", login, name, role)
        secret = passwords.new_secret()
        sealed = Vault(engine.config.console.key).seal(secret, f"totp {before.id}")
        if not _hashed:
            _hashed.append(await passwords.Hashing().hash(PASSWORD))
        after = replace(before, password=_hashed[0], password_at=engine.clock.now(), totp=sealed)
        changes = {"password": after.password, "password_at": after.password_at, "totp": sealed}
        assert await engine.store.change_user(before.id, changes)
        return Person(after, PASSWORD, secret)

    def session(self, person: Person) -> str:
        """The cookie of a session of theirs."""
        doorman = people.Doorman(self.engine, Vault(self.engine.config.console.key))
        return self.do(doorman.open(person.user, "a test")).cookie

    def forget_code(self, person: Person) -> None:
        """As if the code had not been used: tests sign in faster than codes change."""
        self.do(self._forget_code(person))

    async def _forget_code(self, person: Person) -> None:
        await self.engine.store.change_user(person.user.id, {"totp_step": 0})

    def order(self, number: str, **more: Any) -> str:
        """An order paid at the provider; its id."""
        payment = f"pi_{number}"
        wish = {"op": "payment", "id": payment, "amount": 10200, "currency": "eur"}
        body = {**order_body(number, payment), **more}
        amount = sum(tender["amount"] for tender in body["tenders"])
        self.sandbox.control({**wish, "amount": amount})
        report = msgspec.convert(body, OrderIn)
        told = self.do(actions.report_order(self.engine, Caller("key:shop", "prn_shop"), report))
        assert told.results[0].order is not None, told.results[0].refused
        return told.results[0].order.id

    def refund(self, order: str, actor: str = "key:support", **body: Any) -> str:
        """A refund that is asked for; its id."""
        wanted = msgspec.convert({"order": order, "reason": "damaged", **body}, RefundIn)
        told = self.do(actions.request_refund(self.engine, Caller(actor, actor), wanted))
        assert told.results[0].refund, told.results[0].refused
        return told.results[0].refund

    def rests(self, refund: str) -> str:
        """Wait until nothing more comes of it soon; its state."""
        return self.do(self._rests(refund))

    async def _rests(self, refund: str) -> str:
        async with asyncio.timeout(20):
            while (state := (await queries.refund(self.engine, refund))["state"]) not in RESTING:
                await self.engine.wait_for(refund, 0.2)
        return str(state)


@contextmanager
def served(folder: Path, **sections: Any) -> Iterator[World]:
    """A world on a thread of its own, on any free port of 127.0.0.1."""
    ready: list[World] = []
    failed: list[BaseException] = []
    begun, stop = threading.Event(), threading.Event()

    def work() -> None:
        try:
            asyncio.run(_live(folder, sections, ready, begun, stop))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failed.append(error)
        finally:
            begun.set()

    thread = threading.Thread(target=work, name="console world")
    thread.start()
    begun.wait()
    try:
        if failed:
            raise failed[0]
        yield ready[0]
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


async def _live(
    folder: Path,
    sections: dict[str, Any],
    ready: list[World],
    begun: threading.Event,
    stop: threading.Event,
) -> None:
    (folder / "console.key").write_text(KEY)
    console = {"console": {"key": "file:console.key"}}
    async with running() as sandbox:
        raw = settings(sandbox.url, **{**console, **sections})
        config = parse(raw, folder / "amends.toml")
        store = connect(config.store.url)
        await store.migrate()
        await store.open()
        engine = Engine(config, store)
        await engine.start()
        server = _Server(
            uvicorn.Config(app(engine), port=0, lifespan="off", log_config=None, ws="none")
        )
        serving = asyncio.create_task(server.serve())
        await server.ready.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        ready.append(World(engine, sandbox, f"http://127.0.0.1:{port}"))
        begun.set()
        await asyncio.to_thread(stop.wait)
        engine.hurry()
        server.should_exit = True
        await serving
        await engine.stop()
        await store.close()
