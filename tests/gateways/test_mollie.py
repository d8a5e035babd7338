"""What only Mollie has: two signatures after a new secret, decimal strings, what is left out."""

from __future__ import annotations

import pytest

from amends.core.effects import CancelIntent, CaptureRestIntent
from amends.gateways import mollie
from amends.gateways.spec import Genuine, NotGenuine, Unwritable
from tests.gateways.mollie_table import (
    OTHER_SECRET,
    PAYMENT,
    SECRET,
    SETTINGS,
    event,
    refund,
    sign,
)
from tests.gateways.table import NOW, dumps

RAW = dumps(event("refund.failed", refund(status="failed")))


@pytest.mark.parametrize("between", [",", ", "])
def test_after_a_new_secret_either_signature_will_do(between: str) -> None:
    both = [sign(RAW, key, 0)["x-mollie-signature"] for key in (OTHER_SECRET, SECRET)]
    for order in (both, both[::-1]):
        headers = {"x-mollie-signature": between.join(order)}
        assert mollie.verify(RAW, headers, (SECRET,), NOW) == Genuine()


def test_the_prefix_is_part_of_it() -> None:
    bare = sign(RAW, SECRET, 0)["x-mollie-signature"].removeprefix("sha256=")
    for value in (bare, f"sha1={bare}", bare.upper(), f"SHA256={bare}"):
        found = mollie.verify(RAW, {"x-mollie-signature": value}, (SECRET,), NOW)
        assert isinstance(found, NotGenuine), value


def test_authorizations_are_left_alone() -> None:
    """Its records say so, and nothing of the kind is written."""
    able = mollie.CAPABILITIES
    assert (able.void, able.release_part) == (False, False)
    who = {"connection": "mollie-eu", "psp_payment_id": PAYMENT, "currency": "EUR"}
    leg = {"key": "leg_01-1", "order": "ord_01", "refund": "rf_01", "leg": "leg_01", "epoch": 1}
    for intent in (
        CancelIntent(**who, **leg, reason="return"),  # type: ignore[arg-type]
        CaptureRestIntent(**who, **leg, amount=100),  # type: ignore[arg-type]
    ):
        with pytest.raises(Unwritable):
            mollie.write(intent, SETTINGS)
