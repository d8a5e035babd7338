"""amends as people run it: processes, their output and their ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"
DEADLINE_S = 60.0


def environment(**more: str) -> dict[str, str]:
    """The caller's, with the package under test in front and no settings of amends."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AMENDS_")}
    return {**kept, "PYTHONPATH": str(SOURCE), "COLUMNS": "100", **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "amends.doors.cli", *words]
