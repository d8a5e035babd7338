"""What lies in the reference material beside the checkout, counted: what is new there is noticed.

`test_reference` holds these figures to the folder, and `gateways_doc` shows them.
"""

from __future__ import annotations

# Cases per file of signature vectors, rows per file of messages.
VECTORS = {
    "adyen.json": 19,
    "adyen_header.json": 4,
    "paypal.json": 25,
    "shopify.json": 11,
    "standardwebhooks.json": 16,
    "stripe.json": 18,
    "woocommerce.json": 12,
}
PAYLOADS = {
    "adyen.json": 34,
    "paypal.json": 15,
    "shopify.json": 14,
    "standardwebhooks.json": 4,
    "stripe.json": 33,
    "woocommerce.json": 7,
}

# OpenAPI files by which no request is checked: what Adyen tells and PayPal's cases look like is
# shaped by the first two, nothing of the others is asked yet.
SHAPES = ("adyen-webhooks-v1.json", "paypal-disputes-v1.json")
NOTHING_ASKED = ("adyen-disputes-v30.json", "paypal-reporting-v1.json", "paypal-webhooks-v1.json")
