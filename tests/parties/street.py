"""A street of real parties: a Vendure shop, amends, the sandbox as Stripe, and a Tryton, each a
process of its own on this machine, which can be killed and started again with what it had on disk.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from socket import create_server
from typing import Any

from tests.erp import server as tryton
from tests.erp.server import Tryton
from tests.erp.talking import settings as erp_settings
from tests.parties.post import Post
from tests.shops.vendure_kit import VendureShop

SECRET = "whsec_" + "c3RyZWV0LW9mLXJlYWwtcGFydGllcw=="
STRIPE_SECRET = "whsec_street"
PATIENCE_S = 60.0


def free_port() -> int:
    with create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Process:
    """A command that serves until it is stopped or killed."""

    def __init__(self, name: str, folder: Path, command: list[str], env: dict[str, str]) -> None:
        self.name, self.command, self.env = name, command, env
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.env, cwd=self.log.parent, stdout=log, stderr=log
            )

    def stop(self, how: int = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            process.wait(timeout=30)


def asked(url: str, body: Any = None, key: str = "") -> Any:
    """What an address answers, as JSON."""
    head = {"Content-Type": "application/json"} | (
        {"Authorization": f"Bearer {key}"} if key else {}
    )
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, head), timeout=20) as answer:
        return json.load(answer)


def until(what: str, holds: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """What is looked for, as soon as it is so; a party that is away for now has not said it."""
    end, last = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        try:
            if found := holds():
                return found
        except (OSError, AssertionError) as error:
            last = f" ({error})"
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}{last}")


def _table(name: str, values: Mapping[str, str]) -> str:
    """A table of settings, in one line of TOML."""
    pairs = (f"{json.dumps(key)} = {json.dumps(value)}" for key, value in values.items())
    return f"{name} = {{ {', '.join(pairs)} }}\n"


class Street:
    """All of them, and what each of them says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.amends_port, self.sandbox_port, self.erp_port = (free_port() for _ in range(3))
        self.amends_url = f"http://127.0.0.1:{self.amends_port}"
        self.sandbox_url = f"http://127.0.0.1:{self.sandbox_port}"
        shop_folder = folder / "shop"
        shop_folder.mkdir()
        self.post = Post(f"{self.amends_url}/webhooks/shop-1")
        self.shop = VendureShop(shop_folder, self.post.url, [SECRET])
        self.erp = self._erp()
        env = {**os.environ, "AMENDS_CONFIG": str(folder / "amends.toml")}
        amends = [sys.executable, "-m", "amends.doors.cli"]
        serve = [*amends, "serve", "--port", str(self.amends_port)]
        self.amends = Process("amends", folder, serve, env)
        ports = ["--port", str(self.sandbox_port)]
        self.sandbox = Process("sandbox", folder, [*amends, "sandbox", *ports], env)
        self.tryton = Process("tryton", folder, self._erp_command, self._erp_env)
        self._configure()
        for command in (["init"], ["key", "create", "--name", "t", "--scopes", "admin", "--json"]):
            whole = [*amends, *command]
            done = subprocess.run(whole, check=False, env=env, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        self.key = json.loads(done.stdout)["key"]

    def _erp(self) -> Tryton:
        filled, facts = tryton.template()
        folder = self.folder / "erp"
        folder.mkdir()
        shutil.copy(filled / "erp.template", folder / "erp.sqlite")
        config = tryton._config(folder, "")
        config.write_text(config.read_text() + f"[web]\nlisten = 127.0.0.1:{self.erp_port}\n")
        self._erp_command = [str(tryton.BIN / "trytond"), "-c", str(config), "-d", "erp"]
        self._erp_env = tryton._environment(folder)
        return Tryton(f"http://127.0.0.1:{self.erp_port}/erp", facts)

    def _configure(self) -> None:
        its = self.its
        secrets = self.folder / "secrets"
        secrets.mkdir()
        known = {"stripe": "sk_test_sandbox", "hook": STRIPE_SECRET, "shop": SECRET}
        known |= {"erp": its.values["api_key"], "vendure": "shop-test", "rpc": tryton.PASSWORD}
        for name, text in known.items():
            (secrets / name).write_text(text)
        tables = "".join(_table(name, values) for name, values in its.tables.items())
        (self.folder / "amends.toml").write_text(f'''
[store]
url = "sqlite:///amends.db"
[policy]
auto_approve_up_to = 100000
[connections.stripe-eu]
gateway = "stripe"
api_key = "file:secrets/stripe"
webhook_secrets = ["file:secrets/hook"]
base_url = "{self.sandbox_url}/stripe"
[connections.shop-1]
gateway = "vendure"
base_url = "{self.shop.url}"
username = "superadmin"
password = "file:secrets/vendure"
webhook_secrets = ["file:secrets/shop"]
payments = {{ card = "stripe-eu" }}
[connections.erp]
gateway = "tryton"
base_url = "{self.erp.url}"
api_key = "file:secrets/erp"
party = "GUESTS"
rpc_user = "clerk"
rpc_password = "file:secrets/rpc"
{tables}''')

    @property
    def its(self) -> Any:
        """The settings by which Tryton is spoken to."""
        return erp_settings(
            self.erp,
            taxes={"Standard Tax Europe 0.19": "VAT 0.19"},
            products={"MUG-01": "MUG-01", "shipping": "PARCEL"},
        )

    # -- life ----------------------------------------------------------------------------------

    def open(self) -> None:
        for process in (self.sandbox, self.tryton, self.amends):
            process.start()
        self.shop.start()
        self.ready()
        self.listen()

    def listen(self) -> None:
        """Stripe's messages come to amends."""
        hook = {"gateway": "stripe", "op": "webhook", "secret": STRIPE_SECRET}
        asked(
            f"{self.sandbox_url}/control", hook | {"url": f"{self.amends_url}/webhooks/stripe-eu"}
        )

    def ready(self) -> None:
        until("amends serves", lambda: asked(f"{self.amends_url}/healthz"))
        until("the sandbox serves", lambda: asked(f"{self.sandbox_url}/control/refunds"))
        until("Tryton serves", lambda: listens(self.erp_port))

    def close(self) -> None:
        for process in (self.amends, self.sandbox, self.tryton, self.shop):
            process.stop()
        self.post.close()

    # -- what is done and seen -----------------------------------------------------------------

    def paid(self, psp_payment_id: str, amount: int) -> None:
        """Stripe holds a captured payment of that name."""
        command = {"gateway": "stripe", "op": "payment", "id": psp_payment_id, "amount": amount}
        asked(f"{self.sandbox_url}/control", command)

    def moved(self) -> list[dict[str, Any]]:
        """Every movement of money that the provider made."""
        return list(asked(f"{self.sandbox_url}/control/refunds")["items"])

    def refund(self, refund_id: str) -> Any:
        return asked(f"{self.amends_url}/v1/refunds/{refund_id}", key=self.key)

    def told(self) -> list[dict[str, Any]]:
        """What others were told, as rows."""
        with sqlite3.connect(f"file:{self.folder / 'amends.db'}?mode=ro", uri=True) as database:
            query = "SELECT connection, kind, state, detail FROM deliveries ORDER BY at, number"
            names = ("connection", "kind", "state", "detail")
            found = database.execute(query).fetchall()
        database.close()
        return [dict(zip(names, row, strict=True)) for row in found]

    def refunds(self) -> list[dict[str, Any]]:
        return list(asked(f"{self.amends_url}/v1/refunds", key=self.key)["items"])


def listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
