"""Processes we start, and the CPU time they took (from /proc, where there is one)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STOP_S = 30.0
TICKS = os.sysconf("SC_CLK_TCK")


class Child:
    """A process that talks in lines: it prints when it is ready and when it has found something,
    and stops when its standard input closes (or, with `term`, on SIGTERM)."""

    def __init__(self, *command: str, env: Mapping[str, str] | None = None, term: bool = False):
        source = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
        self._term, self._command = term, command
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": source, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("AMENDS_BENCH_LOGS") else subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for us; we then stop it in order
        )
        self.pid = self._process.pid

    def line(self) -> str:
        """Its next line. Raises RuntimeError when it ended instead."""
        assert self._process.stdout is not None
        found = self._process.stdout.readline()
        if not found:
            raise RuntimeError(
                f"{' '.join(self._command)[:200]} ended with {self._process.wait()};"
                " AMENDS_BENCH_LOGS=1 shows what it said"
            )
        return found.strip()

    def found(self) -> Any:
        return json.loads(self.line())

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """By its own handle only."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if self._term:
            self._process.terminate()
        self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@contextmanager
def running(
    *command: str, env: Mapping[str, str] | None = None, term: bool = False
) -> Iterator[Child]:
    child = Child(*command, env=env, term=term)
    try:
        yield child
    finally:
        child.stop()


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The command of a Python module."""
    return (sys.executable, "-m", name, *arguments)


# -- CPU time --------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, those it started, and those of them that have ended."""
    found = _processes()
    total, wanted = 0.0, [pid]
    while wanted:
        one = wanted.pop()
        if one in found:
            total += found[one][1]
            wanted += [child for child, (parent, _) in found.items() if parent == one]
    return total


def _processes() -> dict[int, tuple[int, float]]:
    """pid -> (parent, seconds, those of children that ended included)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        found[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / TICKS)
    return found


def parent_of(pid: int) -> int:
    found = _processes().get(pid)
    return found[0] if found else 0


class Meter:
    """CPU-seconds by process name between `start` and `per_1000`."""

    def __init__(self, pids: Mapping[str, list[int]]) -> None:
        self._pids = {name: [pid for pid in pids_ if pid] for name, pids_ in pids.items()}
        self._before = self._now()

    def per_1000(self, count: int) -> dict[str, float]:
        after = self._now()
        return {
            name: round((after[name] - before) * 1000 / count, 3)
            for name, before in self._before.items()
        }

    def _now(self) -> dict[str, float]:
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self._pids.items() if pids}
