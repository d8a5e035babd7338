"""Which module speaks for which `gateway` of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from amends.gateways import adyen, standard, stripe
from amends.gateways.spec import Hearing, Provider

PROVIDERS: Mapping[str, Provider] = {"adyen": adyen, "stripe": stripe}

HEARING: Mapping[str, Hearing] = {**PROVIDERS, "standard": standard}
