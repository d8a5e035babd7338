"""The processes of a run: servers and a worker, started, killed with -9, started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
STOP_S = 30.0
SHOP_SECRET = "whsec_Y2hhb3MtY2hhb3MtY2hhb3MtY2hhb3M="
STRIPE_SECRET = "whsec_chaos_stripe"
API_KEY = "sk_test_sandbox"

CONFIG = """
[store]
url = "{store}"
[policy]
auto_approve_up_to = 100000000
[audit]
dir = "audit"
[connections.stripe-eu]
gateway = "stripe"
api_key = "env:CHAOS_KEY"
webhook_secrets = ["env:CHAOS_STRIPE"]
base_url = "{psp}/stripe"
rate = 0
concurrency = 32
indeterminate_after = "5s"
[connections.shop-1]
gateway = "standard"
webhook_secrets = ["env:CHAOS_SHOP"]
"""


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


def environment() -> dict[str, str]:
    secrets = {"CHAOS_KEY": API_KEY, "CHAOS_STRIPE": STRIPE_SECRET, "CHAOS_SHOP": SHOP_SECRET}
    return {**os.environ, **secrets, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1"}


class Process:
    """One long-running command. `url` is "" for a worker."""

    def __init__(self, nest: Nest, folder: Path, name: str, *command: str, port: int = 0) -> None:
        self.folder, self.name, self.command = folder, name, command
        self.url = f"http://127.0.0.1:{port}" if port else ""
        self.kills = 0
        self.ready = False
        self._nest = nest
        self._pid = 0
        self._said = folder / f"{name}.out"
        self._log = folder / f"{name}.log"

    async def start(self) -> None:
        self._said.write_text("")
        self._pid = await self._nest.spawn(self.folder, self._said, self._log, *self.command)

    async def wait_ready(self) -> None:
        """Until it says that it serves. Raises RuntimeError with its log if it does not."""
        for _ in range(int(START_S / 0.02)):
            if self._said.read_text().startswith("amends "):
                self.ready = True
                return
            await asyncio.sleep(0.02)
        raise RuntimeError(f"{self.name} did not start: {self._said.read_text()}\n{self.tail()}")

    async def kill(self) -> None:
        """SIGKILL, at whatever moment this is."""
        self.ready = False
        os.kill(self._pid, signal.SIGKILL)
        status = await self._nest.wait(self._pid)
        self._pid = 0
        if status != -signal.SIGKILL:
            raise RuntimeError(f"{self.name} had ended by itself ({status})\n{self.tail()}")
        self.kills += 1

    def terminate(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGTERM)

    async def ended(self) -> int:
        """Its exit code after SIGTERM; killed if it does not end in time."""
        if not self._pid:
            return 0
        pid, self._pid = self._pid, 0
        loop = asyncio.get_running_loop()
        timer = loop.call_later(STOP_S, os.kill, pid, signal.SIGKILL)
        try:
            return await self._nest.wait(pid)
        finally:
            timer.cancel()

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


class Nest:
    """The process that forks ours: it has imported everything once (see `nest.py`)."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.chaos.nest"),
            cwd=ROOT,
            env=environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def _ask(self, **request: Any) -> int:
        child = self._child
        assert child is not None and child.stdin is not None and child.stdout is not None
        async with self._turn:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            return int(await child.stdout.readline())

    async def spawn(self, folder: Path, said: Path, log: Path, *command: str) -> int:
        """Start a command; its pid."""
        files = {"folder": str(folder), "out": str(said), "log": str(log)}
        return await self._ask(spawn=list(command), **files)

    async def wait(self, pid: int) -> int:
        """Its exit code, or the negative signal that ended it."""
        return await self._ask(wait=pid)

    async def close(self) -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()
            await self._child.wait()


class Arena:
    """A database, a settings file and the processes that share them."""

    def __init__(self, folder: Path, store: str, psp: str) -> None:
        self.folder, self.store = folder, store
        self.config = folder / "amends.toml"
        self.config.write_text(CONFIG.format(store=store, psp=psp))
        self.nest = Nest()
        self.processes = [self._server("a")]
        if not store.startswith("sqlite"):
            worker = Process(self.nest, folder, "worker", "worker")
            self.processes += [self._server("b"), worker]
        self.key = ""

    def _server(self, name: str) -> Process:
        port = free_port()
        return Process(self.nest, self.folder, name, "serve", "--port", str(port), port=port)

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command to its end: its exit code and what it printed."""
        out, log = self.folder / "command.out", self.folder / "command.log"
        out.write_text("")
        log.write_text("")
        pid = await self.nest.spawn(self.folder, out, log, *arguments)
        code = await self.nest.wait(pid)
        return code, out.read_text() if code == 0 else out.read_text() + log.read_text()

    async def open(self) -> None:
        await self.nest.open()
        code, text = await self.command("init")
        assert code == 0, text
        made = ("key", "create", "--name", "chaos", "--scopes", "admin", "--json")
        code, text = await self.command(*made)
        assert code == 0, text
        self.key = json.loads(text)["key"]
        await asyncio.gather(*(process.start() for process in self.processes))
        await asyncio.gather(*(process.wait_ready() for process in self.processes))

    async def close(self) -> list[int]:
        """Stop everything in order; how each ended."""
        for process in self.processes:
            process.terminate()
        return [await process.ended() for process in self.processes]

    @property
    def urls(self) -> list[str]:
        """Where requests may be tried, dead or alive: a client does not know either."""
        return [process.url for process in self.processes if process.url]
