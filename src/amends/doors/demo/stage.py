"""What a run stands on: a folder, a configuration, fresh secrets, and two processes on loopback.

Both processes are started from this interpreter and stopped by their own id, whatever happens.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import aiohttp
import msgspec

from amends.doors.demo.parties import ADYEN, PAYPAL, PROVIDER, SHOP, Unexpected, until
from amends.engine import actions, config
from amends.engine.wiring import Engine
from amends.store.open import connect
from amends.store.spec import Store

HOST = "127.0.0.1"
START = 60.0  # seconds a process may take until it answers
STOP = 10.0  # seconds it may take to end in order
ROOT = "paypal-root.pem"  # what the look-alike's certificate leads to; another in every process
FLIGHTS = 4  # requests on the wire at once: few, so that some wait when the server is killed

_CONFIG = """\
[store]
url = {store}

[server]
host = "{host}"
port = {port}

[ledger]
functional_currency = "EUR"

ecb = false                  # the figures of the stories are the same every day

[ledger.rates]
USD = "0.92"
GBP = "1.15"
JPY = "0.0061"
KWD = "2.99"
SEK = "0.091"

[policy]
auto_approve_up_to = 10000   # 100.00 EUR; what is more waits for a person
second_person = true         # who asked may not approve
fallback = "store_credit"     # where the customer agreed to it; else a person pays

[connections.{provider}]
gateway = "stripe"
api_key = "env:AMENDS_DEMO_PROVIDERS_KEY"
webhook_secrets = ["env:AMENDS_DEMO_STRIPE_SECRET"]
base_url = "{sandbox}/stripe"
concurrency = {flights}

[connections.{adyen}]
gateway = "adyen"
api_key = "env:AMENDS_DEMO_PROVIDERS_KEY"
merchant_account = "TestMerchant"
environment = "test"
hmac_keys = ["env:AMENDS_DEMO_ADYEN_HMAC"]
base_url = "{sandbox}/adyen"

[connections.{paypal}]
gateway = "paypal"
client_id = "sandbox"
client_secret = "env:AMENDS_DEMO_PROVIDERS_KEY"
environment = "sandbox"
webhook_secrets = ["env:AMENDS_DEMO_PAYPAL_WEBHOOK"]
base_url = "{sandbox}/paypal"
trust_anchors = "file:{root}"

