"""The lives of orders: what shops, shoppers, banks and the support desk do, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from amends.sim.checker.spec import Ask
from amends.sim.play.extras import WAYS, is_mixed, money, split, unused
from amends.sim.play.goods import come_back
from amends.sim.play.little import ask_as_a_month_ends, ask_little
from amends.sim.play.network import Provider
from amends.sim.play.node import Node
from amends.sim.play.post import Post
from amends.sim.play.story import CONTENT, REASONS, SHOP, STEP, Plan, fee
from amends.sim.wire import CommandRefused

if TYPE_CHECKING:
    from amends.sim.play.play import World

HOUR, DAY = 3600.0, 86400.0

# One try of a call at one process; see World.answered.
Call = Callable[[Node], Awaitable[tuple[int, Any]]]
IN_PARTS, FAILS, AGAIN, UNSAID = 0.2, 0.12, 0.5, 0.5  # of the payments where it can be
REVERSED = 4 * HOUR  # after its cancel was refused; both take two seconds at the provider
# Of what was captured unsaid: told later, else refunded by hand, given back in vain, disputed.
TOLD_LATE, BY_HAND, BOUNCES, DISPUTED = 0.3, 0.45, 0.6, 0.7
# What is left of their orders is nothing that these have reckoned up.
EASY = frozenset("honest impatient returner disputer dashboard bounced waiting".split())
SEVERAL = ("several_captures", "dashboard_capture")
SHORT_FROM, SHORT_UNTIL = 3 * DAY, 5 * DAY  # when the balance in one currency is short
SHORT = "CHF"


class Parts(NamedTuple):
    """A payment captured in two: `first`, and the rest `wait_s` seconds later; `known`: the shop
    tells the provider's ids of them."""

    first: int
    wait_s: float
    known: bool


