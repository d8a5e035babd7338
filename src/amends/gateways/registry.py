"""Which module speaks for which `gateway` of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from amends.gateways import adyen, mollie, paypal, standard, stripe, vendure
from amends.gateways.spec import (
    Capabilities,
    Certified,
    Checks,
    Hearing,
    Inspects,
    Outlet,
    Provider,
    SignsIn,
)

PROVIDERS: Mapping[str, Provider] = {
    "adyen": adyen,
    "mollie": mollie,
    "paypal": paypal,
    "stripe": stripe,
}

HEARING: Mapping[str, Hearing] = {**PROVIDERS, "standard": standard, "vendure": vendure}

SIGNS_IN: Mapping[str, SignsIn] = {"paypal": paypal}

CERTIFIED: Mapping[str, Certified] = {"paypal": paypal}

CHECKS: Mapping[str, Checks] = {
    "adyen": adyen,
    "mollie": mollie,
    "paypal": paypal,
    "vendure": vendure,
}

OUTLETS: Mapping[str, Outlet] = {"vendure": vendure}

CAPABILITIES: Mapping[str, Capabilities] = {
    **{name: party.CAPABILITIES for name, party in OUTLETS.items()},
    **{name: party.CAPABILITIES for name, party in HEARING.items()},
}

INSPECTS: Mapping[str, Inspects] = {"vendure": vendure}
