"""The transparent scorecard: points for each feature, summed, in 1/10,000.

It judges where no trained model does, and beside every one that does. The rows are here and, held
to them by a test, in docs/risk.md. What is not known gives no points: somebody of whom nothing is
known is neither trusted nor suspected.
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from amends.core.traits import Features, sentence

MODEL = "scorecard-2"
BASE = 100  # of every score: nobody is free of risk
WORST = 10_000


class Score(msgspec.Struct, frozen=True):
    """A risk in 1/10,000, whose it is, and why: (sentence, points), the largest first. Points below
    zero speak for the customer. One without points says why another model did not judge."""

    score_bp: int
    model: str
    reasons: tuple[tuple[str, int], ...] = ()


class Row(msgspec.Struct, frozen=True):
    """One feature's points: those of the last step that it reaches, none below the first."""

    feature: str
    steps: tuple[tuple[int, int], ...]  # (from, points), rising


ROWS: tuple[Row, ...] = (
    # this order
    Row("fraud_warning", ((1, 4000),)),
    Row("refunds_before", tuple([(n, 150 * n) for n in range(1, 11)])),
    Row("share_refunded_bp", tuple([(1000 * n, 100 * n) for n in range(1, 11)])),
    Row("failed_before", tuple([(n, 300 * n) for n in range(1, 6)])),
    Row("ad_hoc_amount", ((1, 50),)),
    Row("disputes_here", ((1, 1500),)),
    Row("address_mismatch", ((1, 300),)),
    Row("days_since_delivery", ((30, 100), (60, 250))),
    # this request
    Row("not_received", ((1, 200),)),
    Row("delivered_after_all", ((1, 1000),)),
    Row("agent_requested", ((1, 150),)),
    Row("amount_rank_bp", ((9000, 200), (9500, 400))),
    # this customer
    Row("account_age", ((0, 400), (7, 200), (30, 0), (730, -200))),
    Row("orders_365", ((6, -100), (20, -200))),
    Row("card_others", ((1, 300), (2, 900), (5, 2000))),
    Row("address_others", ((2, 100), (4, 500), (8, 1200))),
    Row("device_others", ((1, 300), (2, 900), (5, 2000))),
    Row("refunds_30", ((3, 200), (5, 600), (8, 1200))),
    Row("refunds_90", ((6, 200), (10, 600))),
    Row("refund_share_90_bp", ((5000, 150), (7500, 400), (9000, 800))),
    Row("refund_share_365_bp", ((5000, 150), (7500, 400))),
    Row("not_received_90", ((1, 300), (2, 1000), (3, 2000))),
    Row("not_received_365", ((2, 300), (4, 800))),
    Row("disputes_365", ((1, 1000), (2, 2000))),
    Row("not_returned_365", ((1, 600), (2, 1500), (4, 2500))),
    Row("findings_365", ((1, 2500), (2, 5000))),
    Row("amount_of_usual_bp", ((30_000, 150), (100_000, 400))),
)

# (feature, its first step, where its steps begin, their points): what a score needs of the rows.
_READY = tuple(
    (row.feature, row.steps[0][0], [at for at, _ in row.steps], [points for _, points in row.steps])
    for row in ROWS
)


def score(features: Features) -> Score:
    """The sum of the rows, 0 to 10,000."""
    total = BASE
    found: list[tuple[int, str, int]] = []
    for name, first, starts, points in _READY:
        value = getattr(features, name)
        if value >= first and (more := points[bisect_right(starts, value) - 1]):
            total += more
            found.append((more, name, value))
    found.sort(key=_largest_first)
    reasons = tuple([(sentence(name, value), more) for more, name, value in found])
    return Score(min(max(total, 0), WORST), MODEL, reasons)


def _largest_first(found: tuple[int, str, int]) -> int:
    return -found[0]
