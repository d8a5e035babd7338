"""The rows of `amends bench`: what is measured, against what, and what must come of it.

A row is measured in rounds, the reference beside ours in each; value and reference are medians,
the ratio is the median of the rounds' own ratios, so that a busy minute of the machine counts for
both sides.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench import references, services
from bench.load import post_all, request
from bench.machine import Child, Meter, module, running
from bench.places import Place, Places

IN_FLIGHT = 1024
WARM = 64


@dataclass
class Row:
    """One line of the result. `ok` None: nothing must come of it, or it is absent."""

    name: str
    what: str
    unit: str = "refunds/s"
    value: float | None = None
    reference: float | None = None
    ratio: float | None = None
    must: float | None = None
    ok: bool | None = None
    cpu_s_per_1000: dict[str, float] = field(default_factory=dict)
    note: str = ""
    absent: str = ""

    def judge(self) -> Row:
        if self.must is not None and self.ratio is not None:
            self.ok = self.ratio >= self.must
        return self


@dataclass(frozen=True)
class Plan:
    """How much to do. `seconds` is what one measurement takes, about."""

    places: Places
    seconds: float
    rounds: int
    kinds: tuple[str, ...]

    def count(self, a_second: int) -> int:
        return max(20, int(self.seconds * a_second))


@dataclass
class Round:
    """One round of one row."""

    value: float
    reference: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    more: dict[str, float] = field(default_factory=dict)


def _summed_up(row: Row, rounds: list[Round]) -> Row:
    row.value = round(median(r.value for r in rounds), 1)
    if all(r.reference for r in rounds):
        row.reference = round(median(r.reference for r in rounds), 1)
        row.ratio = round(median(r.value / r.reference for r in rounds), 3)
    names = sorted({name for r in rounds for name in r.cpu})
    row.cpu_s_per_1000 = {n: round(median(r.cpu.get(n, 0.0) for r in rounds), 3) for n in names}
    return row.judge()


@contextmanager
def _psp() -> Iterator[tuple[str, Child]]:
    with running(*module("bench.psp")) as child:
        yield child.line(), child


# -- rows 1 and 2: within the process --------------------------------------------------------------


def _engines(plan: Plan, place: Place, processes: int, **more: Any) -> Round:
    """Refunds a second of engine processes that share the place."""
    with ExitStack() as stack:
        url, psp = stack.enter_context(_psp())
        wish = {
            "url": place.url,
            "psp": url,
            "folder": str(place.folder),
            "refunds": plan.count(700) // processes,
            "in_flight": IN_FLIGHT // processes,
            **more,
        }
        children = [
            stack.enter_context(
                running(*module("bench.ours", json.dumps({**wish, "name": f"o{n}-"})))
            )
            for n in range(processes)
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
        done = wish["refunds"] * processes
        return Round(done / max(f["seconds"] for f in found), cpu=meter.per_1000(done))


def engine_postgresql(plan: Plan) -> list[Row]:
    row = Row(
        "engine-postgresql",
        "refunds decided, sent, booked; handed in within 2 processes; PostgreSQL",
        must=0.2,
        note="against pgbench writing only the rows of one refund per transaction, 8 clients",
    )
    if not references.pgbench_program():
        row.absent = "there is no pgbench on this machine, in the wheel or on the path"
        return [row]
    rounds = []
    for _ in range(plan.rounds):
        with plan.places.fresh("postgresql") as place:
            reference = references.pgbench(place, plan.seconds)
        with plan.places.fresh("postgresql") as place:
            rounds.append(_engines(plan, place, processes=2))
        rounds[-1].reference = reference
    return [_summed_up(row, rounds)]


def engine_sqlite(plan: Plan) -> list[Row]:
    row = Row(
        "engine-sqlite",
        "the same in 1 process; SQLite, FULL",
        must=0.5,
        note="against the same rows by executemany, one transaction per refund",
    )
    rounds = []
    for _ in range(plan.rounds):
        with plan.places.fresh("sqlite") as place, plan.places.fresh("sqlite") as empty:
            one = _engines(plan, place, processes=1)
            finished = place.folder / "amends.db"
            one.reference = references.executemany(
                finished, empty.folder / "amends.db", plan.seconds
            )
            rounds.append(one)
    return [_summed_up(row, rounds)]


# -- row 3: over REST ------------------------------------------------------------------------------


def _names(plan: Plan, a_second: int) -> list[str]:
    """Orders: some to warm up with (first requests connect and compile), then those that count."""
    return [f"o-{n}" for n in range(WARM + plan.count(a_second))]


def _over_rest(plan: Plan, place: Place, processes: int) -> Round:
    names = _names(plan, 400)
    with _psp() as (url, psp), services.amends(place, url, processes) as service:
        services.report_orders(service, names)
        requests = services.refund_requests(service, names)
        service.post(requests[:WARM])
        meter = Meter({"amends": service.pids, "psp": [psp.pid], "postgresql": [place.server_pid]})
        posted = service.post(requests[WARM:])
        cpu = meter.per_1000(len(posted.bodies))
    states = {json.loads(body)["state"] for body in posted.bodies}
    if states != {"succeeded"}:
        raise RuntimeError(f"refunds ended {sorted(states)}")
    return Round(len(posted.bodies) / posted.seconds, cpu=cpu)


def _naively(plan: Plan, place: Place) -> Round:
    names = _names(plan, 120)
    with _psp() as (url, _), services.naive(place, url) as service:
        services.report_naive(service, names)
        requests = services.naive_requests(names)
        service.post(requests[:WARM])
        meter = Meter({"naive": service.pids})
        posted = service.post(requests[WARM:])
        done = len(posted.bodies)
        return Round(done / posted.seconds, cpu=meter.per_1000(done))


def rest(plan: Plan, kind: str) -> list[Row]:
    row = Row(
        f"rest-{kind}",
        f"the whole path over REST, 32 connections, answered after the provider; {kind}",
        must=2.0,
        note="against a naive service: framework, ORM, HTTP client, two worker processes",
    )
    rounds = []
    for _ in range(plan.rounds):
        with plan.places.fresh(kind, schema=False) as place:
            naive = _naively(plan, place)
        with plan.places.fresh(kind) as place:
            one = _over_rest(plan, place, processes=1)
        one.reference = naive.value
        one.cpu |= naive.cpu
        rounds.append(one)
    return [_summed_up(row, rounds)]


# -- row 4: with the sandbox and its webhooks ------------------------------------------------------


def sandbox(plan: Plan, kind: str) -> list[Row]:
    row = Row(
        f"sandbox-{kind}",
        f"the same with the sandbox, and its webhooks back and decided; {kind}",
        note="stated; the clock stops when the last webhook has its 2xx",
    )
    rounds = []
    for _ in range(plan.rounds):
        with plan.places.fresh(kind) as place:
            rounds.append(_sandboxed(plan, place))
    return [_summed_up(row, rounds)]


def _sandboxed(plan: Plan, place: Place) -> Round:
    names = _names(plan, 150)
    with running(*module("amends.doors.cli", "sandbox", "--port", "0"), term=True) as child:
        url = child.line().split()[1].rstrip(",").removesuffix("/stripe")
        with services.amends(place, f"{url}/stripe") as service:
            services.prepare_sandbox(url, f"{service.urls[0]}/webhooks/psp", names)
            services.report_orders(service, names)
            requests = services.refund_requests(service, names)
            service.post(requests[:WARM])
            services.settle_sandbox(url)
            meter = Meter(
                {
                    "amends": service.pids,
                    "sandbox": [child.pid],
                    "postgresql": [place.server_pid],
                }
            )
            posted = service.post(requests[WARM:])
            seconds, done = posted.seconds + services.settle_sandbox(url), len(posted.bodies)
            return Round(done / seconds, cpu=meter.per_1000(done))


# -- webhooks alone --------------------------------------------------------------------------------


def webhooks(plan: Plan, kind: str) -> list[Row]:
    row = Row(
        f"webhooks-{kind}",
        f"webhooks verified, durable and decided, then 2xx; 32 connections; {kind}",
        unit="webhooks/s",
        must=0.5,
        note="against a bare endpoint of the same framework with one INSERT and COMMIT",
    )
    rounds = []
    for _ in range(plan.rounds):
        with plan.places.fresh(kind, schema=False) as place:
            bare = _bare_endpoint(plan, place)
        with plan.places.fresh(kind) as place:
            rounds.append(_intake(plan, place))
        rounds[-1].reference = bare.value
        rounds[-1].cpu |= bare.cpu
    return [_summed_up(row, rounds)]


def _intake(plan: Plan, place: Place) -> Round:
    names = _names(plan, 500)
    with _psp() as (url, _), services.amends(place, url) as service:
        services.report_orders(service, names)
        answers = service.post(services.refund_requests(service, names)).bodies
        requests = services.webhooks(answers)
        meter = Meter({"amends": service.pids, "postgresql": [place.server_pid]})
        service.post(requests[:WARM])
        posted = service.post(requests[WARM:])
        done = len(posted.bodies)
        return Round(done / posted.seconds, cpu=meter.per_1000(done))


def _bare_endpoint(plan: Plan, place: Place) -> Round:
    count = plan.count(500)
    with services.naive(place, "", workers=1) as service:
        requests = [request("/hook", b"x" * 600)] * count
        service.post(requests[:WARM])
        meter = Meter({"bare": service.pids})
        posted = service.post(requests)
        return Round(count / posted.seconds, cpu=meter.per_1000(count))


# -- the time we add -------------------------------------------------------------------------------

RATE = 100  # refunds a second


def latency(plan: Plan, kind: str) -> list[Row]:
    """Milliseconds beyond what the provider's bare answer takes at the same pace."""
    limits = {"p50": 10.0, "p99": 40.0}
    found: dict[str, list[float]] = {name: [] for name in limits}
    for _ in range(plan.rounds):
        with plan.places.fresh(kind) as place:
            ours, bare = _paced(plan, place)
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            found[name].append(1000 * (_at(ours, share) - _at(bare, share)))
    rows = []
    for name, most in limits.items():
        row = Row(
            f"latency-{name}-{kind}",
            f"{name} of the time added to the provider's answer, {RATE} refunds/s; {kind}",
            unit="ms",
            value=round(median(found[name]), 1),
            must=most,
            note="the most it may be; the same percentile of a bare client is taken off",
        )
        row.ok = median(found[name]) <= most
        rows.append(row)
    return rows


