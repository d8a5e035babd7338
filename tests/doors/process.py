"""amends as people run it: processes, their output and their ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from .conftest import ENVIRONMENT

SOURCE = Path(__file__).resolve().parents[2] / "src"
DEADLINE_S = 60.0

SETTINGS = """
[store]
url = "sqlite:///amends.db"
[connections.stripe-eu]
gateway = "stripe"
api_key = "env:STRIPE_KEY"
webhook_secrets = ["env:STRIPE_WHSEC"]
base_url = "{url}/stripe"
[connections.shop-1]
gateway = "standard"
webhook_secrets = ["env:SHOP_SECRET"]
"""


def environment(**more: str) -> dict[str, str]:
    """The caller's, with the package under test in front and no settings of amends."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AMENDS_")}
    wide = {"PYTHONPATH": str(SOURCE), "COLUMNS": "200", "NO_COLOR": "1"}
    return {**kept, **wide, **ENVIRONMENT, **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "amends.doors.cli", *words]


def amends(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


class Running:
    """A process that stays. Its lines are read as they come, so that it never waits for us."""

    def __init__(self, folder: Path, *words: str, **more: str) -> None:
        with (folder / "stderr.log").open("w") as stderr:
            self.process = subprocess.Popen(
                command(*words),
                cwd=folder,
                env=environment(**more),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self._folder = folder
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())
        self._lines.put("")

    def line(self) -> str:
        """The next line of its output."""
        try:
            found = self._lines.get(timeout=DEADLINE_S)
        except Empty:
            found = ""
        assert found, f"it said nothing: {self.errors()}"
        return found

    def rest(self) -> list[str]:
        """What else it said, once it has ended."""
        self._reader.join(DEADLINE_S)
        return [self._lines.get() for _ in range(self._lines.qsize())]

    def errors(self) -> str:
        return (self._folder / "stderr.log").read_text()

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to stop; how it ended."""
        self.process.send_signal(signum)
        return self.process.wait(DEADLINE_S)


@contextmanager
def running(folder: Path, *words: str, **more: str) -> Iterator[Running]:
    """A process that is ended with the block, whatever happens."""
    found = Running(folder, *words, **more)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.process.kill()
            found.process.wait(DEADLINE_S)
        if found.process.stdout is not None:
            found._reader.join(DEADLINE_S)
            found.process.stdout.close()
