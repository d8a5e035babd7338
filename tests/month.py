"""A shop's month, proved from outside: `python -m tests.month --orders 100000 --folder DIR`.

It is played with every provider, its captures in the books, and left in the folder. What then says
that the books are right are others than those who wrote them: the commands as a user runs them,
beancount and hledger as processes of their own, which must refuse the same file with one cent
changed, and sums over the CSV against what the providers' look-alikes say they hold. A month that
is in the folder already is proved again without being played.

Webhooks that are lost for ever and captures that nobody tells of are left out: after them only a
statement could tell, and the books of the day would rightly not be the providers'.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from amends.core.orders import order_id
from amends.core.requests import OrderKey
from amends.sim.play.game import Game
from amends.sim.play.parties import PARTIES
from amends.sim.play.run import TRUTH
from amends.sim.play.story import SHOP
from amends.sim.play.wish import RATES

SEED = 2  # an even one, which has captures in its books
ASKING = 0.05
WITHOUT = frozenset(("lose", "unsaid_capture"))
AMOUNT = re.compile(r"(?m)^ +\S+  -?\d+\.?\d* [A-Z]{3}")
Found = Iterator[str]
Told = dict[str, Any]  # of `amends.sim.play.evidence.Truth`


def play(folder: Path, orders: int, asking: float = ASKING, days: float = 30.0) -> list[str]:
    """Play it into the folder; what was violated."""
    game = Game(
        SEED,
        days=days,
        orders=orders,
        faults="calm",
        without=WITHOUT,
        providers=tuple(PARTIES),
        asking=asking,
        keep=str(folder),
    )
    report = game.play()
    _say(f"{orders:,} orders, {report.asks:,} asked for, {report.refunds:,} refunds")
    _say(f"{report.movements_at} movements of money, {report.quiet_points} quiet points")
    _say(f"{sum(report.faults.values()):,} faults, {report.peak_mb} MB, {report.seconds:,} s")
    return [" ".join(map(str, violation)) for violation in report.violations]


def prove(folder: Path) -> Found:
    """Everything that is wrong with the books of a month that was played into the folder."""
    files = exported(folder)
    for tool in TOOLS:
        yield from accepted(tool, files[tool])
        yield from refused_with_a_cent_more(tool, files[tool])
    yield from trial_balance(folder, files["csv"])
    yield from clearing(folder, files["csv"])
    yield from balances(folder, files["csv"])
    yield from realised(folder, files["csv"])


# -- the commands, and the tools of others ---------------------------------------------------------


def _amends(folder: Path, *words: str, to: Any = subprocess.PIPE) -> str:
    """A command as a user runs it. Raises CalledProcessError unless it says that all is well."""
    command = [sys.executable, "-m", "amends.doors.cli", *words]
    command += ["--config", str(folder / "amends.toml")]
    done = subprocess.run(command, stdout=to, text=True, check=True)
    return done.stdout or ""


def exported(folder: Path) -> dict[str, Path]:
    """The files of `amends ledger export`, by format."""
    files = {name: folder / f"books.{name}" for name in ("beancount", "hledger", "csv")}
    for name, path in files.items():
        with path.open("w", encoding="utf-8") as file:
            _amends(folder, "ledger", "export", "--format", name, to=file)
        _say(f"{path.name}: {path.stat().st_size:,} bytes")
    return files


TOOLS: dict[str, Callable[[Path], list[str]]] = {
    "beancount": lambda path: [
        *(sys.executable, "-m", "beancount.scripts.check", "--no-cache", str(path)),
    ],
    "hledger": lambda path: ["hledger", "-f", str(path), "check", "-s", "ordereddates"],
}


def _judged(tool: str, path: Path) -> subprocess.CompletedProcess[str]:
    began = time.monotonic()
    done = subprocess.run(TOOLS[tool](path), capture_output=True, text=True, check=False)
    _say(f"{tool} on {path.name}: {done.returncode}, {time.monotonic() - began:.0f} s")
    return done


def accepted(tool: str, path: Path) -> Found:
    """The tool finds nothing in the file."""
    done = _judged(tool, path)
    if done.returncode:
        yield f"{tool} refuses the books: {(done.stderr or done.stdout)[:500]}"


def refused_with_a_cent_more(tool: str, path: Path) -> Found:
    """The tool finds a single cent that was changed, in an amount in the middle of the file."""
    text = path.read_text(encoding="utf-8")
    found = AMOUNT.search(text, len(text) // 2)
    if found is None:
        yield f"there is no amount in the second half of {path.name}"
        return
    changed = path.with_name(f"changed.{tool}")
    line = _cent_more(found[0])
    changed.write_text(text[: found.start()] + line + text[found.end() :], encoding="utf-8")
    if _judged(tool, changed).returncode != 1:
        yield f"{tool} does not see that {found[0].strip()!r} became {line.strip()!r}"


def _cent_more(line: str) -> str:
    """A posting with its amount one minor unit higher."""
    account, amount, currency = line.rsplit(" ", 2)
    places = len(amount.partition(".")[2])
    minor = int(amount.replace(".", "")) + 1
    digits = str(abs(minor)).rjust(places + 1, "0")
    cut = len(digits) - places
    more = digits[:cut] + ("." if places else "") + digits[cut:]
    return f"{account} {'-' if minor < 0 else ''}{more} {currency}"


# -- sums ------------------------------------------------------------------------------------------


def trial_balance(folder: Path, path: Path) -> Found:
    """Zero in each currency and in the functional one, over the rows of the export; and what the
    command says of each account is what the export adds up to."""
    totals: Counter[str] = Counter()
    accounts: Counter[tuple[str, str]] = Counter()
    entries = set()
    for row in _rows(path):
        entries.add((row["order"], row["number"]))
        totals[row["currency"]] += int(row["amount"])
        totals["functional"] += int(row["functional_amount"])
        accounts[row["account"], row["currency"]] += int(row["amount"])
    _say(f"trial balance of {len(entries):,} entries: {dict(sorted(totals.items()))}")
    yield from (f"the books are off by {n} {name}" for name, n in totals.items() if n)
    told = json.loads(_amends(folder, "ledger", "balances", "--json"))["balances"]
    said = {(row["account"], row["currency"]): row["amount"] for row in told if row["amount"]}
    if said != {name: n for name, n in accounts.items() if n}:
        yield "amends ledger balances says other than the export"
    report = json.loads(_amends(folder, "ledger", "check", "--json"))
    if not report["ok"] or report["entries"] != len(entries):
        yield f"amends ledger check: {report['entries']} entries, {report['findings'][:3]}"


def clearing(folder: Path, path: Path) -> Found:
    """For each provider and currency: what the clearing account holds is what the look-alike
    captured and did not lose again, less what it refunded and what disputes hold, and what it took
    back of sellers. What sellers were paid with a payment is the shop's word, and left out."""
    booked: Counter[tuple[str, str]] = Counter()
    for row in _rows(path):
        account, _, connection = row["account"].partition(":")
        if account == "clearing" and row["kind"] != "seller_paid":
            booked[connection, row["currency"]] += int(row["amount"])
    there = held(_told(folder))
    for name in sorted(booked.keys() | there.keys()):
        _say(f"{name[0]} {name[1]}: the books hold {booked[name]:,}, the provider {there[name]:,}")
        if booked[name] != there[name]:
            yield f"{name} holds {there[name]}, the books say {booked[name]}"


