"""`amends init` and `amends key …`."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from amends.doors.shell import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    fail,
    looking,
    out,
    read_config,
    run,
    show_json,
    store_of,
    who,
)
from amends.engine import actions
from amends.engine.clock import SystemClock
from amends.engine.config import Config, console_key_file
from amends.engine.seals import Sealer
from amends.engine.vault import new_key
from amends.kernel.time import rfc3339

TEMPLATE = """\
# Settings of amends. Secrets are written env:NAME or file:PATH, never in this file.

[store]
url = "{url}"          # or postgresql://user@host/db

[server]
host = "127.0.0.1"
port = 8080

[ledger]
functional_currency = "EUR"

[policy]
auto_approve_up_to = 10000                # minor units of the functional currency

[console]
key = "file:console.key"                  # protects its secrets; made by `amends init`

# One table for each account at an outside party: take the # off the ones you have. `amends sandbox`
# prints the settings that point each at its look-alike.
#
# [connections.stripe-eu]
# gateway = "stripe"
# api_key = "env:STRIPE_KEY"
# webhook_secrets = ["env:STRIPE_WHSEC"]  # a list: rotation keeps two
#
# [connections.paypal-eu]
# gateway = "paypal"
# client_id = "AeA1QI…"
# client_secret = "env:PAYPAL_SECRET"
# environment = "sandbox"                 # or "live"
# webhook_secrets = ["env:PAYPAL_WEBHOOK_ID"]  # the webhook's id is what it is signed for
#
# [connections.adyen-eu]
# gateway = "adyen"
# api_key = "env:ADYEN_KEY"
# merchant_account = "YourCompanyECOM"
# environment = "test"                    # or the prefix of your live endpoint
# hmac_keys = ["env:ADYEN_HMAC"]          # without them no outcome would ever be heard
#
# [connections.mollie-eu]
# gateway = "mollie"
# api_key = "env:MOLLIE_KEY"
# webhook_secrets = ["env:MOLLIE_SECRET"]  # of a webhook with the full payload
#
# [connections.shop-1]
# gateway = "standard"                    # any sender of Standard Webhooks
# webhook_secrets = ["env:SHOP_SECRET"]
#
# [connections.shopify-eu]
# gateway = "shopify"
# shop = "example.myshopify.com"
# access_token = "env:SHOPIFY_TOKEN"
# webhook_secrets = ["env:SHOPIFY_SECRET"]
# payments = { stripe = "stripe-eu" }     # what the shop calls each of your payment connections
#
# [connections.vendure-eu]
# gateway = "vendure"
# base_url = "https://shop.example.com"
# username = "amends"
# password = "env:VENDURE_PASSWORD"
# webhook_secrets = ["env:VENDURE_SECRET"]
# payments = { stripe = "stripe-eu" }
#
# [connections.woo-eu]
# gateway = "woocommerce"
# store_url = "https://shop.example"
# consumer_key = "env:WOO_KEY"
# consumer_secret = "env:WOO_SECRET"
# webhook_secrets = ["env:WOO_WEBHOOK"]
# payments = { stripe = "stripe-eu" }
"""

key_group = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")


def init(
    config: ConfigPath = DEFAULT_CONFIG,
    store: Annotated[
        str, typer.Option(help="The database's URL, written into a new settings file.")
    ] = "sqlite:///amends.db",
) -> None:
    """Make what is not there yet: settings file, database, console's key, audit folder.

    Can be repeated: it upgrades the database's schema and leaves everything else alone.

    Example: amends init && amends key create --name support --scopes refunds:write,read
    """
    made = not config.exists()
    if made:
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(TEMPLATE.replace("{url}", store), encoding="utf-8")
    settings = read_config(config, connections=False)
    key = _make_key(config)
    run(_migrate(settings))
    Sealer(store_of(settings), settings.audit_dir, SystemClock()).prepare()
    out.print(f"Settings: {config}{' (new)' if made else ''}", markup=False)
    out.print("Database: ready", markup=False)
    out.print(f"Audit folder: {settings.audit_dir}", markup=False)
    if key is not None:
        out.print(f"Console key: {key} (new; keep it, and keep it secret)", markup=False)
    if made:
        out.print(
            f"Next: name your providers in {config}, then amends key create for programs and "
            "amends user add for people.",
            markup=False,
        )


def _make_key(config: Path) -> Path | None:
    """The console's key, where the settings name a file that is not there; readable by its owner
    alone. None if there is nothing to make."""
    raw = tomllib.loads(config.read_text(encoding="utf-8"))
    file = console_key_file(raw, config)
    if file is None or file.exists():
        return None
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(new_key() + "\n")
    return file


async def _migrate(config: Config) -> None:
    store = store_of(config)
    try:
        await store.migrate()
    finally:
        await store.close()


@key_group.command("create")
def create(
    name: Annotated[str, typer.Option(help="Who will use it; goes on the audit trail.")],
    scopes: Annotated[str, typer.Option(help=f"Comma-separated, of: {', '.join(actions.SCOPES)}.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown once; only its hash is stored.

    Example: amends key create --name support --scopes refunds:write,read --json
    """
    wanted = tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
    found = run(_create(read_config(config, connections=False), name.strip(), wanted))
    if as_json:
        show_json(found)
    else:
        out.print(f"{found['key']}\n", markup=False)
        out.print(f"Key {found['id']} of {name}. Keep it: it is not shown again.", markup=False)


async def _create(config: Config, name: str, scopes: tuple[str, ...]) -> dict[str, str]:
    async with looking(config) as engine:
        principal, secret = await actions.create_key(engine, who(), name, scopes)
        return {"id": principal.id, "key": secret}


@key_group.command("list")
def list_(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the keys, without their secrets.

    Example: amends key list
    """
    found = run(_list(read_config(config, connections=False)))
    if as_json:
        show_json({"items": found})
        return
    table = Table(Column("id", no_wrap=True), "name", "scopes", "created", "revoked", box=None)
    for item in found:
        scopes = ",".join(item["scopes"])
        table.add_row(
            item["id"], item["name"], scopes, item["created_at"], item["revoked_at"] or ""
        )
    out.print(table)


async def _list(config: Config) -> list[dict[str, object]]:
    async with looking(config) as engine:
        return [
            {
                "id": p.id,
                "name": p.name,
                "scopes": list(p.scopes),
                "created_at": rfc3339(p.created_at),
                "revoked_at": rfc3339(p.revoked_at) if p.revoked_at else None,
            }
            for p in await engine.store.principals()
        ]


@key_group.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="prn_…, from `amends key list`.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Revoke a key. A running server refuses it within five seconds.

    Example: amends key revoke prn_01m81…
    """
    if not run(_revoke(read_config(config, connections=False), key)):
        fail(f"There is no key {key} that is not revoked yet.")
    out.print(f"Revoked {key}.", markup=False)


async def _revoke(config: Config, key: str) -> bool:
    async with looking(config) as engine:
        return await actions.revoke_key(engine, who(), key)
