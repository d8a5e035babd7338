"""The rows of `amends bench`: what is measured, against what, and what must come of it.

A row is measured in rounds, the reference beside ours in each; value and reference are medians,
the ratio is the median of the rounds' own ratios, so that a busy minute of the machine counts for
both sides.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from statistics import median

from bench import policies, quotes, references, risk, services, unavailable
from bench.engines import bare_psp, engines
from bench.growth import growth
from bench.load import post_all, request
from bench.machine import Meter, module, running
from bench.places import Place
from bench.plan import Curve, Plan, Round, Row, at, summed_up

WARM = 64


# -- rows 1 and 2: within the process --------------------------------------------------------------


def engine_postgresql(plan: Plan) -> list[Row]:
    row = Row(
        "engine-postgresql",
        "refunds decided, sent, booked; handed in within 2 processes; PostgreSQL",
        must=0.2,
        aim=0.5,
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
            rounds.append(engines(plan, place, "postgresql"))
        rounds[-1].reference = reference
    return [summed_up(row, rounds)]


def engine_sqlite(plan: Plan) -> list[Row]:
    row = Row(
        "engine-sqlite",
        "the same in 1 process; SQLite, FULL",
        must=0.5,
        aim=1.0,
        note="against the same rows by executemany, one transaction per refund",
    )
    rounds = []
    for _ in range(plan.rounds):
        with plan.places.fresh("sqlite") as place, plan.places.fresh("sqlite") as empty:
            one = engines(plan, place, "sqlite")
            finished = place.folder / "amends.db"
            one.reference = references.executemany(
                finished, empty.folder / "amends.db", plan.seconds
            )
            rounds.append(one)
    return [summed_up(row, rounds)]


# -- row 3: over REST ------------------------------------------------------------------------------


def _names(plan: Plan, a_second: int) -> list[str]:
    """Orders: some to warm up with (first requests connect and compile), then those that count."""
    return [f"o-{n}" for n in range(WARM + plan.count(a_second))]


def _over_rest(plan: Plan, place: Place, processes: int) -> Round:
    names = _names(plan, 400)
    with bare_psp() as (url, psp), services.amends(place, url, processes) as service:
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
    with bare_psp() as (url, _), services.naive(place, url) as service:
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
        aim=3.0,
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
    return [summed_up(row, rounds)]


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
    return [summed_up(row, rounds)]


def _sandboxed(plan: Plan, place: Place) -> Round:
    names = _names(plan, 150)
    root = ["--root", str(place.folder / "paypal-root.pem")]
    with running(*module("amends.doors.cli", "sandbox", "--port", "0", *root), term=True) as child:
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
        aim=1.2,
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
    return [summed_up(row, rounds)]


def _intake(plan: Plan, place: Place) -> Round:
    names = _names(plan, 500)
    with bare_psp() as (url, _), services.amends(place, url) as service:
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
    limits = {"p50": (0.5, 10.0, 3.0), "p99": (0.99, 40.0, 15.0)}  # share, must, aim
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in limits}
    for _ in range(plan.rounds):
        with plan.places.fresh(kind) as place:
            ours, bare = _paced(plan, place)
        for name, (share, _, _) in limits.items():
            both = 1000 * at(ours, share), 1000 * at(bare, share)
            found[name].append((both[0] - both[1], both[1]))
    rows = []
    for name, (_, most, aim) in limits.items():
        row = Row(
            f"latency-{name}-{kind}",
            f"{name} of the time added to the provider's answer, {RATE} refunds/s; {kind}",
            unit="ms",
            value=round(median(added for added, _ in found[name]), 1),
            reference=round(median(bare for _, bare in found[name]), 1),
            must=most,
            aim=aim,
            note="the most it may be; the same percentile of a bare client, the reference, is"
            " taken off",
        )
        row.ok = row.value is not None and row.value <= most
        rows.append(row)
    return rows


def _paced(plan: Plan, place: Place) -> tuple[list[float], list[float]]:
    """Sorted seconds of refunds, and of the provider's own answers."""
    with bare_psp() as (url, _):
        wish = {"url": place.url, "psp": url, "folder": str(place.folder), "in_flight": 0}
        wish |= {"rate": RATE, "refunds": plan.count(RATE), "name": "o"}
        with running(*module("bench.ours", json.dumps(wish))) as child:
            child.line()
            child.go()
            ours = child.found()["latencies"]
        form = b"amount=3200&payment_intent=pi_1"
        requests = [request("/v1/refunds", form)] * plan.count(RATE)
        bare = asyncio.run(post_all([url], requests, 1, pace=1 / RATE))
        return ours, bare.latencies


# -- what is not built yet -------------------------------------------------------------------------


LATER = "not built yet: a later release brings it"


def absent(name: str, what: str, why: str) -> Callable[[Plan], list[Row]]:
    return lambda plan: [Row(name, what, absent=why)]


# name -> (the database it needs, what measures it)
ROWS: dict[str, tuple[str, Callable[[Plan], Sequence[Row | Curve]]]] = {
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
    "out-of-stock-postgresql": ("postgresql", lambda plan: unavailable.rows(plan, "postgresql")),
    "out-of-stock-sqlite": ("sqlite", lambda plan: unavailable.rows(plan, "sqlite")),
    "quote-p50": ("", quotes.latency),
    "policy": ("", policies.throughput),
    "risk-p50": ("", risk.latency),
    "growth": ("postgresql", growth),
    "bulk": ("", absent("bulk", "peak memory of a bulk of 1 million items", LATER)),
}
