"""What only some orders have: credit that paid for a part of them, sellers whose goods they are, a
line that was paid for time. Drawn from a source of its own, so that all else of a story is as it
was; in which order the tenders give back is drawn when somebody asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from amends.sim.play.node import START
from amends.sim.play.story import STEP, Plan

CREDIT, SELLERS, TIME = 0.15, 0.12, 0.10  # of the orders that were paid at once
WAYS = ("card_first", "proportional", "last_in_first_out")


def add(plan: Plan, prng: Random) -> None:
    """Some of it, to an order whose payments have their places."""
    credit, sellers, time = (prng.random() < share for share in (CREDIT, SELLERS, TIME))
    if not plan.captured:
        return
    if credit:
        _credit(plan, prng)
    if sellers:
        _sellers(plan, prng)
    if time:
        _time(plan, prng)


def money(plan: Plan) -> list[dict[str, Any]]:
    """The tenders that are payments at providers."""
    return [tender for tender in plan.report["tenders"] if tender["kind"] == "payment"]


def is_mixed(plan: Plan) -> bool:
    """Whether there is a choice of what gives back."""
    return len(plan.report["tenders"]) > 1


def _credit(plan: Plan, prng: Random) -> None:
    """A gift card or store credit, where it leaves something to pay."""
    kind, share = prng.choice(("gift_card", "store_credit")), prng.uniform(0.1, 0.6)
    step, first = STEP.get(plan.currency, 1), plan.report["tenders"][0]
    amount = int(first["amount"] * share) // step * step
    if not amount:
        return
    first["amount"] -= amount
    first["captured"] -= amount
    credit = {"kind": kind, "amount": amount, "captured": amount}
    named = kind == "gift_card" or prng.random() < 0.5
    credit |= {"reference": f"{kind}-{plan.number}"} if named else {}
    plan.report["tenders"].insert(prng.choice((0, len(plan.report["tenders"]))), credit)


def _sellers(plan: Plan, prng: Random) -> None:
    """Sellers of all that a payment was for, or of a part; paid with it, as each provider does, or
    apart from it."""
    tender = prng.choice(money(plan))
    with_payment, share = prng.random() < 0.7, prng.choice((1.0, prng.uniform(0.3, 0.9)))
    several, fee_share = prng.random() < 0.3, prng.uniform(0.0, 0.3)
    whole = with_payment and tender["connection"] == "paypal-eu"
    several = several and not (with_payment and tender["connection"] != "adyen-eu")
    step = STEP.get(plan.currency, 1)
    amount = tender["amount"] if whole else int(tender["amount"] * share) // step * step
    first = amount // 3 // step * step if several else 0
    accounts = prng.sample(range(5), 2)
    tender["sellers"] = [
        {"account": f"acct_{name}", "amount": part, "fee": int(part * fee_share) // step * step}
        for name, part in zip(accounts, (amount - first, first), strict=True)
        if part
    ]
    if not with_payment:
        tender["sellers_paid"] = "apart"


def _time(plan: Plan, prng: Random) -> None:
    """One unit of a line that was paid for thirty days or an hour, from when it was bought."""
    line = prng.choice(plan.report["lines"])
    by, length = prng.choice((("day", timedelta(days=30)), ("second", timedelta(hours=1))))
    start = datetime.fromtimestamp(START + int(plan.at), UTC)
    line["period"] = {"start": _said(start), "end": _said(start + length), "by": by}


def unused(plan: Plan, prng: Random) -> dict[str, Any]:
    """A request for the rest of a line's time from some instant on; empty if no line has any."""
    share = prng.uniform(0.1, 0.9)
    for line in plan.report["lines"]:
        if period := line.get("period"):
            start, end = (datetime.fromisoformat(period[name]) for name in ("start", "end"))
            ended = start + (end - start) * share
            since = ended.replace(microsecond=0)
            return {"unused": [{"line": line["id"], "start": _said(since)}]}
    return {}


def split(tender: dict[str, Any]) -> dict[str, Any]:
    """What the command `payment` says of a seller that is paid with it; Adyen is not told before
    the refund."""
    if not tender.get("sellers") or tender.get("sellers_paid") == "apart":
        return {}
    seller, *_ = tender["sellers"]
    if tender["connection"] == "stripe-eu":
        found = {"destination": seller["account"], "transfer": seller["amount"]}
        return found | {"application_fee": seller["fee"]}
    if tender["connection"] == "paypal-eu":
        return {"seller": seller["account"], "platform_fee": seller["fee"]}
    return {}


def _said(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