class Person:
    """Everybody around one order; all they do is drawn from the order's own source."""

    def __init__(self, world: World, plan: Plan, prng: Random) -> None:
        self.world, self.plan, self.prng = world, plan, prng
        self.number = plan.number
        # How often something is tried depends on the troubles, so that has a source of its own.
        self._tries = world.troubles.prng(plan.number, "tries")
        self._post = Post(world, self.number, self._tries)
        self._asks = 0
        self._parts: dict[str, Parts] = {}  # by payment
        self._news: list[
            Callable[[], Coroutine[Any, Any, None]]
        ] = []  # of payments captured unsaid
        self._open = False  # whether what is asked fits depends on what the provider does

    async def live(self) -> None:
        """From placing the order to the last word about it."""
        self._pay()
        come_back(self.world, self.plan)
        await self._report()
        if self.plan.persona == CONTENT:
            await self._pause(4 * HOUR, 5 * HOUR)  # until its last message has mostly come
            self.world.troubles.forget(self.number)
            return
        await self._pause(1 * HOUR, 3 * DAY)
        act: Callable[[], Any] = getattr(self, f"_{self.plan.persona}")
        await act()
        await self._afterwards()
        await ask_as_a_month_ends(self)
        await ask_little(self)

    async def _pause(self, least: float, most: float) -> None:
        await self.world.pause(self.prng.uniform(least, most))

    def _provider(self, command: dict[str, Any]) -> Provider:
        """Whose payment or refund a command is about."""
        payment = command.get("payment") or command.get("id")
        return self.world.at(payment) if payment else self.world.refunded_at(command["refund"])

    def _control(self, op: str, **command: Any) -> dict[str, Any]:
        """In the words of the provider it is about."""
        provider = self._provider(command)
        words = provider.party.words
        if op in ("open_dispute", "close_dispute"):
            command["status"] = words.get(command["status"], command["status"])
        return provider.control(op, **command)

    def _say(self, text: str) -> None:
        self.world.say(self.number, text)

    def _left_out(self, kind: str) -> bool:
        """Whether a kind of trouble never happens; what is drawn about it is drawn all the same."""
        return kind in self.world.troubles.profile.without

    def _trouble(self, kind: str, op: str, **command: Any) -> dict[str, Any] | None:
        """Trouble made at the provider; it counts if it could be done there."""
        done = None if self._left_out(kind) else self._try(op, **command)
        if done is not None:
            self._provider(command).struck(kind, self.number)
        return done

    # -- the order -----------------------------------------------------------------------------

    def _pay(self) -> None:
        plan, names = self.plan, []
        for tender in money(plan):
            names.append(tender["psp_payment_id"])
            party = self.world.at(names[-1]).party
            first, unsaid = self._first_part(tender), self._unsaid(tender)
            at_once = unsaid or (plan.captured and not first)
            self._control(
                "payment",
                id=names[-1],
                amount=tender["amount"],
                **party.paying(names[-1], tender["amount"], plan.currency),
                **(party.in_parts if first else {}),
                **split(tender),
                capture="automatic" if at_once else "manual",
                announce=self.prng.random() < 0.5,
            )
        paid = f"pays {plan.amount} {plan.currency}, {plan.captured} captured"
        self._say(f"{plan.persona} {paid}, as {' and '.join(names)}")
        for tender in money(plan):
            self._take(tender)

    def _own(self, kind: str, tender: dict[str, Any], captured: bool = True) -> Random | None:
        """The source of what befalls a payment only at some providers, None at the others, and
        where the shop does not know it `captured` (or does)."""
        own = self.world.at(tender["psp_payment_id"]).party.own
        if kind not in own or self._left_out(kind) or bool(self.plan.captured) != captured:
            return None
        return self.world.troubles.prng(self.number, f"{kind} {tender['psp_payment_id']}")

    def _unsaid(self, tender: dict[str, Any]) -> bool:
        """Whether a payment the shop believes to be only authorized is captured, and nobody says
        so."""
        kind, name = "unsaid_capture", tender["psp_payment_id"]
        prng = self._own(kind, tender, captured=False)
        if prng is None or prng.random() >= UNSAID:
            return False
        self.world.at(name).struck(kind, self.number)
        way, by_shop = prng.random(), prng.random() < 0.5
        wait_s = prng.choice((prng.uniform(0, 6 * HOUR), REVERSED + prng.uniform(2, 5)))
        later_s = prng.choice((REVERSED + prng.uniform(4, 30), prng.uniform(4 * HOUR, 2 * DAY)))
        if way < TOLD_LATE:
            self._news.append(partial(self._told_late, tender, by_shop, wait_s))
        elif way < BY_HAND:
            self._news.append(partial(self._refunded_by_hand, name, tender["amount"], wait_s))
        elif way < BOUNCES:
            self._news.append(partial(self._bounces, name, later_s))
        elif way < DISPUTED:
            self._news.append(partial(self._disputed, name, wait_s))
        self._open = self._open or TOLD_LATE <= way < DISPUTED
        return True

    async def _told_late(self, tender: dict[str, Any], by_shop: bool, wait_s: float) -> None:
        """The shop finds out that it was captured, and says so; or the provider does."""
        await self.world.pause(wait_s)
        if by_shop:
            await self._captured(tender["psp_payment_id"], tender["amount"])
        else:
            self._control("tell_captures", payment=tender["psp_payment_id"])

    async def _bounces(self, payment: str, wait_s: float) -> None:
        """The bank sends back what the reversal gave."""
        await self.world.pause(wait_s)
        made = self.world.at(payment).world.movements()
        mine = (m for m in made if (m.psp_payment_id, m.kind) == (payment, "refund"))
        refund = next((m.psp_refund_id for m in mine if m.status == "succeeded"), None)
        if refund and self._trouble("late_failure", "fail_refund", refund=refund) is not None:
            self.world.journal.bounced.append(refund)

    async def _disputed(self, payment: str, wait_s: float) -> None:
        """The shopper's bank takes what we do not know to be there."""
        await self.world.pause(wait_s)
        self._trouble("dispute", "open_dispute", payment=payment, status="needs_response")

    async def _refunded_by_hand(self, payment: str, whole: int, wait_s: float) -> None:
        """Somebody at the provider sees what we cannot."""
        await self.world.pause(wait_s)
        self._refund_by_hand(payment, self._part(0.25, whole))

    def _first_part(self, tender: dict[str, Any]) -> int:
        """What is captured of a payment first, 0 if it is captured at once. The rest comes before
        the order is reported, or, where nobody minds, up to two days later; the shop knows the
        provider's ids of its captures, or does not."""
        prng = self._own("several_captures", tender)
        if prng is None or prng.random() >= IN_PARTS:
            return 0
        step = STEP.get(self.plan.currency, 1)
        first = int(tender["amount"] * prng.uniform(0.2, 0.8)) // step * step
        if first:
            late, known = prng.random() < 0.5, prng.random() < 0.5
            wait = prng.uniform(0, 2 * DAY) if late and self.plan.persona in EASY else 0.0
            self._parts[tender["psp_payment_id"]] = Parts(first, wait, known)
        return first

    def _take(self, tender: dict[str, Any]) -> None:
        """Capture what is captured in parts; and some captures fail days later."""
        name = tender["psp_payment_id"]
        if parts := self._parts.get(name):
            self._take_parts(tender, parts)
        prng = self._own("capture_failed", tender)
        if prng is not None and prng.random() < FAILS and self.plan.persona in EASY:
            wait, again = prng.uniform(0, 6 * DAY), prng.random() < AGAIN
            again_s = prng.uniform(0, 2 * DAY) if again else 0.0
            self._open = True
            self.world.later(self._capture_fails(name, wait, again_s))

    async def _capture_fails(self, payment: str, wait_s: float, again_s: float) -> None:
        """After a while; with `again_s` it is captured once more so long after that."""
        kind, again = "captured_again", bool(again_s)
        await self.world.pause(wait_s)
        more = {"payment": payment, "again": again and not self._left_out(kind)}
        failed = self._trouble("capture_failed", "fail_capture", **more)
        if failed is not None and again:
            await self.world.pause(again_s)
            self._trouble(kind, "dashboard_capture", payment=payment, amount=failed["amount"])

    def _take_parts(self, tender: dict[str, Any], parts: Parts) -> None:
        provider = self.world.at(tender["psp_payment_id"])
        capture = {"payment": tender["psp_payment_id"]}
        rest = tender["amount"] - parts.first
        more = {**capture, "amount": parts.first, **provider.party.not_last}
        made = self._control("dashboard_capture", **more)
        taken = [(made, parts.first)]
        if parts.wait_s:
            self._befalls(parts.wait_s, *SEVERAL, **capture, amount=rest)
        else:
            taken.append((self._trouble(*SEVERAL, **capture, amount=rest) or {}, rest))
        tender["captured"] = sum(amount for _, amount in taken)
        named = [{"id": done.get("charge", ""), "amount": amount} for done, amount in taken]
        known = named if parts.known else []
        tender |= provider.party.paid_in_parts(capture["payment"], known)

    def _befalls(self, wait_s: float, kind: str, op: str, **command: Any) -> None:
        """Trouble made at the provider after a while; whether what is asked fits is then open."""

        async def after_a_while() -> None:
            await self.world.pause(wait_s)
            self._trouble(kind, op, **command)

        self._open = True
        self.world.later(after_a_while())

    def _one(self) -> tuple[str, int]:
        """One payment of the order and its amount."""
        tender = self.prng.choice(money(self.plan))
        return tender["psp_payment_id"], tender["amount"]

    async def _report(self) -> None:
        kind = self.world.troubles.shop(self.number)
        journal = self.world.journal
        journal.reports[self.number] = self.plan.report
        customer = self.plan.report["customer"]
        journal.personal += [customer["name"], customer["email"], f"call {customer['name']}"]
        if kind:
            self.world.troubles.struck(kind, self.number)
        if kind == "shop_reorder":
            newer = {**self.plan.report, "version": 2}
            journal.reports[self.number] = newer
            await self._order("order.updated", newer)
        if kind == "shop_delay":
            self.world.later(self._late_report())
            return
        await self._order("order.created", self.plan.report)
        if kind == "shop_repeat":
            await self._order("order.created", self.plan.report)

    async def _late_report(self) -> None:
        await self._pause(60, 4 * HOUR)
        await self._order("order.created", self.plan.report)

    async def _order(self, kind: str, report: dict[str, Any]) -> None:
        if self.plan.by_message:
            await self.message(kind, report)
        else:
            await self._until_answered(lambda node: node.report(report, "key:shop"))
        self.world.journal.orders_acked.append(self.number)

    # -- how things are asked ------------------------------------------------------------------

    async def _until_answered(self, ask: Call) -> tuple[int, Any]:
        return await self.world.answered(self.number, self._tries, ask)

    async def message(self, kind: str, data: dict[str, Any], repeats: int = 0) -> tuple[int, str]:
        """A signed message of the shop, until it is taken; its status and id."""
        return await self._post.send(kind, data, repeats)

    async def ask(
        self,
        should: bool,
        by_message: bool | None = None,
        repeats: int = 0,
        **body: Any,
    ) -> Ask:
        """Ask for money back and hear the answer; `repeats` more times at the same moment."""
        await self.world.ready()
        self._asks += 1
        name = f"ask-{self.number}-{self._asks}"
        source = {"connection": SHOP, "order_id": self.number}
        at = int(asyncio.get_running_loop().time() * 1e6)
        if "quote" not in body:
            body = {"order": source, "reason": "return", **body, **self._way_back()}
        if self.prng.random() < 0.1:
            body["note"] = f"please call {self.plan.report['customer']['name']}"
        if by_message is None:
            by_message = self.prng.random() < 0.3
        door = "message" if by_message else "api"
        ask = Ask(name, at, self.number, body, "" if by_message else name, door)
        ask.should_succeed = should and not self._open
        self.world.journal.asks.append(ask)
        self._say(f"{name}: asks for {short(body)} by {door}")
        if by_message:
            ask.status, ask.message = await self.message("refund.requested", body, repeats)
        else:
            await asyncio.gather(*(self._call(ask) for _ in range(repeats + 1)))
            self._say(f"{name}: answered {ask.status} {short(ask.answer or {})}")
        return ask

    def _way_back(self) -> dict[str, Any]:
        """Which of several tenders gives how much, where somebody says so, and whether store credit
        would do where money does not arrive."""
        ways = self.world.troubles.prng(self.number, "ways")
        said, way, agreed = ways.random() < 0.5, ways.choice(WAYS), ways.random() < 0.6
        found = {"tenders": way} if said and is_mixed(self.plan) else {}
        return found | ({"consent": f"chat-{self.number}"} if agreed else {})

    async def _call(self, ask: Ask) -> None:
        """One call; equal ones must hear the same."""
        await self._post.way()
        heard = await self._until_answered(
            lambda node: node.refund("key:support", ask.key, ask.body)
        )
        if ask.status and (ask.status, ask.answer) != heard:
            first = f"{ask.status} {ask.answer}"
            self.world.wrong(self.number, f"{ask.id} was answered {first} and then {heard}")
        ask.status, ask.answer = heard

    def _part(self, share: float, whole: int = 0) -> int:
        step = STEP.get(self.plan.currency, 1)
        return max(1, int((whole or self.plan.amount) * share) // step) * step

    def _some(self) -> dict[str, Any]:
        """A body: some lines, an amount, or all that is left."""
        way = self.prng.random()
        if way < 0.4:
            line = self.prng.choice(self.plan.report["lines"])
            quantity = self.prng.randint(1, line["quantity"])
            shipping = "full" if self.plan.report["shipping"] and way < 0.15 else "none"
            return {"lines": [{"id": line["id"], "quantity": quantity}], "shipping": shipping}
        if way < 0.75:
            return {"amount": self._part(self.prng.uniform(0.05, 0.95))}
        return {}

    # -- who they are --------------------------------------------------------------------------

    async def _honest(self) -> None:
        if rest := unused(self.plan, self.world.troubles.prng(self.number, "unused")):
            payable = STEP.get(self.plan.currency, 1) == 1  # nobody rounds what time comes to
            await self.ask(payable, reason="subscription", **rest)
            return
        await self.ask(True, reason=self.prng.choice(REASONS), **self._some())

    async def _impatient(self) -> None:
        await self.ask(True, repeats=self.prng.randint(1, 3), **self._some())
        await self._pause(0, 2 * HOUR)
        left = [self.ask(False, by_message=False) for _ in range(2)]
        await asyncio.gather(*left)  # "all that is left", clicked twice

    async def _returner(self) -> None:
        """Sends back one unit after the other until nothing is left."""
        report = self.plan.report
        units = [line["id"] for line in report["lines"] for _ in range(line["quantity"])]
        self.prng.shuffle(units)
        kept = fee(report, STEP.get(self.plan.currency, 1), self.prng)
        charged = self.prng.random() < 0.4
        for place, line in enumerate(units):
            last = place == len(units) - 1
            shipping = "full" if last and report["shipping"] else "none"
            more: dict[str, Any] = {"fees": kept} if charged else {}
            more |= {"charges": "full"} if last and report.get("charges") else {}
            await self.ask(True, lines=[{"id": line, "quantity": 1}], shipping=shipping, **more)
            await self._pause(10 * 60, 1.5 * DAY)

    async def _racer(self) -> None:
        step = STEP.get(self.plan.currency, 1)
        amount = (self.plan.amount // 2 // step + 1) * step  # more than half: only one fits
        asks = [self.ask(False, by_message=False, amount=amount) for _ in range(5)]
        heard = await asyncio.gather(*asks)
        taken = [ask.id for ask in heard if ask.status == 201]
        if len(taken) != 1:
            self.world.wrong(self.number, f"of five asks for over half {len(taken)} were accepted")

    async def _abuser(self) -> None:
        step = STEP.get(self.plan.currency, 1)
        bad: list[dict[str, Any]] = [
            {"amount": self.plan.amount + step},
            {"lines": [{"id": "nobody", "quantity": 1}]},
            {"amount": step, "currency": "EUR" if self.plan.currency != "EUR" else "USD"},
            {"lines": [{"id": "1", "quantity": 99}]},
        ]
        await self._refused(self.prng.choice(bad))
        whole = await self.ask(True, by_message=False, reason="duplicate")  # a tip too
        await self._pause(0, DAY)
        if not self.world.turned_down(whole):
            await self._refused({"amount": step})

    async def _refused(self, body: dict[str, Any]) -> None:
        ask = await self.ask(False, by_message=False, **body)
        if ask.status // 100 == 2:
            self.world.wrong(self.number, f"{ask.id} had to be refused: {short(body)}")

    async def _disputer(self) -> None:
        first = self.prng.random() < 0.5
        payment, _ = self._one()
        if first:
            await self.ask(False, **self._some())
            await self._pause(0, 10)
        status = self.prng.choice(("needs_response", "needs_response", "warning_needs_response"))
        self._trouble("dispute", "open_dispute", payment=payment, status=status)
        if not first:
            await self._pause(0, 2 * HOUR)
            await self.ask(False, **self._some())
        await self._pause(1 * DAY, 4 * DAY)
        closing = self.prng.choice(("won", "lost"))
        closed = self._try("close_dispute", payment=payment, status=closing)
        if closed is None:  # an inquiry
            self._try("close_dispute", payment=payment, status="warning_closed")
        elif closed.get("refund"):  # the provider itself gave back what the case was about
            self.world.journal.dashboard.append(closed["refund"])
        if self.prng.random() < 0.5:
            self._trouble("fraud_warning", "fraud_warning", payment=payment)

    async def _canceller(self) -> None:
        """Wants the order no more while it is only authorized, or first only some of it."""
        for news in self._news:
            self.world.later(news())
        races, wait = self.prng.random() < 0.3, self.prng.uniform(0, 0.6)
        in_parts, (payment, amount) = self.prng.random() < 0.3, self._one()
        if races:
            await self._race(payment, amount, wait)
            return
        if in_parts:
            await self.ask(False, reason="cancelled", amount=self._part(0.4))
            await self._pause(0, 1 * HOUR)
        await self.ask(not in_parts, reason="cancelled")

    async def _race(self, payment: str, amount: int, wait: float) -> None:
        """Somebody captures at the provider while the order is cancelled."""
        asked = asyncio.ensure_future(self.ask(False, reason="cancelled"))
        await self.world.pause(wait)
        captured = self._trouble("capture_race", "dashboard_capture", payment=payment)
        await asked
        if captured is not None:
            await self._captured(payment, amount)

    async def _captured(self, payment: str, amount: int) -> None:
        """The shop says that all of a payment was captured."""
        told = {
            "connection": self.world.at(payment).party.connection,
            "psp_payment_id": payment,
            "amount": amount,
            "authorized": amount,
            "currency": self.plan.currency,
        }
        await self.message("payment.captured", told)

    async def _dashboard(self) -> None:
        """Somebody refunds at the provider, by hand."""
        before = self.prng.random() < 0.5
        if before:
            await self.ask(False, amount=self._part(0.5))
        payment, whole = self._one()
        self._refund_by_hand(payment, self._part(0.25, whole))
        await self._pause(0, 3 * HOUR)
        await self.ask(False, amount=self._part(0.2))

    def _refund_by_hand(self, payment: str, amount: int) -> None:
        by_hand = {"payment": payment, "amount": amount}
        made = self._trouble("dashboard_refund", "dashboard_refund", **by_hand)
        if made is not None:
            self.world.journal.dashboard.append(made["refund"])

    async def _bounced(self) -> None:
        """The bank sends the money back days later; then it is asked for again."""
        ask = await self.ask(False, by_message=False, amount=self._part(0.7))
        await self._pause(1 * DAY, 4 * DAY)
        refund = self.world.paid(ask)
        if refund and self._trouble("late_failure", "fail_refund", refund=refund) is not None:
            self.world.journal.bounced.append(refund)
            self._say(f"the bank returns {refund}")
        await self._pause(4 * HOUR, 2 * DAY)
        await self.ask(False, by_message=False)

    async def _waiting(self) -> None:
        """The provider says "pending" first."""
        fails = self.prng.random() < 0.4
        kind = "refund_fails" if fails else "refund_pending"
        then = "failed" if fails else "succeeded"
        after_s = self.prng.uniform(0.01, self.prng.choice((60.0, 3 * DAY)))
        outcome = {"status": "pending", "then": then, "after_s": after_s, "count": 1}
        payment, _ = self._one()
        if not self._left_out(kind):
            self._control("refund_outcome", payment=payment, **outcome)
            self.world.expect(self.number, kind)
        await self.ask(not fails, **self._some())

    async def _quoter(self) -> None:
        """Asks what it would come to, and then for just that."""
        body = {"order": {"connection": SHOP, "order_id": self.number}, **self._some()}
        status, quote = await self._until_answered(lambda node: node.quote("key:support", body))
        self._say(f"quote: {status} {short(quote)}")
        if status != 201:
            self.world.wrong(self.number, f"a quote of what fits was refused: {quote}")
            return
        made = asyncio.get_running_loop().time()
        await self._pause(0, 20 * 60)
        ask = await self.ask(True, by_message=False, quote=quote["id"])
        late = asyncio.get_running_loop().time() > made + 29 * 60  # quiet points and outages
        if late and ask.answer and ask.answer.get("code") == "quote_expired":
            ask.should_succeed = False
        refund = self.world.refund(ask)
        if refund is not None and refund.amount != quote["amount"]:
            self.world.wrong(self.number, f"quoted {quote['amount']}, refunded {refund.amount}")
        await self._pause(0, 2 * HOUR)
        await self.ask(False, by_message=False, quote=quote["id"])  # it is stale, or too old

    async def _regretful(self) -> None:
        """Asks for most of it, and takes that back while it waits for a person, or later."""
        ask = await self.ask(False, by_message=False, amount=self._part(0.9))
        await self._pause(0, 4 * HOUR)
        refund = self.world.refund(ask)
        if refund is not None:
            await self.act("cancel", refund.id, "key:support")
        await self._pause(0, 4 * HOUR)
        await self.ask(False)

    async def _afterwards(self) -> None:
        """What may still come: the shop cancels or cannot deliver, or the desk takes up what
        failed."""
        way, unknown = self.prng.random(), self.prng.random() < 0.3
        line = self.prng.choice(self.plan.report["lines"])["id"]
        await self._pause(4 * HOUR, 2 * DAY)
        order = {"order_id": self.number}
        if way < 0.12:
            await self.message("order.cancelled", order)
        elif way < 0.27:
            lines = [{"id": "nobody" if unknown else line, "quantity": 1}]
            await self.message("inventory.unavailable", {**order, "lines": lines})
        for refund in self.world.failed(self.number):
            await self.act("cancel" if self.prng.random() < 0.25 else "retry", refund, "key:lead")

    async def act(self, what: str, refund: str, actor: str) -> None:
        status, body = await self._until_answered(lambda node: node.act(what, actor, refund))
        who = "the desk" if actor == "key:lead" else "support"
        self._say(f"{who}: {what} {refund}: {status} {short(body)}")

    async def pay_by_hand(self, refund: str) -> None:
        """The desk gives the shopper the money otherwise."""
        paid = {"way": "transfer", "reference": f"little-{self.number}"}
        status, body = await self._until_answered(
            lambda node: node.payout("key:lead", refund, paid)
        )
        self._say(f"the desk: pays {refund} by hand: {status} {short(body)}")

    def _try(self, op: str, **command: Any) -> dict[str, Any] | None:
        """At the provider by hand, if it can be done there."""
        try:
            done = self._control(op, **command)
        except CommandRefused as refused:
            self._say(f"{op} at the provider: {refused}")
            return None
        self._say(f"{op} at the provider: {short({**command, **done})}")
        return done


def short(body: dict[str, Any]) -> str:
    """For the chronicle."""
    return ", ".join(f"{k} {v}" for k, v in body.items() if k not in ("order", "reason") and v)
