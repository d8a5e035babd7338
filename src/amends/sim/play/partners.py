"""Those who are told: an ERP that keeps the books and the stock, and a shop that records refunds
and who has access. They are slow, locked and away, lose answers to what they have done, are down
for a day as the month ends, and refuse at times what lies in a period they have closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from amends.gateways.spec import Failure, Request, Response
from amends.sim.erp import Answer, Erp
from amends.sim.play.books import ENDS_S
from amends.sim.play.node import START
from amends.sim.play.trouble import Troubles

BASE = "/partners/"
ASKS_FOR = {
    "erp": ["erp.*", "refund.failed"],
    "shop-books": ["shop.refund_recorded", "access.changed", "erp.goods_returned"],
}
SECRET = "whsec_dGhvc2Ugd2hvIGFyZSB0b2xkLCBpbiBwbGF5"
WAY_S = (0.004, 0.060)
DOWN_S = (ENDS_S - 6 * 3600.0, 86400.0)  # from when on, and how long
AWAY_S = (30.0, 1200.0)

Work = Coroutine[Any, Any, Any]


def connections(folder: Path) -> dict[str, dict[str, Any]]:
    """The settings of our connections to them."""
    secret = folder / "secrets" / "partners"
    secret.write_text(SECRET)
    return {
        name: {
            "gateway": "webhook",
            "url": f"https://partners.sim{BASE}{name}",
            "webhook_secrets": [f"file:{secret}"],
            "events": events,
        }
        for name, events in ASKS_FOR.items()
    }


class Partner:
    """One of them, at the other end of a wire."""

    def __init__(
        self,
        name: str,
        troubles: Troubles,
        say: Callable[[str, str], None],
        start: Callable[[Work], asyncio.Task[Any]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.name, self._troubles, self._say, self._start = name, troubles, say, start
        self.erp = Erp(name, SECRET, lambda: START + self._loop.time())
        self.away_until = 0.0
        self._closes: set[str] = set()  # messages whose period was closed once

    def reopen(self) -> None:
        """Somebody there opens the periods again."""
        self.erp.shut.clear()

    def mend(self) -> None:
        """A quiet point: it is there."""
        self.away_until = 0.0

    def _down(self) -> bool:
        """The day as the month ends, on which nothing is booked."""
        begins, lasts = DOWN_S
        here = (
            self.name == "erp"
            and "partner_down" not in self._troubles.profile.without
            and self._troubles.on
        )
        down = here and bool(self._troubles.profile.world)
        return down and begins <= self._loop.time() < begins + lasts

    async def carry(self, request: Request, timeout_s: float) -> Response | Failure:
        """One message and its answer, if there is one."""
        headers = {name.lower(): value for name, value in request.headers}
        name = headers.get("webhook-id", "")
        prng = self._troubles.prng(name, f"partner {self.name}")
        await asyncio.sleep(prng.uniform(*WAY_S))
        kind = self._troubles.partner(f"{self.name} {name}")
        answer, kind = await self._strike(kind, headers, request.body, timeout_s)
        told = str(answer.status) if isinstance(answer, Response) else answer.reason
        self._say("", f"told {self.name} {name}: {told}{f' ({kind})' if kind else ''}")
        return answer

    async def _strike(
        self, kind: str, headers: dict[str, str], body: bytes, timeout_s: float
    ) -> tuple[Response | Failure, str]:
        """What happens to it, and what that is called; "" for nothing."""
        name = headers.get("webhook-id", "")
        prng = self._troubles.prng(name, f"partner {self.name}")
        if self._down():
            self._troubles.struck("partner_down")
            return Failure(False, "no connection: refused"), "partner_down"
        if kind == "partner_away" or self.away_until > self._loop.time():
            if kind == "partner_away":
                self.away_until = self._loop.time() + prng.uniform(*AWAY_S)
            self._troubles.struck("partner_away")
            return Response(503, {"retry-after": "30"}, b""), "partner_away"
        if kind:
            self._troubles.struck(kind)
        if kind == "period_closed" and name not in self._closes:
            self._closes.add(name)
            self.erp.shut.add(name)
        if kind == "partner_lost_request":
            return Failure(True, "connection lost: lost on the way"), kind
        if kind == "partner_locked":
            return Response(500, {}, b"could not obtain lock"), kind
        if kind == "partner_slow":  # it is taken after we stopped to listen
            self._start(self._later(headers, body, timeout_s + prng.uniform(1, 60)))
            await asyncio.sleep(timeout_s)
            return Failure(True, "no answer in time"), kind
        answer = self.erp.handle(headers, body)
        if kind == "partner_twice":
            answer = self.erp.handle(headers, body)
        await asyncio.sleep(prng.uniform(*WAY_S))
        if kind == "partner_lost_answer":
            return Failure(True, "connection lost: ServerDisconnectedError"), kind
        return _response(answer), kind

    async def _later(self, headers: dict[str, str], body: bytes, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        self.erp.handle(headers, body)


def _response(answer: Answer) -> Response:
    return Response(answer.status, dict(answer.headers), answer.body)


def partner_of(partners: Sequence[Partner], request: Request) -> Partner | None:
    """Whom a request is for, None for none of them."""
    path = urlsplit(request.url).path
    return next((p for p in partners if path == f"{BASE}{p.name}"), None)
