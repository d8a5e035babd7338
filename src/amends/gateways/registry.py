"""Which module speaks for which `gateway` of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from amends.gateways import adyen, mollie, paypal, standard, stripe, tryton
from amends.gateways.spec import Certified, Checks, Hearing, Inspects, Outlet, Provider, SignsIn

PROVIDERS: Mapping[str, Provider] = {
    "adyen": adyen,
    "mollie": mollie,
    "paypal": paypal,
    "stripe": stripe,
}

HEARING: Mapping[str, Hearing] = {**PROVIDERS, "standard": standard}

SIGNS_IN: Mapping[str, SignsIn] = {"paypal": paypal}

CERTIFIED: Mapping[str, Certified] = {"paypal": paypal}

CHECKS: Mapping[str, Checks] = {
    "adyen": adyen,
    "mollie": mollie,
    "paypal": paypal,
    "tryton": tryton,
}

OUTLETS: Mapping[str, Outlet] = {"tryton": tryton}

INSPECTS: Mapping[str, Inspects] = {"tryton": tryton}
