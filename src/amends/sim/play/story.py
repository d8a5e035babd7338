"""What people do: one story an order, drawn from the order's own source.

Shops report orders by signed message or by REST, sometimes twice, late or out of order. Shoppers
are honest, impatient, returners, abusers or disputers; at the provider somebody clicks "refund" by
hand; a support desk looks at what waits for it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from amends.kernel.money import allocate
from amends.sim.play.parties import Party

SHOP, STRIPE = "shop-1", "stripe-eu"
CURRENCIES = ("EUR", "EUR", "EUR", "USD", "JPY", "KWD", "CHF")
STEP = {"KWD": 10}  # Stripe takes three-decimal amounts only in tens
DEAR = 30_000  # minor units: more than is refunded without a person
REASONS = ("return", "not_received", "damaged", "wrong_item", "goodwill", "cancelled")


class Plan(msgspec.Struct):
    """One order as it was made up: who it belongs to, what is in it, how its shopper behaves."""

    number: str
    at: float  # virtual seconds
    persona: str
    currency: str
    report: dict[str, Any]
    amount: int
    captured: int  # at the provider when the order is placed
    by_message: bool


PERSONAS: tuple[tuple[str, float], ...] = (
    ("honest", 0.22),
    ("impatient", 0.10),
    ("returner", 0.20),
    ("racer", 0.08),
    ("abuser", 0.07),
    ("disputer", 0.06),
    ("canceller", 0.10),
    ("dashboard", 0.06),
    ("bounced", 0.06),
    ("waiting", 0.05),
    ("quoter", 0.05),
    ("regretful", 0.05),
)
CONTENT = "content"  # keeps what it bought, and asks for nothing


def make(number: str, prng: Random, days: float, asks: bool = True) -> Plan:
    """Make up one order; `asks`: of somebody who is not content."""
    persona = prng.choices([name for name, _ in PERSONAS], [share for _, share in PERSONAS])[0]
    persona = persona if asks else CONTENT
    currency = prng.choice(CURRENCIES)
    step = STEP.get(currency, 1)
    most = DEAR if persona == "regretful" else 4000  # there is time to take back what is reviewed
    lines = [_line(str(i + 1), prng, step, most) for i in range(prng.randint(1, 4))]
    shipping = [_shipping(prng, step)] if prng.random() < 0.6 else []
    charges = [_charge(prng, step)] if prng.random() < 0.2 else []
    promotions = _promotion(prng, lines) if prng.random() < 0.25 and step == 1 else []
    amount = sum(part["total"] for part in (*lines, *shipping, *charges))
    manual = persona == "canceller"
    captured = 0 if manual else amount
    for line in lines:
        line["fulfilled"] = 0 if manual else line["quantity"]
    report = {
        "source": {"connection": SHOP, "order_id": number},
        "currency": currency,
        "customer": {
            "id": f"c-{number}",
            "name": f"Erika Muster{number}",
            "email": f"erika.{number}@shopper.example",
            "country": "DE",
        },
        "lines": lines,
        "shipping": shipping,
    }
    report |= {"charges": charges} if charges else {}
    report |= {"promotions": promotions} if promotions else {}
    at = prng.uniform(0, days * 0.8) * 86400
    by_message = prng.random() < 0.5
    shares = _shares(prng, amount, step)
    report["tenders"] = [
        _tender(f"pi_{number}{'_2' if place else ''}", share, captured > 0)
        for place, share in enumerate(shares)
    ]
    return Plan(number, at, persona, currency, report, amount, captured, by_message)


def spread(plan: Plan, prng: Random, parties: Sequence[Party]) -> bool:
    """Put each payment of an order at one of the providers that take it; False if none does."""
    fit = [party for party in parties if party.takes(plan.currency)]
    for tender in plan.report["tenders"] if fit else ():
        party = prng.choice(fit)
        name = party.name(tender["psp_payment_id"].removeprefix("pi_"))
        tender |= {"connection": party.connection, "psp_payment_id": name}
    return bool(fit)


def _shares(prng: Random, amount: int, step: int) -> tuple[int, ...]:
    """What is paid by each card: a third of the orders are paid by two."""
    two, share = prng.random() < 1 / 3, prng.uniform(0.1, 0.9)
    first = int(amount * share) // step * step
    return (first, amount - first) if two and first else (amount,)


def _tender(name: str, amount: int, taken: bool) -> dict[str, Any]:
    captured = amount if taken else 0
    paid = {"psp_payment_id": name, "amount": amount, "captured": captured}
    return {"kind": "payment", "connection": STRIPE, **paid}


def _line(name: str, prng: Random, step: int, most: int) -> dict[str, Any]:
    quantity = prng.randint(1, 3)
    total = prng.randint(quantity, most) * (step if step == 1 else step * quantity)
    tax = total * 19 // 119
    taxes = [{"name": "VAT", "rate": "0.19", "amount": tax}]
    if prng.random() < 0.2:
        first, second = allocate(tax, (2, 1))
        taxes = [
            {"name": "state", "rate": "0.12", "amount": first},
            {"name": "city", "rate": "0.07", "amount": second},
        ]
    return {"id": name, "sku": f"SKU{name}", "quantity": quantity, "total": total, "taxes": taxes}


def _shipping(prng: Random, step: int) -> dict[str, Any]:
    total = prng.randint(1, 900) * step
    return {
        "id": "s1",
        "title": "Parcel",
        "total": total,
        "taxes": [{"name": "VAT", "rate": "0.19", "amount": total * 19 // 119}],
    }


def _charge(prng: Random, step: int) -> dict[str, Any]:
    kind, total = prng.choice(("gift_wrap", "tip", "duties")), prng.randint(1, 400) * step
    taxes = [{"name": "VAT", "rate": "0.19", "amount": total * 19 // 119}]
    refundable = kind != "tip" or prng.random() < 0.5
    return {"id": "1", "kind": kind, "total": total, "taxes": taxes, "refundable": refundable}


def _promotion(prng: Random, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A discount that returns may lose. It is less than half of the cheapest unit, so that every
    return is worth more than it loses; none where that leaves nothing to take off."""
    if_lost, share = prng.choice(("clawback", "clawback", "waive")), prng.uniform(0.4, 1.0)
    most = min(line["total"] // line["quantity"] for line in lines) // 2 // len(lines)
    if most < 1:
        return []
    for line in lines:
        line["discounts"] = [{"amount": prng.randint(1, most), "of": "p"}]
    basket = sum(line["total"] + line["discounts"][0]["amount"] for line in lines)
    least = max(1, int(basket * share))
    return [{"id": "p", "kind": "threshold", "at_least": least, "if_lost": if_lost}]


def fee(report: Mapping[str, Any], step: int, prng: Random) -> list[dict[str, Any]]:
    """What is kept back of one unit's return, always less than a quarter of the cheapest."""
    kind, part = prng.choice(("restocking", "return_label", "handling")), prng.uniform(0.05, 0.24)
    cheapest = min(line["total"] // line["quantity"] for line in report["lines"])
    amount = int(cheapest * part) // step * step
    return [{"kind": kind, "amount": amount}] if amount else []


def signed(secret: str, number: str, at: int, event: Mapping[str, Any]) -> tuple[bytes, Any]:
    """A Standard Webhooks message: body and headers."""
    raw = json.dumps(event).encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{number}.{at}.".encode() + raw, hashlib.sha256).digest()
    return raw, {
        "webhook-id": number,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
