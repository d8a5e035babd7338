"""A real Tryton for tests: its own environment, its own process on 127.0.0.1, its own database.

`make tryton` installs it in our environment's folder; where it is not, the tests skip. Filling a
database takes half a minute, so a filled one is kept for a month, and copied.
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
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from tests import postgres

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
    """The folder of what was filled once, and what is in it; made if need be. `database` is the URL
    of an empty PostgreSQL database, which is filled from it."""
    words = b"".join((HERE / name).read_bytes() for name in ("fill.py", "requirements.txt"))
    # Its fiscal year begins half a year ago and goes on for five months.
    mark = hashlib.sha256(words + time.strftime("%Y-%m").encode()).hexdigest()[:16]
    kept = HOME / f"filled-{mark}"
    facts = kept / ("postgres.json" if database else "sqlite.json")
    with (HOME / "filling.lock").open("w") as lock:  # one of several test processes fills it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not facts.exists():
            for old in HOME.glob("filled-*"):
                if old != kept:
                    shutil.rmtree(old)
            kept.mkdir(exist_ok=True)
            said = _filled(kept, database)
            facts.write_text(json.dumps(said))
            return kept, said
    if database:
        _run(postgres.installed() / "pg_restore", "--dbname", database, kept / "erp.dump")
    found: dict[str, object] = json.loads(facts.read_text())
    return kept, found


def _filled(kept: Path, database: str) -> dict[str, object]:
    """Fills a database and keeps it."""
    with tempfile.TemporaryDirectory(prefix="amends-filling-") as name:
        folder = Path(name)
        facts = _fill(folder, database)
        if database:
            dump = ("--format", "custom", "--file", kept / "erp.dump")
            _run(postgres.installed() / "pg_dump", "--dbname", database, *dump)
        else:  # in WAL mode the file alone is not all there is
            (kept / "erp.template").unlink(missing_ok=True)
            with closing(sqlite3.connect(folder / "erp.sqlite")) as connection:
                connection.execute(f"VACUUM INTO '{kept / 'erp.template'}'")
        return facts


def _run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """A short command. Raises RuntimeError with what it said."""
    words = [str(word) for word in command]
    bare = environment or {"PATH": os.defpath}
    done = subprocess.run(words, check=False, env=bare, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{words[0]} exited {done.returncode}:\n{done.stderr[-3000:]}")


def _fill(folder: Path, database: str) -> dict[str, object]:
    name = database.rpartition("/")[2] if database else "erp"
    config = _config(folder, database)
    if not database:
        (folder / "erp.sqlite").touch()
    environment = _environment(folder)
    # What fill.py imports of trytond looks for its database there before it has read the file.
    environment["TRYTOND_CONFIG"] = str(config)
    environment["TRYTOND_DATABASE_URI"] = _uri(database)
    admin = (BIN / "trytond-admin", "-c", config, "-d", name)
    _run(*admin, "--all", "-p", "--email", "erp@example.com", environment=environment)
    _run(*admin, "-u", *MODULES, "--activate-dependencies", environment=environment)
    fill = (BIN / "python", HERE / "fill.py", config, database or "sqlite:///erp")
    _run(*fill, PASSWORD, folder / "out.json", environment=environment)
    facts: dict[str, object] = json.loads((folder / "out.json").read_text())
    return facts


def _uri(database: str) -> str:
    return database.rpartition("/")[0] + "/" if database else "sqlite://"


def _config(folder: Path, database: str) -> Path:
    path = folder / "trytond.conf"
    path.write_text(f"[database]\nuri = {_uri(database)}\npath = {folder}\nlist = False\n")
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
