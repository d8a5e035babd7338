"""Forks servers: a process that has imported amends once, so that a restart takes moments and many
rounds fit into a run. What it forks is killed and dies like any other process.

One JSON request a line on standard input, one number a line back; ends its children with itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from amends.doors import cli
from amends.engine.config import LedgerConfig
from amends.engine.rates import daily

children: set[int] = set()


def spawn(command: list[str], folder: str, out: str, log: str) -> int:
    """Fork a command; its pid."""
    pid = os.fork()
    if pid == 0:
        become(command, folder, out, log)
    children.add(pid)
    return pid


def become(command: list[str], folder: str, out: str, log: str) -> None:
    """In the child: take its folder and files, run the command, never come back."""
    code = 1
    try:
        os.chdir(folder)
        nothing = os.open(os.devnull, os.O_RDONLY)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        for descriptor, target in (
            (nothing, 0),
            (os.open(out, flags), 1),
            (os.open(log, flags), 2),
        ):
            os.dup2(descriptor, target)
        sys.argv = ["amends", *command]
        cli.main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    finally:
        sys.stdout.flush()
        os._exit(code)


def wait(pid: int) -> int:
    children.discard(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    daily(LedgerConfig())
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = wait(request["wait"])
        else:
            files = {name: request[name] for name in ("folder", "out", "log")}
            Path(files["log"]).touch()
            answer = spawn(request["spawn"], **files)
        print(answer, flush=True)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
