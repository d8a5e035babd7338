"""What is asked of a run and what it reports, and the configuration it is played with."""

from __future__ import annotations

from pathlib import Path

import msgspec

from amends.engine import config
from amends.sim.play.parties import WHSEC, parties
from amends.sim.play.partners import connections
from amends.sim.play.story import SHOP
from amends.sim.play.trouble import Profile

# Less is not worth a payment, where amounts are held.
MINIMUM = {"EUR": 600, "USD": 650, "JPY": 600, "KWD": 6000, "CHF": 600}
RATES = {"USD": "0.92", "JPY": "0.0061", "KWD": "2.99", "CHF": "1.05"}


class Wish(msgspec.Struct, frozen=True):
    """What to play. `only` keeps these order numbers alone, and `personas` those of such shoppers;
    their stories are as they were. `lenient`: the providers pay whatever they are asked.
    `providers`: each payment is at one of them. `asking`: the share of orders of which somebody
    ever asks anything; 1 is all. `chronicle`: tell all that happens. `keep`: leave what the
    providers say in the folder. `hold`: small amounts are held, whatever the seed.
    `partners`: an ERP and a shop's books are told what happens."""

    seed: int
    store: str  # URL of an empty, migrated database
    folder: Path
    days: float = 30.0
    orders: int = 100
    profile: Profile = Profile()
    only: tuple[str, ...] = ()
    personas: tuple[str, ...] = ()
    lenient: bool = False
    workers: int = 1  # processes that send; more than one needs PostgreSQL
    providers: tuple[str, ...] = ("stripe",)
    asking: float = 1.0
    chronicle: bool = True
    keep: bool = False
    hold: bool = False
    partners: bool = False

    @property
    def books_captures(self) -> bool:
        """Captures are in the books of every second seed."""
        return self.seed % 2 == 0

    @property
    def closes(self) -> bool:
        """A month of the books is closed in two of four seeds that last until then."""
        return self.seed % 4 >= 2 and self.days > 10

    @property
    def minimum(self) -> dict[str, int]:
        """What is less is held, in two of five seeds or if that is wished."""
        return MINIMUM if self.hold or self.seed % 5 in (0, 4) else {}

    @property
    def fallback(self) -> str:
        """What pays where a provider does not, by the seed."""
        return ("none", "manual", "store_credit")[self.seed % 3]


class Line(msgspec.Struct, frozen=True):
    """One line of the chronicle: virtual seconds, order number ("" for all), what happened."""

    at: float
    number: str
    text: str


class Report(msgspec.Struct):
    """What a run did and found. `violations` are (virtual day, invariant, order number, what)."""

    seed: int
    store: str
    days: float
    asks: int
    touched: int
    refunds: int
    movements: int
    quiet_points: int
    faults: dict[str, int]
    states: dict[str, int]
    violations: list[tuple[float, str, str, str]]
    fingerprint: str
    seconds: float
    peak_mb: int
    met_locks: int
    chronicle: list[Line] = []
    faults_at: dict[str, dict[str, int]] = {}  # by provider, as are the movements of money
    movements_at: dict[str, int] = {}
    legs: dict[str, int] = {}  # by kind, as are journal entries
    entries: dict[str, int] = {}
    posted_late: int = 0  # entries that came after their month was closed


def settings(wish: Wish) -> config.Config:
    """A configuration with one account at each provider and one shop."""
    accounts = {party.connection: party.account(wish.folder) for party in parties(wish.providers)}
    secrets = wish.folder / "secrets"
    secrets.mkdir(parents=True, exist_ok=True)
    (secrets / "shop").write_text(WHSEC)
    shop = {"gateway": "standard", "webhook_secrets": [f"file:{secrets / 'shop'}"]}
    told = connections(wish.folder) if wish.partners else {}
    raw = {
        "store": {"url": wish.store},
        "policy": {
            "auto_approve_up_to": 8000,
            "fallback": wish.fallback,
            "minimum": wish.minimum,
            "below_minimum": "hold",
        },
        "ledger": {
            "functional_currency": "EUR",
            "rates": RATES,
            "ecb": False,
            "captures": wish.books_captures,
        },
        "audit": {"dir": str(wish.folder / "audit")},
        "connections": {**accounts, SHOP: shop, **told},
    }
    return config.parse(raw, wish.folder / "amends.toml")
