"""The command line: `amends COMMAND …`. Each command takes --config after its name."""

from __future__ import annotations

import logging
import sys

import typer

from amends import __version__
from amends.core.reasons import Refused
from amends.doors import (
    bench_cli,
    commands_books,
    commands_connections,
    commands_import,
    commands_outlets,
    commands_people,
    commands_policy,
    commands_refund,
    commands_risk,
    commands_sandbox,
    commands_serve,
    commands_setup,
    commands_simulate,
    logs,
)
from amends.doors.demo.command import demo
from amends.doors.shell import err
from amends.engine.config import ConfigError
from amends.store.spec import StoreUnavailable

app = typer.Typer(
    name="amends",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Gives a customer's money back, once, for the right amount, and keeps every book in step.",
    epilog="Begin with: amends init, then amends key create, then amends serve.",
)
app.command("demo")(demo)
app.command("init")(commands_setup.init)
app.command("serve")(commands_serve.serve)
app.command("worker")(commands_serve.worker)
app.command("sandbox")(commands_sandbox.sandbox)
app.command("refund")(commands_refund.refund)
app.command("payout")(commands_refund.payout)
app.command("bench")(bench_cli.bench)
app.command("simulate")(commands_simulate.simulate)
app.command("import")(commands_import.import_)
app.add_typer(commands_setup.key_group, name="key")
app.add_typer(commands_people.user_group, name="user")
app.add_typer(commands_books.audit_group, name="audit")
app.add_typer(commands_books.ledger_group, name="ledger")
app.add_typer(commands_outlets.outbox_group, name="outbox")
app.add_typer(commands_outlets.stock_group, name="stock")
app.add_typer(commands_policy.policy_group, name="policy")
app.add_typer(commands_risk.risk_group, name="risk")
app.add_typer(commands_policy.stop_group, name="stop")
app.add_typer(commands_connections.connections_group, name="connections")


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"amends {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and end."
    ),
) -> None:
    """Refund automation."""


def main(words: list[str] | None = None) -> None:
    """Run a command (`words`, or those of the process) and exit. What the caller can mend is one
    sentence and 1; wrong usage is 2."""
    logs.set_up(level=logging.WARNING)
    try:
        app(words)
    except (ConfigError, StoreUnavailable) as error:
        _say(str(error))
    except Refused as refused:
        _say(refused.refusal.detail)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has enough; Python would complain of it
        sys.exit(1)


def _say(sentence: str) -> None:
    said = sentence[:1].upper() + sentence[1:]
    err.print(f"amends: {said}" + ("" if said.endswith(".") else "."), markup=False)
    sys.exit(1)


if __name__ == "__main__":
    main()
