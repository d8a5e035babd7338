"""Which gateways a connection may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amends.engine.config import ConfigError, parse
from amends.gateways.registry import HEARING, UNWIRED

CHOICE = "one of standard, stripe."


def _refusal(**connection: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse({"connections": {"eu": connection}}, Path("amends.toml"))
    return str(caught.value)


def test_an_unknown_gateway_is_refused() -> None:
    said = _refusal(gateway="square")
    assert said == f"[connections.eu]: gateway 'square' is unknown; {CHOICE}"


@pytest.mark.parametrize("name", UNWIRED)
def test_a_gateway_that_is_not_finished_is_refused_by_name(name: str) -> None:
    values = dict.fromkeys(UNWIRED[name].CAPABILITIES.settings, "env:HOME")
    said = _refusal(gateway=name, **values)
    assert said == f"[connections.eu]: gateway {name!r} is not finished in this version; {CHOICE}"


def test_adyen_and_paypal_are_not_finished() -> None:
    assert set(UNWIRED) == {"adyen", "paypal"}
    assert not set(UNWIRED) & set(HEARING)
