"""Settings: `amends.toml`, checked whole at start. A wrong or missing setting names itself.

Secrets are written `env:NAME` or `file:PATH` and resolved here, once; durations like "90s", "24h".
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cryptography import x509
from msgspec import Meta

from amends.core.amounts import Amounts, Fallback
from amends.core.chart import CHART, Name, Names
from amends.core.requests import (
    Allocation,
    Amount,
    BasisPoints,
    BelowMinimum,
    IfLost,
    PlatformFee,
)
from amends.engine.vault import read_key
from amends.gateways.registry import CAPABILITIES, CERTIFIED, CHECKS, PROVIDERS
from amends.gateways.spec import Capabilities, Settings
from amends.kernel.currency import known
from amends.kernel.time import DAY, parse_duration


class ConfigError(Exception):
    """A setting is wrong or missing; the sentence names it and says what to do."""


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[store]`: where the rows are."""

    url: str = "sqlite:///amends.db"


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[server]`: where `amends serve` listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    metrics_key: bool = False  # /metrics asks for an API key too


class LedgerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[ledger]`: the books. `rates`: functional units per unit of a currency, as text ("0.92"),
    for days on which the European Central Bank has none, or for all where `ecb` is false;
    `ecb_file`: a newer copy of its file (eurofxref-hist.zip) than the one installed,
    whose rates count for `ecb_days` where none is newer. `write_off_up_to`: functional minor units.
    `accounts`: a file with the merchant's own numbers and names of accounts. Credit notes have one
    issuer, which numbers them. `captures`: they are booked too."""

    functional_currency: str = "EUR"
    rates: dict[str, str] = {}
    ecb: bool = True
    ecb_file: str = ""
    write_off_up_to: Annotated[int, Meta(ge=0, le=10**6)] = 100
    ecb_days: Annotated[int, Meta(ge=1, le=366)] = 62
    accounts: str = ""
    credit_note_issuer: Literal["amends", "erp"] = "amends"
    captures: bool = False
    credit_note_series: Annotated[str, Meta(pattern="^[0-9A-Za-z/-]{1,20}$")] = "CN"


class PolicyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[policy]`: the built-in policy, amounts in minor units of the functional currency. Fees and
    the least that is refunded are by currency, `restocking_bp` is 1/10,000 of the goods.
    `allocation` says which tender of several gives how much, `fallback` what pays where money
    cannot go back the way it came."""

    auto_approve_up_to: Annotated[int, Meta(ge=0)] = 10_000
    second_person: bool = False
    promotion_lost: IfLost = "review"
    restocking_bp: BasisPoints = 0
    return_label: dict[str, Amount] = {}
    handling: dict[str, Amount] = {}
    minimum: dict[str, Amount] = {}
    platform_fee: PlatformFee = "proportional"
    below_minimum: BelowMinimum = "refuse"
    allocation: Allocation = "card_first"
    fallback: Fallback = "none"


class AuditConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[audit]`: the folder for the signing key and the checkpoints, outside the database."""

    dir: str = ""


class ConsoleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[console]`: people's pages, served where there is a `key` (`env:NAME` or `file:PATH`)."""

    key: str = ""


class ConnectionConfig(msgspec.Struct, frozen=True):
    """`[connections.NAME]`: one account at one outside party. `trust_anchors` is PEM, empty for the
    usual roots."""

    name: str
    settings: Settings
    rate: int
    concurrency: int
    indeterminate_after: int
    entity: str = "main"
    trust_anchors: bytes = b""


class Console(msgspec.Struct, frozen=True):
    """`[console]`, resolved; without a key none is served."""

    key: bytes = b""


class Config(msgspec.Struct, frozen=True):
    """Everything, resolved."""

    path: Path
    store: StoreConfig
    server: ServerConfig
    ledger: LedgerConfig
    policy: PolicyConfig
    audit_dir: Path
    connections: Mapping[str, ConnectionConfig]
    accounts: Names = {}
    console: Console = Console()


