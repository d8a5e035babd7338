"""`audit verify` beside a server at work: what is committed while it reads is no finding; what is
gone from the checkpoints is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from amends.engine import audit
from amends.kernel.time import MINUTE
from tests.engine.lab import Lab


class Busy:
    """A store in which something is committed just before each call of one method."""

    def __init__(self, store: Any, method: str, work: Callable[[], Awaitable[None]]) -> None:
        self._store, self._method, self._work = store, method, work

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name != self._method:
            return found

        async def call(*arguments: Any) -> Any:
            await self._work()
            return await found(*arguments)

        return call


@pytest.mark.parametrize("method", ["streams", "events", "entry_hashes", "order_ids"])
async def test_what_is_committed_meanwhile_is_no_finding(lab: Lab, method: str) -> None:
    node = lab.nodes[0]
    order = await lab.order("1")
    await node.engine.sealer.seal()
    made = 0

    async def work() -> None:
        nonlocal made
        made += 1
        if made < 5:
            await lab.order(f"new{made}")
            await node.refund(order.id, amount=10)
            await node.quiet()

    busy: Any = Busy(node.store, method, work)
    report = await audit.verify(busy, lab.config.audit_dir)
    assert made > 0 and report.findings == ()


async def test_a_checkpoint_cut_out_of_the_file_is_found(lab: Lab) -> None:
    path = lab.config.audit_dir / "checkpoints.jsonl"
    for number in "123":
        await lab.order(number)
        await lab.nodes[0].engine.sealer.seal()
        lab.clock.forward(MINUTE)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    report = await audit.verify(lab.nodes[0].store, lab.config.audit_dir)
    assert {f.stream for f in report.findings} == {"checkpoints"}
