"""Checkpoints: each folder is a witness of its own, whoever else seals the same database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from amends.engine.audit import verify
from amends.engine.seals import OVERLAP, Sealer
from amends.kernel.time import MINUTE
from tests.engine.lab import Lab


@pytest.fixture
async def busy(lab: Lab) -> AsyncIterator[Lab]:
    """A database with three orders and a first folder's checkpoint."""
    for number in ("1", "2", "3"):
        await lab.order(number)
    assert await lab.nodes[0].engine.sealer.seal() is not None
    yield lab


def another(lab: Lab, folder: Path) -> Sealer:
    sealer = Sealer(lab.nodes[0].store, folder, lab.clock)
    sealer.prepare()
    return sealer


async def test_a_new_folder_seals_everything_and_both_verify(busy: Lab, tmp_path: Path) -> None:
    store, second = busy.nodes[0].store, tmp_path / "second"
    busy.clock.at += 10 * MINUTE + OVERLAP
    made = await another(busy, second).seal()
    assert made is not None
    assert (made.number, made.orders, len(made.heads)) == (2, 3, 3)
    busy.clock.at += 10 * MINUTE
    await busy.order("4")
    assert await another(busy, second).seal() is not None
    busy.clock.at += 10 * MINUTE
    assert await busy.nodes[0].engine.sealer.seal() is not None
    for folder in (second, busy.config.audit_dir):
        report = await verify(store, folder)
        assert (report.ok, report.findings, report.notes) == (True, (), ())


async def test_orders_are_counted_once(busy: Lab) -> None:
    sealer = busy.nodes[0].engine.sealer
    assert await sealer.seal() is None
    await busy.nodes[0].refund((await busy.orders())[0].id)
    await busy.settle()
    busy.clock.at += 1
    again = await sealer.seal()
    assert again is not None
    assert (again.orders, len(again.heads)) == (3, 1)


async def test_a_line_taken_out_of_the_file_is_found(busy: Lab) -> None:
    sealer, store = busy.nodes[0].engine.sealer, busy.nodes[0].store
    for number in ("4", "5"):
        busy.clock.at += MINUTE
        await busy.order(number)
        assert await sealer.seal() is not None
    path = busy.config.audit_dir / "checkpoints.jsonl"
    first, _, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + third)
    whats = [f.what for f in (await verify(store, busy.config.audit_dir)).findings]
    assert "does not follow the line before it" in whats


async def test_a_forged_line_is_found(busy: Lab) -> None:
    path = busy.config.audit_dir / "checkpoints.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"orders":3', b'"orders":4'))
    report = await verify(busy.nodes[0].store, busy.config.audit_dir)
    assert "the signature is wrong" in [f.what for f in report.findings]


async def test_a_row_without_its_line_is_made_up_for(busy: Lab) -> None:
    """The writer stopped between the row and the line."""
    path = busy.config.audit_dir / "checkpoints.jsonl"
    path.unlink()
    busy.clock.at += MINUTE
    await busy.order("4")
    fresh = Sealer(busy.nodes[0].store, busy.config.audit_dir, busy.clock)
    assert await fresh.seal() is not None
    report = await verify(busy.nodes[0].store, busy.config.audit_dir)
    assert (report.ok, report.checkpoints) == (True, 2)
