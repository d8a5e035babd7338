"""What is played while a process is killed: each way a refund can go, with everything between."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from amends.core.reasons import Refused
from amends.engine import review_desk
from amends.engine.actions import Caller
from amends.kernel.time import HOUR, MINUTE
from amends.store.spec import StoreUnavailable
from tests.engine.crash import Tale, nothing
from tests.engine.lab import Lab, all_orders, report
from tests.engine.test_hearsay import hear

KEY = "the-callers-key"
BOTH = ("failed", "succeeded")


# -- before ------------------------------------------------------------------------------------


async def one_order(lab: Lab) -> None:
    await lab.order()


async def one_authorization(lab: Lab) -> None:
    await lab.order(capture="manual")


async def paid_back(lab: Lab) -> None:
    """A refund that succeeded and will fail after all."""
    order = await lab.order()
    await lab.nodes[0].refund(order.id, key=KEY)
    await lab.settle(HOUR)


async def in_review(lab: Lab) -> None:
    order = await lab.order()
    await lab.nodes[0].refund(order.id, key=KEY)


async def half_refunded_unheard(lab: Lab) -> None:
    """Most of it was given back in the provider's dashboard, and we were not told."""
    await lab.order()
    lab.control("clear_webhooks")
    lab.control("dashboard_refund", payment="pi_1", amount=7000)


async def no_funds(lab: Lab) -> None:
    lab.control("balance", currency="eur", amount=0, refuse=True)
    await lab.order()


# -- while -------------------------------------------------------------------------------------


async def ask(lab: Lab, key: str = KEY, node: int = 0, **how: object) -> None:
    (order,) = await all_orders(lab.nodes[node].store)
    await lab.nodes[node].refund(order.id, key=key, **how)


async def plain(lab: Lab) -> None:
    await ask(lab)
    await lab.settle(HOUR)


async def asked_again(lab: Lab) -> None:
    """What the caller does who had no answer: the same key again."""
    for order in await all_orders(lab.nodes[0].store):
        with suppress(StoreUnavailable):
            await lab.nodes[0].refund(order.id, key=KEY)


async def order_and_refund(lab: Lab) -> None:
    """From the very first fact, two refunds on one payment."""
    lab.control("payment", id="pi_1", amount=10_000)
    order = await lab.nodes[0].report(report("1"))
    await asyncio.gather(
        lab.nodes[0].refund(order.id, key=KEY, amount=3000),
        lab.nodes[0].refund(order.id, key="another", amount=4000),
    )
    await lab.settle(HOUR)


async def lost_answer(lab: Lab) -> None:
    lab.control("fault", kind="lost_answer", count=1)
    await plain(lab)


async def hidden_answer(lab: Lab) -> None:
    """Lost, no webhook, and the list does not show it yet: the same bytes are sent again."""
    lab.control("clear_webhooks")
    lab.control("settings", list_delay_s=20)
    await lost_answer(lab)


async def late_failure(lab: Lab) -> None:
    (made,) = lab.movements()
    lab.control("fail_refund", refund=made["psp_refund_id"])
    await lab.settle(HOUR)


async def one_fails_one_waits(lab: Lab) -> None:
    """The first answer is lost, the second request waits, a webhook ends the first refund."""
    lab.control("refund_outcome", status="pending", then="failed", after_s=3, count=1)
    lab.control("fault", kind="lost_answer", count=1)
    await ask(lab, amount=4000)
    await lab.nodes[0].quiet()
    await ask(lab, "another", amount=3000)
    await lab.settle(HOUR)


async def told_by_the_shop(lab: Lab) -> None:
    """Signed messages, as a shop sends them again until it has a 2xx: the refund comes first."""
    asked = {"order": {"connection": "shop-1", "order_id": "1"}, "amount": 4000}
    await hear(lab, "msg_2", "refund.requested", asked)
    await hear(lab, "msg_1", "order.created", msgspec.to_builtins(report("1")))
    more = {"order": {"connection": "shop-1", "order_id": "1"}, "amount": 3000}
    await hear(lab, "msg_3", "refund.requested", more)
    await lab.settle(HOUR)


async def a_payment(lab: Lab) -> None:
    lab.control("payment", id="pi_1", amount=10_000)


