"""Everybody a story needs, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

from amends.doors.demo.parties import Caller, Json, Provider, Sale, Shop, expect
from amends.doors.demo.stage import Stage
from amends.doors.demo.told import Teller, money


@dataclass
class Cast:
    """The players of one run. `orphans` are refunds that were out when the server was killed."""

    teller: Teller
    stage: Stage
    shop: Shop
    provider: Provider
    support: Caller
    lead: Caller
    books: Caller
    orphans: list[tuple[Sale, str]] = field(default_factory=list)

    def say(self, who: str, text: str) -> None:
        self.teller.say(who, text)

    async def paid_once(self, sale: Sale, amount: int) -> str:
        """That the provider made exactly one movement, of this amount; its id."""
        made = await self.provider.movements(sale)
        expect(
            f"movements on {sale.payment}",
            [(amount, "succeeded")],
            [(m["amount"], m["status"]) for m in made],
        )
        return str(made[0]["psp_refund_id"])

    async def entries(self, sale: Sale) -> list[Json]:
        return await self.books.pages(f"/v1/ledger/entries?order={sale.id}")

    async def owed(self, sale: Sale) -> int:
        """What the books say the customer is owed."""
        amounts: list[int] = [
            posting["amount"]
            for entry in await self.entries(sale)
            for posting in entry["postings"]
            if posting["account"] == "refunds_payable"
        ]
        return -sum(amounts)


def rule_of(refund: Json) -> str:
    """Why it was decided as it was: "small-and-trusted, risk 0.01"."""
    decision = refund["decision"]
    return f"{decision['rule']}, risk {decision['risk']['score']:.2f}"


def paid(refund: Json) -> str:
    """What was paid, formatted."""
    return money(refund["amount_succeeded"], refund["currency"])
