"""Engine processes that share a database and a bare provider; refunds are handed in within them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bench.machine import Child, Meter, module, running
from bench.places import Place
from bench.plan import Plan, Round, at

IN_FLIGHT = 1024
PROCESSES = {"postgresql": 2, "sqlite": 1}


@contextmanager
def bare_psp() -> Iterator[tuple[str, Child]]:
    """Its URL, and the process."""
    with running(*module("bench.psp")) as child:
        yield child.line(), child


def engines(plan: Plan, place: Place, kind: str, **more: Any) -> Round:
    """Refunds a second of engine processes that share the place. `more` goes into the wish of
    `bench.ours`; `rate` there is what each process is offered a second, in an open loop."""
    processes = PROCESSES[kind]
    with ExitStack() as stack:
        url, psp = stack.enter_context(bare_psp())
        wish = {
            "url": place.url,
            "psp": url,
            "folder": str(place.folder),
            "refunds": plan.count(700) // processes,
            "in_flight": IN_FLIGHT // processes,
            "parts": processes,
            **more,
        }
        wishes = [{**wish, "name": f"o{n}-", "part": n} for n in range(processes)]
        children = [
            stack.enter_context(running(*module("bench.ours", json.dumps(one)))) for one in wishes
        ]
        for child in children:
            child.line()
        meter = Meter(
            {
                "engine": [child.pid for child in children],
                "psp": [psp.pid],
                "postgresql": [place.server_pid],
            }
        )
        for child in children:
            child.go()
        found = [child.found() for child in children]
        latencies = sorted(second for one in found for second in one["latencies"])
        done = len(latencies)
        return Round(
            done / max(one["seconds"] for one in found),
            cpu=meter.per_1000(done),
            p99=1000 * at(latencies, 0.99),
        )