async def approved(lab: Lab) -> None:
    (order,) = await all_orders(lab.nodes[0].store)
    lead = Caller("person:lead", "person:lead", "POST /v1/refunds/approve", "approval")
    with suppress(Refused):  # it is approved already
        await review_desk.approve(lab.nodes[0].engine, lead, "admin", order.refunds[0].id)
    await lab.settle(HOUR)


async def error_not_done(lab: Lab) -> None:
    lab.control("fault", kind="error_500", after_work=False, count=1)
    await plain(lab)


async def error_done(lab: Lab) -> None:
    lab.control("clear_webhooks")
    lab.control("fault", kind="error_500", after_work=True, count=1)
    await plain(lab)


async def dashboard(lab: Lab) -> None:
    """Somebody refunds by hand; we hear of it, and give back what is left."""
    lab.control("dashboard_refund", payment="pi_1", amount=700)
    await lab.settle(MINUTE)
    await ask(lab, amount=2000)
    await lab.settle(HOUR)


async def part_released(lab: Lab) -> None:
    """A part of an authorization: what is left is captured; then some of that is given back."""
    await ask(lab, amount=4000)
    await lab.settle(HOUR)
    await ask(lab, "another", amount=1000)
    await lab.settle(HOUR)


async def funded_later(lab: Lab) -> None:
    await ask(lab)
    await lab.settle(MINUTE)
    lab.control("fund", currency="eur", amount=1_000_000)
    await lab.settle(3 * HOUR)


async def funded(lab: Lab) -> None:
    lab.control("fund", currency="eur", amount=1_000_000)


async def one_declined(lab: Lab) -> None:
    """Of three parts the provider has room for two."""
    await three_asked(lab)
    await lab.settle(HOUR)


async def three_asked(lab: Lab) -> None:
    for key, amount in ((KEY, 2000), ("second", 2500), ("third", 1000)):
        await ask(lab, key, amount=amount)
        await lab.nodes[0].quiet()


async def sealed(lab: Lab) -> None:
    """Checkpoints between what happens, as the sweep makes them."""
    sealer = lab.nodes[0].engine.sealer
    await sealer.seal()
    await ask(lab, amount=4000)
    await lab.settle(HOUR)
    await sealer.seal()
    lab.clock.forward(MINUTE)
    await ask(lab, "another", amount=3000)
    await lab.settle(HOUR)
    await sealer.seal()


async def sealed_again(lab: Lab) -> None:
    await lab.nodes[0].engine.sealer.seal()


async def at_two(lab: Lab) -> None:
    """Two refunds of one payment, asked at two processes; both sweep."""
    lab.control("fault", kind="lost_answer", count=1)
    await ask(lab, amount=3000)
    await ask(lab, "another", node=1, amount=4000)
    await lab.settle(HOUR)


PATIENT_FOR_5_S = {"indeterminate_after": "5s"}
REVIEWED = {"auto_approve_up_to": 0}

TALES: dict[str, Tale] = {
    "plain": Tale(plain, one_order),
    "asked again": Tale(plain, one_order, again=asked_again, refunds=1),
    "from nothing": Tale(order_and_refund, nothing),
    "void": Tale(plain, one_authorization),
    "part released": Tale(part_released, one_authorization),
    "lost answer": Tale(lost_answer, one_order),
    "hidden answer": Tale(hidden_answer, one_order),
    "stored 500, not done": Tale(error_not_done, one_order, settings=PATIENT_FOR_5_S),
    "stored 500, done": Tale(error_done, one_order, settings=PATIENT_FOR_5_S),
    "late failure": Tale(late_failure, paid_back, ("failed",)),
    "one fails, one waits": Tale(one_fails_one_waits, one_order, BOTH),
    "one of three declined": Tale(one_declined, half_refunded_unheard, BOTH, three_asked),
    "dashboard": Tale(dashboard, one_order),
    "no funds, then funded": Tale(funded_later, no_funds, again=funded),
    "signed messages": Tale(told_by_the_shop, a_payment, again=told_by_the_shop, refunds=2),
    "approved in review": Tale(approved, in_review, again=approved, settings=REVIEWED, refunds=1),
    "sealed": Tale(sealed, one_order, again=sealed_again),
}
TOGETHER = Tale(at_two, one_order, others=1)
