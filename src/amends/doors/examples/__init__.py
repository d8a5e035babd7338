"""Policies of five trades to begin with: `amends policy new --like apparel`."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def text(name: str) -> str:
    """The file of one of NAMES, with its comments."""
    return (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