[connections.{shop}]
gateway = "standard"
webhook_secrets = ["env:AMENDS_DEMO_SHOP_SECRET"]
"""


# Support may approve too: what keeps it from approving its own requests is the second person.
_SUPPORT = ("orders:write", "refunds:write", "refunds:approve")


class Secrets(msgspec.Struct, frozen=True):
    """Made for one run; they reach the server by its environment and are never written down."""

    providers_key: str  # one for all three: their look-alikes have one
    stripe_secret: str
    adyen_hmac: str
    paypal_webhook: str  # the id of the webhook, which is what PayPal signs for
    shop_secret: str

    def environment(self) -> dict[str, str]:
        return {
            "AMENDS_DEMO_PROVIDERS_KEY": self.providers_key,
            "AMENDS_DEMO_STRIPE_SECRET": self.stripe_secret,
            "AMENDS_DEMO_ADYEN_HMAC": self.adyen_hmac,
            "AMENDS_DEMO_PAYPAL_WEBHOOK": self.paypal_webhook,
            "AMENDS_DEMO_SHOP_SECRET": self.shop_secret,
        }


def fresh_secrets() -> Secrets:
    return Secrets(
        providers_key=f"sk_test_{secrets.token_hex(16)}",
        stripe_secret=f"whsec_{secrets.token_hex(16)}",
        adyen_hmac=secrets.token_hex(32),
        paypal_webhook=secrets.token_hex(8).upper(),
        shop_secret=f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
    )


class Keys(msgspec.Struct, frozen=True):
    """The API keys of a run."""

    support: str
    lead: str
    books: str
    admin: str  # for whoever goes on playing after the end


class Stage:
    """The folder, the sandbox and the server of one run."""

    def __init__(self, store_url: str, prng: Random) -> None:
        self.own_store = not store_url
        if store_url:
            connect(store_url)  # a wrong one is told before anything is made
        self.folder = Path(tempfile.mkdtemp(prefix="amends-demo-"))
        self.secrets = fresh_secrets()
        self._seed = prng.getrandbits(32)
        sandbox_port, server_port = _free_ports(Random())
        self.sandbox_url = f"http://{HOST}:{sandbox_port}"
        self.server_url = f"http://{HOST}:{server_port}"
        self._sandbox_port = sandbox_port
        self.store_url = _absolute(store_url) or f"sqlite:///{self.folder / 'amends.db'}"
        self.config_path = self.folder / "amends.toml"
        self.config_path.write_text(self._config(server_port), encoding="utf-8")
        self.config = config.load(self.config_path, connections=False)
        self.store: Store = connect(self.store_url)
        self.keys = Keys("", "", "", "")
        self.sandbox: asyncio.subprocess.Process | None = None
        self.server: asyncio.subprocess.Process | None = None

    def _config(self, port: int) -> str:
        return _CONFIG.format(
            store=_toml(self.store_url),
            host=HOST,
            port=port,
            provider=PROVIDER,
            adyen=ADYEN,
            paypal=PAYPAL,
            root=ROOT,
            shop=SHOP,
            sandbox=self.sandbox_url,
            flights=FLIGHTS,
        )

    @property
    def store_shown(self) -> str:
        """The store for people, without a password."""
        if self.own_store:
            return "a temporary SQLite file"
        password = urlsplit(self.store_url).password
        return self.store_url.replace(f":{password}@", ":…@") if password else self.store_url

    @property
    def server_log(self) -> Path:
        return self.folder / "server.log"

    # -- setting up ----------------------------------------------------------------------------

    async def open_store(self) -> None:
        """The schema, made or brought up to date."""
        await self.store.migrate()
        await self.store.open()

    async def make_keys(self) -> None:
        """API keys for three people and a visitor."""
        engine = Engine(self.config, self.store, sends=False)
        try:
            self.keys = Keys(
                support=await _key(engine, "support", *_SUPPORT),
                lead=await _key(engine, "lead", "refunds:approve"),
                books=await _key(engine, "books", "ledger:read"),
                admin=await _key(engine, "demo", "admin"),
            )
        finally:
            await engine.transport.close()

    async def start_sandbox(self, session: aiohttp.ClientSession) -> None:
        """Start the providers and wait until they answer."""
        self.sandbox = await self._start(
            *("sandbox.log", "-m", "amends.sim.serve", "--port", str(self._sandbox_port)),
            *("--api-key", self.secrets.providers_key, "--seed", str(self._seed)),
        )
        url = f"{self.sandbox_url}/control/status"
        await self._answers(session, url, self.sandbox, self.folder / "sandbox.log")
        wish = {"op": "trust_anchors", "gateway": "paypal"}
        async with session.post(f"{self.sandbox_url}/control", json=wish) as answer:
            pem: str = (await answer.json())["pem"]
        (self.folder / ROOT).write_text(pem, encoding="utf-8")

    async def start_server(self, session: aiohttp.ClientSession) -> None:
        """Start `amends serve` and wait until it is ready."""
        self.server = await self._start(
            *("server.log", "-m", "amends.doors.cli", "serve", "--config", str(self.config_path))
        )
        await self._answers(session, f"{self.server_url}/readyz", self.server, self.server_log)

    async def _start(self, log: str, *arguments: str) -> asyncio.subprocess.Process:
        """A process of its own session: Ctrl-C reaches us, and we stop it by its id."""
        environment = {n: v for n, v in os.environ.items() if n != "AMENDS_CONFIG"}
        with (self.folder / log).open("ab") as file:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**environment, **self.secrets.environment()},
                start_new_session=True,
            )

    async def _answers(
        self,
        session: aiohttp.ClientSession,
        url: str,
        process: asyncio.subprocess.Process,
        log: Path,
    ) -> None:
        async def look() -> str:
            if process.returncode is not None:
                raise Unexpected(f"a process that answers at {url}", _last_words(log))
            try:
                async with session.get(url) as answer:
                    return f"HTTP {answer.status}"
            except aiohttp.ClientError as error:
                return type(error).__name__

        await until(f"HTTP 200 from {url}", look, lambda found: found == "HTTP 200", START)

    # -- taking down ---------------------------------------------------------------------------

    async def kill_server(self) -> int:
        """SIGKILL: nothing is finished, nothing is said. Gives the exit status."""
        if self.server is None:
            raise Unexpected("a running server", "none")
        self.server.kill()
        return await self.server.wait()

    async def stop_server(self) -> int:
        """SIGTERM: it ends in order. Gives the exit status."""
        return await _stop(self.server)

    async def clear(self, keep_files: bool) -> None:
        """Stop both processes, whatever state they are in, and remove the folder."""
        await asyncio.gather(_stop(self.server), _stop(self.sandbox))
        await self.store.close()
        if not keep_files:
            shutil.rmtree(self.folder, ignore_errors=True)


async def _stop(process: asyncio.subprocess.Process | None) -> int:
    if process is None:
        return 0
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP):
                await process.wait()
        except TimeoutError:
            process.kill()
    return await process.wait()


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"it ended and said {lines[-1].strip()[:300]!r}" if lines else "it ended in silence"


async def _key(engine: Engine, name: str, *scopes: str) -> str:
    _, secret = await actions.create_key(engine, "cli:demo", name, ("read", *scopes))
    return secret


def _free_ports(prng: Random) -> tuple[int, int]:
    """Two ports nobody listens on, from below those that outgoing connections are given: while the
    server is dead nobody else may come to hold its port."""
    found: list[int] = []
    while len(found) < 2:
        port = prng.randrange(20_000, 30_000)
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port not in found and holder.connect_ex((HOST, port)):
                found.append(port)
    return found[0], found[1]


def _absolute(url: str) -> str:
    """A SQLite file is named from here, not from the folder of our configuration."""
    prefix = "sqlite:///"
    if not url.startswith(prefix):
        return url
    return prefix + str(Path(url.removeprefix(prefix)).absolute())


def _toml(text: str) -> str:
    """A basic string of TOML, whose escapes are JSON's."""
    return msgspec.json.encode(text).decode()
