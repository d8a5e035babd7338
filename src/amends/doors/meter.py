"""What `/metrics` shows, in the Prometheus text format.

Counters that the engine keeps itself are read when scraped, so that they cost nothing in between;
rows by state are counted in the database at each scrape.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from amends.engine.wiring import Engine
from amends.kernel.time import SECOND, Instant
from amends.store.outbox_spec import Lane

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 10.0, 30.0)


class Meter:
    """The metrics of one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._registry = CollectorRegistry()
        self._latency = Histogram(
            "amends_http_seconds",
            "Time to answer a request, by call.",
            ["call"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._answers = Counter(
            "amends_http_answers",
            "Answers to requests, by call and status.",
            ["call", "status"],
            registry=self._registry,
        )
        self._bound: dict[tuple[str, int], tuple[Histogram, Counter]] = {}

    def answered(self, call: str, status: int, seconds: float) -> None:
        """Count one answer. Labels are bound once: looking them up costs more than counting."""
        bound = self._bound.get((call, status))
        if bound is None:
            bound = (self._latency.labels(call), self._answers.labels(call, str(status)))
            self._bound[(call, status)] = bound
        bound[0].observe(seconds)
        bound[1].inc()

    def text(
        self,
        rows: Mapping[str, int] | None,
        lanes: Iterable[Lane] = (),
        disabled: Collection[str] = (),
    ) -> bytes:
        """Everything; `rows` are the counts of the database, None while it is away; `lanes` what is
        still to be told by connection, and `disabled` the endpoints that are."""
        state = CollectorRegistry()
        state.register(_State(self._engine, rows))
        state.register(_Lanes(lanes, disabled, self._engine.clock.now()))
        return generate_latest(self._registry) + generate_latest(state)


def _counted(name: str, words: str, counts: Mapping[tuple[str, str], int]) -> Metric:
    """A counter by connection and outcome."""
    family = CounterMetricFamily(name, words, labels=["connection", "outcome"])
    for (connection, outcome), count in sorted(counts.items()):
        family.add_metric([connection, outcome], count)
    return family


class _State(Collector):
    """What is true at this moment."""

    def __init__(self, engine: Engine, rows: Mapping[str, int] | None) -> None:
        self._engine, self._rows = engine, rows

    def collect(self) -> Iterable[Metric]:
        turner, deliverer = self._engine.turner, self._engine.deliverer
        yield CounterMetricFamily("amends_turns", "Transactions of the batch turn.", turner.turns)
        yield CounterMetricFamily("amends_asks_folded", "Asks decided in them.", turner.folded)
        words = "Asks decided in one transaction."
        yield SummaryMetricFamily(
            "amends_batch_size", words, count_value=turner.turns, sum_value=turner.folded
        )
        yield GaugeMetricFamily("amends_queue_length", "Asks that wait to turn.", turner.waiting)
        words = "Requests to providers, by connection and outcome."
        yield _counted("amends_requests_sent", words, deliverer.outcomes)
        words = "Logins by connection: tokens taken, logins refused or unanswered, tokens revoked."
        yield _counted("amends_logins", words, deliverer.logins.counted)
        words = "Certificates messages are signed by, by connection: fetched, absent or away."
        yield _counted("amends_certificates", words, self._engine.certificates.counted)
        if drift := self._engine.drift:
            words = "Population stability index of what is judged against what the model learned."
            family = GaugeMetricFamily("amends_risk_drift_psi", words, labels=["feature"])
            for name, psi in sorted(drift.found.items()):
                family.add_metric([name], psi)
            yield family
        away = self._rows is None
        yield GaugeMetricFamily("amends_store_up", "1 if the database answers.", 0 if away else 1)
        for name, count in sorted((self._rows or {}).items()):
            yield GaugeMetricFamily(f"amends_{name}", f"Rows: {name.replace('_', ' ')}.", count)


class _Lanes(Collector):
    """What others are still to be told."""

    def __init__(self, lanes: Iterable[Lane], disabled: Collection[str], now: Instant) -> None:
        self._lanes, self._disabled, self._now = lanes, disabled, now

    def collect(self) -> Iterable[Metric]:
        words = "Tellings that are not done, by connection and state."
        rows = GaugeMetricFamily("amends_deliveries", words, labels=["connection", "state"])
        words = "Seconds since the oldest telling that is not done was decided, by connection."
        ages = GaugeMetricFamily("amends_deliveries_oldest_seconds", words, labels=["connection"])
        words = "1 if nothing is sent to the endpoint until a person enables it."
        off = GaugeMetricFamily("amends_endpoint_disabled", words, labels=["connection"])
        for lane in self._lanes:
            rows.add_metric([lane.connection, "open"], lane.open)
            rows.add_metric([lane.connection, "stuck"], lane.stuck)
            age = max(0, self._now - lane.oldest) // SECOND if lane.oldest else 0
            ages.add_metric([lane.connection], age)
            off.add_metric([lane.connection], 1 if lane.connection in self._disabled else 0)
        yield from (rows, ages, off)
