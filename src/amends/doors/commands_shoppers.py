"""`amends simulate --abusers`: what a scorecard and a trained model would do among shoppers of whom
some abuse refunds."""

from __future__ import annotations

from typing import Any

import msgspec
import typer
from rich.table import Table

from amends.doors.shell import err, fail, out, show_json
from amends.engine.risk_rows import BadRows
from amends.engine.risk_train import Made
from amends.sim.shoppers import table

FEWEST = 500  # customers; of fewer nothing can be split by time and by customer


def abusers(seed: int, customers: int, as_json: bool) -> None:
    """Play a year, learn from its first part, and say what the rest would have been spared."""
    if customers < FEWEST:
        raise typer.BadParameter(
            f"of fewer than {FEWEST} shoppers nothing can be learned.", param_hint="--abusers"
        )
    with err.status(f"{customers:,} shoppers live through a year, and a model learns from it"):
        try:
            made = table.made(seed, customers)
        except BadRows as bad:
            fail(str(bad))
    if as_json:
        show_json(_document(seed, customers, made))
        return
    rows = Table("scorer", "threshold", "honest approved", "abuse stopped", "of its value")
    for one in made.choices:
        shares = (one.honest_approved, one.abuse_stopped, one.value_stopped)
        rows.add_row(one.scorer, f"{one.threshold_bp:,}", *(f"{share:.1%}" for share in shares))
    out.print(rows)
    out.print(
        "Shoppers whom the model never saw, later than what it learned from. They are simulated, "
        "and so is how well it does.",
        markup=False,
    )


def _document(seed: int, customers: int, made: Made) -> dict[str, Any]:
    return {
        "seed": seed,
        "customers": customers,
        "days": table.DAYS,
        "simulated": True,
        "choices": [msgspec.to_builtins(one) for one in made.choices],
    }
