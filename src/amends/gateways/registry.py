"""Which module speaks for which `gateway` of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from amends.gateways import adyen, paypal, standard, stripe
from amends.gateways.spec import Certified, Hearing, Provider, SignsIn

PROVIDERS: Mapping[str, Provider] = {"stripe": stripe}

HEARING: Mapping[str, Hearing] = {**PROVIDERS, "standard": standard}

# Whole, but no connection can name them yet: they need of engine or core what is not there so far.
UNWIRED: Mapping[str, Provider] = {"adyen": adyen, "paypal": paypal}

SIGNS_IN: Mapping[str, SignsIn] = {"paypal": paypal}

CERTIFIED: Mapping[str, Certified] = {"paypal": paypal}
