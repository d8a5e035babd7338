"""`amends sandbox`: the providers' look-alikes, and how a connection is pointed at each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from amends.doors.commands_serve import stay
from amends.doors.shell import fail, out
from amends.sim import serve as look_alikes
from amends.sim.serve import Sandbox

# What webhooks of the sandbox are signed with when --webhooks asks for them; secret to nobody.
SECRETS = {
    "stripe": "whsec_sandbox",
    "adyen": "5A" * 32,
    "paypal": "SANDBOXWEBHOOK001",
}

_SETTINGS = """
In the shell that serves:

  export STRIPE_KEY={key} STRIPE_WHSEC={stripe}
  export ADYEN_KEY={key} ADYEN_HMAC={adyen}
  export PAYPAL_SECRET={key} PAYPAL_WEBHOOK_ID={paypal}

In amends.toml:

  [connections.stripe-eu]
  gateway = "stripe"
  api_key = "env:STRIPE_KEY"
  webhook_secrets = ["env:STRIPE_WHSEC"]
  base_url = "{url}/stripe"

  [connections.adyen-eu]
  gateway = "adyen"
  api_key = "env:ADYEN_KEY"
  merchant_account = "TestMerchant"
  environment = "test"
  hmac_keys = ["env:ADYEN_HMAC"]
  base_url = "{url}/adyen"

  [connections.paypal-eu]
  gateway = "paypal"
  client_id = "sandbox"
  client_secret = "env:PAYPAL_SECRET"
  environment = "sandbox"
  webhook_secrets = ["env:PAYPAL_WEBHOOK_ID"]
  base_url = "{url}/paypal"
  trust_anchors = "file:{root}"

{hooks}
A payment to give back:

  curl -s {url}/control -d '{{"op": "payment", "gateway": "adyen", "id": "8815329842815468",
    "amount": 10200, "currency": "EUR", "method": "visa"}}'
"""
_HOOKS = "Webhooks go to {to}/stripe-eu, /adyen-eu and /paypal-eu.\n"
_NO_HOOKS = (
    "No webhooks are sent: start it with --webhooks http://127.0.0.1:8080/webhooks, without which\n"
    "nobody hears what became of a refund at Adyen.\n"
)


def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for any.")] = 9400,
    webhooks: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Where amends takes webhooks: http://127.0.0.1:8080/webhooks."
        ),
    ] = "",
    root: Annotated[
        Path, typer.Option(help="The file for the root of PayPal's certificate; new every time.")
    ] = Path("paypal-root.pem"),
) -> None:
    """Serve look-alikes of the payment providers, with faults to order, on 127.0.0.1.

    It prints the settings that point a connection at each. `POST /control` orders payments and
    faults, `GET /control/refunds` is what really happened.

    Example: amends sandbox --port 9400 --webhooks http://127.0.0.1:8080/webhooks
    """

    async def play(stop: asyncio.Event) -> None:
        async with look_alikes.running(port) as served:
            names = ", ".join(f"{served.url}/{name}" for name in look_alikes.WORLDS)
            out.print(f"sandbox: {names}, control: {served.url}/control", markup=False)
            _prepare(served, webhooks.rstrip("/"), root)
            await stop.wait()

    try:
        stay(play)
    except OSError as error:
        fail(f"Port {port} cannot be used, or {root} not written: {error.strerror}.")


def _prepare(served: Sandbox, to: str, root: Path) -> None:
    """The root where the settings look for it, webhooks on their way, and what to do next."""
    pem = served.control({"op": "trust_anchors", "gateway": "paypal"})["pem"]
    root.write_text(pem, encoding="utf-8")
    for gateway, secret in SECRETS.items() if to else ():
        hook = {"op": "webhook", "gateway": gateway, "url": f"{to}/{gateway}-eu"}
        served.control(hook | {"secret": secret})
    hooks = _HOOKS.format(to=to) if to else _NO_HOOKS
    words = {"url": served.url, "root": root, "key": look_alikes.API_KEY, "hooks": hooks}
    out.print(_SETTINGS.format(**words, **SECRETS), markup=False)