_SECTIONS: dict[str, type] = {
    "store": StoreConfig,
    "server": ServerConfig,
    "ledger": LedgerConfig,
    "policy": PolicyConfig,
    "audit": AuditConfig,
    "console": ConsoleConfig,
}
_COMMON = {"gateway", "base_url", "rate", "concurrency", "indeterminate_after", "entity"}
_SECRET_LISTS = ("webhook_secrets", "hmac_keys")


def load(path: Path, connections: bool = True) -> Config:
    """Read and check the file. `connections` False (commands that only read): only the rest is
    checked and no secret is touched. Raises ConfigError."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"There is no {path}. `amends init` writes one, or name yours with --config."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    return parse(raw, path, connections)


def parse(raw: dict[str, Any], path: Path, connections: bool = True) -> Config:
    """The same from a parsed document; relative paths are relative to the file."""
    unknown = sorted(set(raw) - set(_SECTIONS) - {"connections"})
    if unknown:
        raise ConfigError(f"[{unknown[0]}] in {path} is not a section amends knows.")
    parts = {name: _section(name, kind, raw.get(name, {})) for name, kind in _SECTIONS.items()}
    ledger: LedgerConfig = parts["ledger"]
    _check_ledger(ledger)
    _check_policy(parts["policy"])
    store: StoreConfig = parts["store"]
    found = raw.get("connections", {}) if connections else {}
    if not isinstance(found, dict):
        raise ConfigError("[connections] must be tables: [connections.NAME].")
    if ledger.ecb_file and not (path.parent / ledger.ecb_file).is_file():
        raise ConfigError(f"[ledger] ecb_file: there is no file {path.parent / ledger.ecb_file}.")
    accounts = account_names(ledger.accounts, path.parent)
    if connections:
        check_clearing(ledger.accounts, accounts, found)
    return Config(
        path=path,
        store=StoreConfig(_absolute(store.url, path)),
        server=parts["server"],
        ledger=ledger,
        policy=parts["policy"],
        audit_dir=_audit_dir(parts["audit"], store, path),
        connections={
            name: _connection(name, _beside(path.parent, values)) for name, values in found.items()
        },
        accounts=accounts,
        console=Console(_console_key(parts["console"], path) if connections else b""),
    )


def _console_key(console: ConsoleConfig, path: Path) -> bytes:
    """The key that protects the console's secrets. Raises ConfigError."""
    if not console.key:
        return b""
    file = console_key_file({"console": {"key": console.key}}, path)
    if file is not None and not file.exists():
        raise ConfigError(f"[console] key: there is no file {file}; `amends init` makes it.")
    text = resolve("[console] key", _beside(path.parent, console.key))
    try:
        return read_key(text)
    except ValueError as error:
        raise ConfigError(
            f"[console] key: {console.key} holds no key of the console: {error}. `amends init` "
            "makes one where there is no such file."
        ) from None


def console_key_file(raw: dict[str, Any], path: Path) -> Path | None:
    """The file that `[console] key` names, if it names one: what `amends init` makes."""
    console = raw.get("console", {})
    text = console.get("key", "") if isinstance(console, dict) else ""
    named = isinstance(text, str) and text.startswith("file:") and text != "file:"
    return path.parent / text.removeprefix("file:") if named else None


def _section(name: str, kind: type, values: Any) -> Any:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"[{name}]: {error}.") from None


def _check_ledger(ledger: LedgerConfig) -> None:
    for code in (ledger.functional_currency, *ledger.rates):
        if not known(code):
            raise ConfigError(f"[ledger]: {code!r} is not an ISO 4217 currency.")
    for code, text in ledger.rates.items():
        try:
            good = Decimal(text).is_finite() and Decimal(text) > 0
        except InvalidOperation:
            good = False
        if not good:
            raise ConfigError(f"[ledger.rates] {code} = {text!r} is not a positive number.")