def held(told: Told) -> Counter[tuple[str, str]]:
    """By connection and currency, what the providers hold for us of payments, by their own record,
    in the currencies that were paid in, less the fees of refunds and disputes in theirs."""
    found: Counter[tuple[str, str]] = Counter()
    where: dict[str, tuple[str, str]] = {}
    for payment, rows in told["payments"].items():
        for row in rows:
            where[payment] = (PARTIES[row["gateway"]].connection, row["currency"].upper())
            found[where[payment]] += row["captured"] + _taken_back(row)
    for payment, rows in told["movements"].items():
        for movement in rows:
            if (movement["kind"], movement["status"]) == ("refund", "succeeded"):
                found[where[payment]] -= movement["amount"]
                _fee(found, where[payment][0], movement)
    for payment, rows in told["disputes"].items():
        for dispute in rows:
            found[where[payment]] -= dispute["withdrawn"]
            _fee(found, where[payment][0], dispute)
    return found


def _taken_back(row: dict[str, Any]) -> int:
    """What refunds of a payment took back of its sellers, less the platform's fee for them."""
    if "platform_fee_refunded" in row:  # PayPal: the payee pays all but what the platform adds
        return int(row["refunded"]) - int(row["platform_fee_refunded"])
    borne = sum(row.get("borne", {}).values())
    return int(borne + row.get("reversed", 0) - row.get("fee_refunded", 0))


