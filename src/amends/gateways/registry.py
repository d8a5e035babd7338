"""Which module speaks for which `gateway` of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from amends.gateways import (
    adyen,
    files,
    mollie,
    paypal,
    shopify,
    smtp,
    standard,
    stripe,
    subscriber,
    tryton,
    vendure,
    woocommerce,
)
from amends.gateways.spec import (
    Capabilities,
    Certified,
    Checks,
    Completes,
    Hearing,
    Inspects,
    Outlet,
    Pings,
    Provider,
    SignsIn,
)

PROVIDERS: Mapping[str, Provider] = {
    "adyen": adyen,
    "mollie": mollie,
    "paypal": paypal,
    "stripe": stripe,
}

HEARING: Mapping[str, Hearing] = {
    **PROVIDERS,
    "shopify": shopify,
    "standard": standard,
    "vendure": vendure,
    "woocommerce": woocommerce,
}

COMPLETES: Mapping[str, Completes] = {"shopify": shopify}

PINGS: Mapping[str, Pings] = {"woocommerce": woocommerce}

SIGNS_IN: Mapping[str, SignsIn] = {"paypal": paypal}

CERTIFIED: Mapping[str, Certified] = {"paypal": paypal}

CHECKS: Mapping[str, Checks] = {
    "adyen": adyen,
    "files": files,
    "mollie": mollie,
    "paypal": paypal,
    "shopify": shopify,
    "smtp": smtp,
    "tryton": tryton,
    "vendure": vendure,
    "webhook": subscriber,
    "woocommerce": woocommerce,
}

OUTLETS: Mapping[str, Outlet] = {
    "shopify": shopify,
    "tryton": tryton,
    "vendure": vendure,
    "webhook": subscriber,
    "woocommerce": woocommerce,
}

CAPABILITIES: Mapping[str, Capabilities] = {
    **{name: party.CAPABILITIES for name, party in OUTLETS.items()},
    "files": files.CAPABILITIES,  # told by engine/drop.py
    "smtp": smtp.CAPABILITIES,  # told by engine/mail.py: a mail is no request
    **{name: party.CAPABILITIES for name, party in HEARING.items()},
}

INSPECTS: Mapping[str, Inspects] = {"tryton": tryton, "vendure": vendure}