def account_names(file: str, folder: Path) -> Names:
    """The merchant's names of accounts, from a TOML file beside the settings. Raises ConfigError,
    also for an account that amends does not book on."""
    if not file:
        return {}
    where = folder / file
    try:
        names = msgspec.toml.decode(where.read_bytes(), type=dict[str, Name])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ConfigError(f"[ledger] accounts: {where} cannot be read: {error}.") from None
    for account, theirs in names.items():
        kind, colon, connection = account.partition(":")
        if kind not in CHART:
            raise ConfigError(
                f"[ledger] accounts: {file} names {account!r}, which amends does not book on; "
                f"its accounts are {', '.join(CHART)}."
            )
        if colon and not (CHART[kind].each and connection):
            raise ConfigError(
                f"[ledger] accounts: {file} names {account!r}, but there is one {kind} for all."
            )
        if not (theirs.number or theirs.name):
            raise ConfigError(f"[ledger] accounts: {file} gives {account!r} no number and no name.")
    return names


def check_clearing(file: str, names: Names, connections: Collection[str]) -> None:
    """A clearing account is that of a connection that is configured. Raises ConfigError."""
    for account in names:
        kind, _, connection = account.partition(":")
        if kind == "clearing" and connection not in ("", *connections):
            raise ConfigError(
                f"[ledger] accounts: {file} names {account!r}, and no [connections.{connection}] "
                "is configured."
            )


def _check_policy(policy: PolicyConfig) -> None:
    for name in ("return_label", "handling", "minimum"):
        for code in getattr(policy, name):
            if not known(code):
                raise ConfigError(f"[policy.{name}]: {code!r} is not an ISO 4217 currency.")


def amounts(policy: PolicyConfig) -> Amounts:
    """What the policy says of how much, as decisions see it."""
    by_currency: dict[str, Any] = {
        name: tuple(sorted(getattr(policy, name).items()))
        for name in ("return_label", "handling", "minimum")
    }
    return Amounts(
        policy.promotion_lost,
        policy.restocking_bp,
        **by_currency,
        allocation=policy.allocation,
        platform_fee=policy.platform_fee,
        below_minimum=policy.below_minimum,
    )


def _absolute(url: str, path: Path) -> str:
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith(prefix + "/"):
        return prefix + str((path.parent / url.removeprefix(prefix)).resolve())
    return url


def _audit_dir(audit: AuditConfig, store: StoreConfig, path: Path) -> Path:
    if audit.dir:
        return (path.parent / audit.dir).resolve()
    if store.url.startswith("sqlite:///"):
        return Path(_absolute(store.url, path).removeprefix("sqlite:///") + ".audit")
    return (path.parent / "amends-audit").resolve()