def _of_payees(told: Told) -> set[str]:
    """Refunds of payments whose payee is a seller: what they took off our balance is little of
    them, and not what the books hold."""
    rows = (row for rows in told["payments"].values() for row in rows)
    payments = {row["psp_payment_id"] for row in rows if "platform_fee_refunded" in row}
    return {m["psp_refund_id"] for name in payments for m in told["movements"].get(name, ())}


def _fee(found: Counter[tuple[str, str]], connection: str, row: dict[str, Any]) -> None:
    if row.get("settled_fee"):
        found[connection, row["settled_currency"]] -= row["settled_fee"]


# Which entries' lines on clearing are of what moved the balance at the provider.
MOVED = {
    **dict.fromkeys(("payout", "payout_failed", "external", "fx_settled"), "refund"),
    **dict.fromkeys(("dispute", "dispute_returned", "dispute_lost"), "dispute"),
}


def balances(folder: Path, path: Path) -> Found:
    """Where an account is kept in euro whatever is paid in: what refunds and disputes took off the
    balance is what clearing holds of them in the books' own currency, to the cent. PayPal's is
    summed over its refunds where some were of payments whose payee is a seller."""
    told = _told(folder)
    exchanging = {row["gateway"] for row in told["balances"]} - _kept_as_they_come(told["balances"])
    apart = _of_payees(told)
    there: Counter[tuple[str, str]] = Counter()
    for row in told["balances"]:
        if row["gateway"] in exchanging and row["category"] in MOVED.values():
            there[PARTIES[row["gateway"]].connection, row["category"]] += row["amount"]
    if apart:  # their part of the balance is told of no single refund
        there["paypal-eu", "refund"] = -sum(
            movement["settled"]
            for movement in (m for rows in told["movements"].values() for m in rows)
            if movement["gateway"] == "paypal" and movement["status"] == "succeeded"
        )
    booked: Counter[tuple[str, str]] = Counter()
    connections = {PARTIES[name].connection for name in exchanging}
    for row in _rows(path):
        account, _, connection = row["account"].partition(":")
        ours = connection in connections and row["psp_refund_id"] not in apart
        if account == "clearing" and ours and row["kind"] in MOVED:
            booked[connection, MOVED[row["kind"]]] += int(row["functional_amount"])
    for name in sorted(booked.keys() | there.keys()):
        says = f"the books {booked[name]:,}, the balance {there[name]:,}"
        _say(f"{name[0]}, by each {name[1]}, in euro: {says}")
        if booked[name] != there[name]:
            yield f"{name[1]}s moved the balance of {name[0]} by {there[name]}, the books say other"


def _kept_as_they_come(rows: list[Any]) -> set[str]:
    """Accounts that hold what moved them in more currencies than one."""
    return {row["gateway"] for row in rows if row["currency"] != "EUR"}