def _paced(plan: Plan, place: Place) -> tuple[list[float], list[float]]:
    """Sorted seconds of refunds, and of the provider's own answers."""
    with _psp() as (url, _):
        wish = {"url": place.url, "psp": url, "folder": str(place.folder), "in_flight": 0}
        wish |= {"rate": RATE, "seconds": plan.seconds, "refunds": plan.count(RATE), "name": "o"}
        with running(*module("bench.ours", json.dumps(wish))) as child:
            child.line()
            child.go()
            ours = child.found()["latencies"]
        form = b"amount=3200&payment_intent=pi_1"
        requests = [request("/v1/refunds", form)] * plan.count(RATE)
        bare = asyncio.run(post_all([url], requests, 1, pace=1 / RATE))
        return ours, bare.latencies


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


# -- what is not built yet -------------------------------------------------------------------------


LATER = "not built yet"


def absent(name: str, what: str, why: str) -> Callable[[Plan], list[Row]]:
    return lambda plan: [Row(name, what, absent=why)]


ROWS: dict[str, tuple[str, Callable[[Plan], list[Row]]]] = {
    "engine-postgresql": ("postgresql", engine_postgresql),
    "engine-sqlite": ("sqlite", engine_sqlite),
    "rest-postgresql": ("postgresql", lambda plan: rest(plan, "postgresql")),
    "rest-sqlite": ("sqlite", lambda plan: rest(plan, "sqlite")),
    "sandbox-postgresql": ("postgresql", lambda plan: sandbox(plan, "postgresql")),
    "sandbox-sqlite": ("sqlite", lambda plan: sandbox(plan, "sqlite")),
    "webhooks-postgresql": ("postgresql", lambda plan: webhooks(plan, "postgresql")),
    "webhooks-sqlite": ("sqlite", lambda plan: webhooks(plan, "sqlite")),
    "latency-postgresql": ("postgresql", lambda plan: latency(plan, "postgresql")),
    "latency-sqlite": ("sqlite", lambda plan: latency(plan, "sqlite")),
    "growth": ("", absent("growth", "throughput at 10 million orders against 100 thousand", LATER)),
    "bulk": ("", absent("bulk", "peak memory of a bulk of 1 million items", LATER)),
}