def _beside(folder: Path, value: Any) -> Any:
    """A connection's table with the paths of its secrets made relative to the settings' folder."""
    if isinstance(value, dict):
        return {name: _beside(folder, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_beside(folder, item) for item in value]
    if isinstance(value, str) and value.startswith("file:") and value != "file:":
        return f"file:{folder / value.removeprefix('file:')}"
    return value


def _connection(name: str, values: Any) -> ConnectionConfig:
    where = f"[connections.{name}]"
    choice = ", ".join(sorted(CAPABILITIES))
    if not isinstance(values, dict) or not isinstance(values.get("gateway"), str):
        raise ConfigError(f'{where} needs gateway = "…"; one of {choice}.')
    able = CAPABILITIES.get(values["gateway"])
    if able is None:
        raise ConfigError(f"{where}: gateway {values['gateway']!r} is unknown; one of {choice}.")
    for key in values:
        if key not in (*_COMMON, *_SECRET_LISTS, *_of_gateway(able)):
            raise ConfigError(f"{where}: {key!r} is not a setting of gateway {able.name!r}.")
    settings = Settings(
        name=name,
        gateway=able.name,
        base_url=str(values.get("base_url", "")).rstrip("/"),
        values={key: _setting(where, key, values, key in able.secrets) for key in able.settings}
        | {
            key: _optional(where, key, values, key in able.secrets)
            for key in able.optional
            if key in values
        },
        lists={key: _list(where, key, values[key]) for key in able.lists if key in values},
        tables={key: _table(where, key, values[key]) for key in able.tables if key in values},
        webhook_secrets=_secret_list(where, values),
    )
    checks = CHECKS.get(able.name)
    if checks is not None and (trouble := checks.trouble(settings)):
        raise ConfigError(f"{where}: {trouble}.")
    retention = able.key_ttl or DAY
    after = values.get("indeterminate_after")
    return ConnectionConfig(
        name=name,
        settings=settings,
        rate=_whole(where, "rate", values.get("rate", able.requests_per_second)),
        concurrency=_whole(where, "concurrency", values.get("concurrency", 64)),
        indeterminate_after=retention if after is None else duration(f"{where}", after),
        entity=str(values.get("entity", "main")),
        trust_anchors=_trust_anchors(where, values, settings),
    )


def _of_gateway(able: Capabilities) -> tuple[str, ...]:
    own = (*able.settings, *able.optional, *able.lists, *able.tables)
    return (*own, "trust_anchors") if able.name in CERTIFIED else own


def _trust_anchors(where: str, values: Mapping[str, Any], settings: Settings) -> bytes:
    """The roots of a sandbox's own certificates, b"" for the usual ones. Raises ConfigError."""
    said = values.get("trust_anchors")
    if said is None:
        return b""
    party = PROVIDERS.get(settings.gateway)
    if not settings.base_url or (party is not None and party.live(settings)):
        raise ConfigError(
            f"{where}: trust_anchors is for a sandbox and goes with base_url; without it "
            "certificates must lead to one of the usual roots."
        )
    pem = resolve(f"{where} trust_anchors", str(said)).encode()
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(f"{where}: trust_anchors holds no certificates: {error}.") from None
    return pem


def _whole(where: str, key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{where}: {key} must be a whole number, 0 or more.")
    return value


def _table(where: str, key: str, value: Any) -> dict[str, str]:
    """A table of text. Raises ConfigError."""
    if not isinstance(value, dict) or not all(isinstance(x, str) for x in value.values()):
        raise ConfigError(f'{where}: {key} must be a table of text: {key} = {{ name = "…" }}.')
    return {str(name): text for name, text in value.items()}


def _list(where: str, key: str, value: Any) -> tuple[str, ...]:
    """A list of text. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(x, str) and x for x in value):
        raise ConfigError(f'{where}: {key} must be a list of text: {key} = ["…"].')
    return tuple(value)


def _optional(where: str, key: str, values: Mapping[str, Any], secret: bool) -> str:
    """As text, also what is written as a number, or as true or false. Raises ConfigError."""
    value = values[key]
    if isinstance(value, int) and not secret:
        return str(value).lower()
    return _setting(where, key, values, secret)


def _setting(where: str, key: str, values: Mapping[str, Any], secret: bool) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where} needs {key} = {'env:NAME or file:PATH' if secret else '…'!r}.")
    return _secret(f"{where} {key}", value) if secret else value


def _secret_list(where: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    found: list[str] = []
    for key in _SECRET_LISTS:
        items = values.get(key, [])
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{where}: {key} must be a list of env:NAME or file:PATH.")
        found += [_secret(f"{where} {key}", item) for item in items]
    return tuple(found)


def _secret(where: str, text: str) -> str:
    """A secret of one line, without what was copied around it. Raises ConfigError, also for one
    that no header could carry: each request would end as unknown, though none ever left."""
    value = resolve(where, text).strip()
    if not value or not value.isprintable():
        raise ConfigError(f"{where}: what stands in {text} is empty or more than one line of text.")
    return value


def resolve(where: str, text: str) -> str:
    """The secret behind `env:NAME` or `file:PATH`. Raises ConfigError naming the setting."""
    kind, _, rest = text.partition(":")
    if kind == "env" and rest:
        value = os.environ.get(rest, "")
        if not value:
            raise ConfigError(f"{where}: the environment variable {rest} is not set.")
        return value
    if kind == "file" and rest:
        try:
            return Path(rest).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: the file cannot be read: {error}.") from None
    raise ConfigError(
        f"{where}: write a secret as env:NAME or file:PATH, never in the file itself."
    )


def duration(where: str, text: Any) -> int:
    """Microseconds of "5s", "90m", "24h", "45d". Raises ConfigError."""
    try:
        return parse_duration(text if isinstance(text, str) else repr(text))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}.") from None
