"""`/healthz`, `/readyz`, `/metrics` and `/openapi.json`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from amends.core.reasons import Reason
from amends.doors import shapes
from amends.doors.calls import Asked, Call, fine
from amends.doors.meter import CONTENT_TYPE, Meter
from amends.doors.problems import refuse
from amends.engine import endpoints, tellings
from amends.engine.asks import Rendered
from amends.store.spec import StoreUnavailable


async def alive(asked: Asked) -> Rendered:
    return fine({"status": "ok"})


async def ready(asked: Asked) -> Rendered:
    """Raises StoreUnavailable while no write can begin."""
    if not asked.engine.alive:
        return refuse(Reason.STORE_UNAVAILABLE, "The engine of this process has stopped.")
    await asked.engine.store.ping()
    return fine({"status": "ok"})


def _metrics(meter: Meter) -> Callable[[Asked], Awaitable[Rendered]]:
    async def run(asked: Asked) -> Rendered:
        engine, kind = asked.engine, (("content-type", CONTENT_TYPE),)
        try:
            rows = await engine.store.counts(engine.clock.now())
            lanes, off = await tellings.lanes(engine), await endpoints.disabled(engine.store)
        except StoreUnavailable:  # told as amends_store_up 0: a scrape must work all the same
            return Rendered(200, meter.text(None), kind)
        return Rendered(200, meter.text(rows, lanes, off), kind)

    return run


def calls(meter: Meter, metrics_key: bool) -> tuple[Call, ...]:
    return (
        Call(
            "alive",
            "GET",
            "/healthz",
            "This process runs.",
            alive,
            answers={200: shapes.Health},
        ),
        Call(
            "ready",
            "GET",
            "/readyz",
            "This process can take work: its database answers and it turns.",
            ready,
            answers={200: shapes.Health},
            refusals=(Reason.STORE_UNAVAILABLE,),
        ),
        Call(
            "metrics",
            "GET",
            "/metrics",
            "Prometheus text format.",
            _metrics(meter),
            scopes=shapes.READ if metrics_key else (),
            answers={200: None},
            media="text/plain",
        ),
    )
