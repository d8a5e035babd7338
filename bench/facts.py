"""What the figures were measured on."""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

FLUSHES = 200


def facts(postgres_url: str = "") -> dict[str, Any]:
    """The machine and the versions. `flush_ms` is the median time of one 8 KiB write with
    fdatasync where temporary databases go; `load` is the load average before anything started."""
    return {
        "cpu": _after_colon(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": asyncio.run(_shown(postgres_url, "server_version")),
        "shared_buffers": asyncio.run(_shown(postgres_url, "shared_buffers")),
        "flush_ms": flush_ms(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def flush_ms() -> float:
    with tempfile.TemporaryFile() as file:
        block, taken = b"\0" * 8192, []
        for _ in range(FLUSHES):
            start = time.perf_counter()
            os.pwrite(file.fileno(), block, 0)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - start)
    return round(1000 * median(taken), 3)


def _after_colon(path: Path, name: str) -> str:
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return ""


async def _shown(url: str, name: str) -> str | None:
    if not url:
        return None
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(f"SHOW {name}"))
    finally:
        await connection.close()
