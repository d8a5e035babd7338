"""The transparent scorecard: points per feature, summed, in 1/10,000. Weights are documented here
and nowhere else; a trained model comes later beside it, never instead of it."""

from __future__ import annotations

import msgspec

MODEL = "scorecard-1"


class Features(msgspec.Struct, frozen=True):
    """What is known about this order when the refund is asked for (no later facts)."""

    refunds_before: int = 0
    share_refunded_bp: int = 0  # of what was captured, before this refund, 1/10,000
    fraud_warning: bool = False
    failed_before: int = 0
    ad_hoc_amount: bool = False


def score(features: Features) -> tuple[int, tuple[str, ...]]:
    """Risk in 1/10,000 and the reasons, largest first."""
    points = [
        (4000 if features.fraud_warning else 0, "early fraud warning on the payment"),
        (min(features.refunds_before, 10) * 150, "refunds on this order before"),
        (features.share_refunded_bp // 10, "share of the order already refunded"),
        (min(features.failed_before, 5) * 300, "failed refunds on this order"),
        (50 if features.ad_hoc_amount else 0, "an amount without lines"),
    ]
    points.sort(key=lambda pair: -pair[0])
    total = 100 + sum(weight for weight, _ in points)
    return min(total, 10_000), tuple(text for weight, text in points if weight)
