"""What a scorecard and a trained model would do among simulated shoppers, by whom they never saw
and later than what they learned from."""

from __future__ import annotations

from amends.engine.risk_rows import split
from amends.engine.risk_train import Made, train
from amends.sim.shoppers.life import stream
from amends.sim.shoppers.samples import examples

DAYS = 365
CUSTOMERS = 12_000  # about two requests each in a year


def made(seed: int, customers: int = CUSTOMERS, days: int = DAYS) -> Made:
    """A model of a simulated year; its `choices` are the table. Raises BadRows of too few."""
    return train(split(examples(stream(seed, customers, days))), seed)


def told(one: Made) -> str:
    """The table as text: one line for each scorer and threshold."""
    lines = ["scorer     threshold  honest approved  abuse stopped  of its value"]
    for c in one.choices:
        shares = f"{c.honest_approved:15.1%}  {c.abuse_stopped:13.1%}  {c.value_stopped:12.1%}"
        lines.append(f"{c.scorer:10} {c.threshold_bp:9,}  {shares}")
    return "\n".join(lines)
