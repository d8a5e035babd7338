"""A real Tryton for tests: its own environment, its own process on 127.0.0.1, its own database.

`make tryton` installs it in our environment's folder; where it is not, the tests skip. Filling a
database takes half a minute, so a filled one is kept for a day, and copied.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

HERE = Path(__file__).resolve().parent
HOME = Path(sys.prefix) / "tryton"
BIN = HOME / "bin"
PASSWORD = "only-in-tests"  # of a database that is thrown away
START_TIMEOUT_S = 60.0
MODULES = ("account_invoice_stock", "sale", "stock")


class Tryton(msgspec.Struct, frozen=True):
    """A running server. `facts` is what fill.py says of the database."""

    url: str
    facts: dict[str, object]


def missing() -> str:
    """Why the tests cannot run, or ""."""
    if not (HOME / "installed.txt").exists():
        return f"needs a real Tryton in {HOME}: make tryton installs it"
    return ""


def template(database: str = "") -> tuple[Path, dict[str, object]]:
    """The folder of a filled database and what is in it; made if need be. `database` is the URL of
    an empty PostgreSQL database, which is filled itself."""
    words = b"".join((HERE / name).read_bytes() for name in ("fill.py", "requirements.txt"))
    # An invoice is of today, and so is the fiscal year: a filled database is for one day.
    mark = hashlib.sha256(words + time.strftime("%Y-%m-%d").encode()).hexdigest()[:16]
    kept = HOME / f"filled-{mark}"
    with (HOME / "filling.lock").open("w") as lock:  # one of several test processes fills it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database and (kept / "facts.json").exists():
            return kept, json.loads((kept / "facts.json").read_text())
        return kept, _filled(kept, database)


def _filled(kept: Path, database: str) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="filling-", dir=HOME))
    try:
        facts = _fill(folder, database)
        if not database:
            for old in HOME.glob("filled-*"):
                shutil.rmtree(old, ignore_errors=True)
            (folder / "facts.json").write_text(json.dumps(facts))
            folder.rename(kept)
        return facts
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, database: str) -> dict[str, object]:
    name = database.rpartition("/")[2] if database else "erp"
    config = _config(folder, database)
    if not database:
        (folder / "erp.sqlite").touch()
    environment = _environment(folder)
    admin = [str(BIN / "trytond-admin"), "-c", str(config), "-d", name]
    for command in (
        [*admin, "--all", "-p", "--email", "erp@example.com"],
        [*admin, "-u", *MODULES, "--activate-dependencies"],
        [
            *(str(BIN / "python"), str(HERE / "fill.py"), str(config)),
            *(database or "sqlite:///erp", PASSWORD, str(folder / "out.json")),
        ],
    ):
        done = subprocess.run(
            command, check=False, env=environment, capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} exited {done.returncode}:\n{done.stderr[-3000:]}")
    if not database:
        with sqlite3.connect(folder / "erp.sqlite") as connection:
            connection.execute(f"VACUUM INTO '{folder / 'erp.template'}'")
        connection.close()
    facts: dict[str, object] = json.loads((folder / "out.json").read_text())
    return facts


def _config(folder: Path, database: str) -> Path:
    uri = database.rpartition("/")[0] + "/" if database else "sqlite://"
    path = folder / "trytond.conf"
    path.write_text(f"[database]\nuri = {uri}\npath = {folder}\nlist = False\n")
    return path


def _environment(folder: Path) -> dict[str, str]:
    secret = folder / "password"
    secret.write_text(PASSWORD)
    return {"PATH": os.defpath, "TRYTONPASSFILE": str(secret), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@contextmanager
def running(database: str = "") -> Iterator[Tryton]:
    """A server over a fresh copy of the filled database, or over a PostgreSQL database."""
    filled, facts = template(database)
    folder = Path(tempfile.mkdtemp(prefix="amends-tryton-"))
    name = database.rpartition("/")[2] if database else "erp"
    try:
        if not database:
            shutil.copy(filled / "erp.template", folder / "erp.sqlite")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = _config(folder, database)
        config.write_text(config.read_text() + f"[web]\nlisten = 127.0.0.1:{port}\n")
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(BIN / "trytond"), "-c", str(config), "-d", name],
                env=_environment(folder),
                stdout=log,
                stderr=log,
            )
        try:
            _await(port, process, folder / "log")
            yield Tryton(f"http://127.0.0.1:{port}/{name}", facts)
        finally:
            process.terminate()
            process.wait(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    raise RuntimeError(f"Tryton did not start:\n{log.read_text()[-2000:]}")