def realised(folder: Path, path: Path) -> Found:
    """Gain and loss of exchange, refund by refund and dispute by dispute: what the provider took
    less what was owed, at the rate of the order. By none of our code but the orders' ids. Of what
    the provider told no figures (a fallback, a payee's), all that leaves a payment is rounded as a
    whole, and what is owed refund by refund: where an order has several of them it may be off by
    their rounding (the checker of the run reckons that too, to the cent)."""
    told = _told(folder)
    apart = _of_payees(told)
    taken = {
        movement["psp_refund_id"]: movement
        for rows in told["movements"].values()
        for movement in rows
        if (movement["kind"], movement["status"]) == ("refund", "succeeded")
    }
    booked: Counter[str] = Counter()
    paid: dict[tuple[str, str], dict[str, str]] = {}  # (order, refund) -> its legs' ids there
    currencies: dict[str, str] = {}
    for row in _rows(path):
        currencies.setdefault(row["order"], row["currency"])
        if row["account"] == "fx_gain_loss":
            booked[row["order"]] += int(row["functional_amount"])
        if row["kind"] in ("payout", "external"):
            paid.setdefault((row["order"], row["refund"]), {})[row["leg"]] = row["psp_refund_id"]
    expected, room = _of_disputes(told, currencies), Counter[str]()
    moved = Counter(order for (order, _), legs in paid.items() for _ in legs)
    moved.update(list(expected))
    known = {n for n, m in taken.items() if m["settled_currency"] == "EUR" and n not in apart}
    untold = {order for (order, _), legs in paid.items() if not known.issuperset(legs.values())}
    for (order, _), legs in paid.items():
        rate = RATE.get(currencies[order])
        movements = [taken[name] for name in legs.values() if name in taken]
        if rate is None or not movements:
            continue
        figures = [movement for movement in movements if movement["psp_refund_id"] in known]
        others = sum(m["amount"] for m in movements if m not in figures)
        owed = _rounded(rate * sum(m["amount"] for m in movements))
        worth = sum(m["settled"] for m in figures) + _rounded(rate * others)
        expected[order] += worth - owed
        room[order] += 2 * len(legs) if moved[order] > 1 and order in untold else 0
    _say(f"realised: {sum(booked.values()):,} booked, {sum(expected.values()):,} recomputed")
    _say(f"gains {-sum(n for n in booked.values() if n < 0):,}, of {len(+booked)} orders losses")
    for order in sorted(booked.keys() | expected.keys()):
        if abs(booked[order] - expected[order]) > room[order]:
            yield f"{order} realised {expected[order]}, the books say {booked[order]}"


def _of_disputes(told: Told, currencies: dict[str, str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for payment, rows in told["disputes"].items():
        for row in rows:
            number = PARTIES[row["gateway"]].number(payment)
            order = order_id(OrderKey(SHOP, number))
            rate = RATE.get(currencies.get(order, ""))
            if rate is not None and row.get("settled_currency") == "EUR":
                found[order] += row["settled"] - _rounded(rate * row["withdrawn"])
    return found


DECIMALS = {"JPY": 0, "KWD": 3}  # others have two, as the euro
RATE = {
    currency: Fraction(rate) * Fraction(10) ** (2 - DECIMALS.get(currency, 2))
    for currency, rate in RATES.items()
}  # euro cents for one minor unit


def _rounded(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _told(folder: Path) -> Told:
    found: Told = json.loads((folder / TRUTH).read_bytes())
    return found


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """1 if anything is wrong."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--orders", type=int, default=100_000)
    words.add_argument("--asking", type=float, default=ASKING, help="share that asks for anything")
    words.add_argument("--folder", type=Path, required=True, help="where the month stays")
    given = words.parse_args()
    if shutil.which("hledger") is None:
        words.error("hledger is not here: apt-get install hledger")
    wrong: list[str] = []
    if not (given.folder / "amends.db").exists():
        wrong += play(given.folder, given.orders, given.asking)
    wrong += prove(given.folder)
    _say("\n".join(wrong) or "Nothing is wrong.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
