"""One message about several orders (Adyen sends batches): each item is verified on its own, each
fact reaches its order, and what has to wait waits alone."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from amends.core.order import Order
from amends.core.reasons import Reason, Refused
from amends.engine import fold
from amends.engine.asks import Told
from amends.engine.intake import receive
from amends.kernel.time import SECOND
from tests.engine.guarded import ADYEN, Guarded, guarded
from tests.gateways.adyen_table import OTHER_SECRET, SECRET, body, item, seal
from tests.gateways.table import dumps


@pytest_asyncio.fixture
async def house(db_url: str, tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded(db_url, tmp_path) as found:
        yield found


def payment(number: int) -> str:
    return f"PAYMENT{number:02}TABLE0082"


def refunded(number: int, value: int = 3200, **changes: Any) -> dict[str, Any]:
    """A refund made in the dashboard, of the payment with that number."""
    given = {"originalReference": payment(number), "pspReference": f"REFUND{number:02}TABLE0082"}
    return item("REFUND", value=value, **{**given, **changes})


def batch(*numbers: int) -> bytes:
    return dumps(seal(body(*(refunded(n) for n in numbers)), SECRET))


async def sold(house: Guarded, number: int) -> Order:
    return await house.order(str(number), payment(number), ADYEN)


async def hear(house: Guarded, raw: bytes) -> Told:
    return await receive(house.engine, ADYEN, raw, {})


async def external(house: Guarded, order: Order) -> int:
    found = await house.engine.store.order(order.id)
    assert found is not None
    (paid,) = found.payments
    return paid.external


async def unmatched(house: Guarded) -> int:
    counts = await house.engine.store.counts(house.clock.now())
    return counts["inbox_unmatched"]


async def test_each_item_reaches_its_order(house: Guarded) -> None:
    orders = [await sold(house, n) for n in range(5)]
    told = await hear(house, batch(*range(5)))
    assert [result.order.id for result in told.results if result.order] == [o.id for o in orders]
    assert [await external(house, order) for order in orders] == [3200] * 5
    again = await hear(house, batch(*range(5)))
    assert again.duplicate
    assert [await external(house, order) for order in orders] == [3200] * 5


async def test_an_item_told_again_alone_changes_nothing(house: Guarded) -> None:
    orders = [await sold(house, n) for n in range(2)]
    await hear(house, batch(0, 1))
    told = await hear(house, batch(1))
    assert not told.duplicate
    assert [await external(house, order) for order in orders] == [3200, 3200]


async def test_several_items_of_one_order_keep_their_order(house: Guarded) -> None:
    order = await sold(house, 0)
    failed = {"pspReference": refunded(0)["pspReference"], "eventCode": "REFUND_FAILED"}
    raw = dumps(seal(body(refunded(0), refunded(0, **failed)), SECRET))
    await hear(house, raw)
    assert await external(house, order) == 0


async def test_an_order_that_is_not_known_yet_holds_no_other_up(house: Guarded) -> None:
    first = await sold(house, 0)
    await hear(house, batch(0, 1, 2))
    assert await external(house, first) == 3200
    assert await unmatched(house) == 1
    second = await sold(house, 1)
    assert await external(house, second) == 3200, "in the commit that made it known"
    assert await unmatched(house) == 1
    third = await sold(house, 2)
    assert await external(house, third) == 3200
    assert await unmatched(house) == 0
    for order in (first, second, third):
        assert await external(house, order) == 3200
    assert (await hear(house, batch(0, 1, 2))).duplicate


async def test_orders_reported_together_are_told_once_each(house: Guarded) -> None:
    """Both reports are in one turn, whose message waited for both."""
    await hear(house, batch(0, 1))
    turner = house.engine.turner
    real, held = turner.submit, []
    turner.submit = lambda ask: held.append(ask) or ask.told  # type: ignore[method-assign,func-returns-value]
    reports = [asyncio.create_task(sold(house, n)) for n in range(2)]
    while len(held) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    del turner.submit
    before = turner.turns
    for ask in held:
        real(ask)
    orders = await asyncio.gather(*reports)
    assert turner.turns == before + 1
    assert [await external(house, order) for order in orders] == [3200, 3200]
    assert await unmatched(house) == 0


async def test_a_race_with_the_order_is_made_up_for_by_the_sweep(house: Guarded) -> None:
    """A row that waits for an order that is known, with one that is not."""
    await hear(house, batch(0, 1))
    (waiting,) = await rows(house)
    order = await sold(house, 0)
    (left,) = await rows(house)
    assert (len(waiting.refs), len(left.refs)) == (2, 1)
    house.clock.forward(10 * SECOND)
    await house.engine.sweeper._chores()
    assert await external(house, order) == 3200
    assert await unmatched(house) == 1


async def rows(house: Guarded) -> list[Any]:
    async with house.engine.store.turn() as turn:
        return await turn.waiting([f"{ADYEN}/{payment(n)}" for n in range(3)])


async def test_one_bad_item_refuses_the_whole_message(house: Guarded) -> None:
    """Nothing of it is believed: whoever put the one in could have put in the others."""
    orders = [await sold(house, n) for n in range(2)]
    good = seal(body(refunded(0), refunded(1)), SECRET)
    bad = copy.deepcopy(good)
    bad["notificationItems"][1]["NotificationRequestItem"]["amount"]["value"] = 9900
    other = seal(body(refunded(1)), OTHER_SECRET)["notificationItems"]
    mixed = {**good, "notificationItems": [good["notificationItems"][0], *other]}
    for message in (bad, mixed):
        with pytest.raises(Refused) as told:
            await hear(house, dumps(message))
        assert told.value.refusal.reason == Reason.SIGNATURE_INVALID
    assert [await external(house, order) for order in orders] == [0, 0]


async def test_a_parked_order_holds_no_other_up(house: Guarded) -> None:
    orders = [await sold(house, n) for n in range(2)]
    await park(house, orders[0])
    told = await hear(house, batch(0, 1))
    assert [result.parked for result in told.results] == [True, False]
    assert [await external(house, order) for order in orders] == [0, 3200]


async def park(house: Guarded, order: Order) -> None:
    """A defect in `decide`, this once."""
    real = fold.decide

    def broken(*given: Any) -> Any:
        raise RuntimeError("a defect")

    fold.decide = broken
    try:
        await hear(house, batch(0))
    finally:
        fold.decide = real
