"""Providers that sign in: one token a connection, renewed in time, taken anew once when refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from amends.doors import logs
from amends.engine.config import ConnectionConfig
from amends.engine.deliver import LEASE_US, TIMEOUT_SECONDS
from amends.engine.limits import BREAK_AFTER
from amends.engine.login import LOGIN_SECONDS, MARGIN, Logins, Unauthorized
from amends.gateways import paypal
from amends.gateways.spec import Failure, Request, Response
from amends.kernel.outcome import NotSent
from amends.kernel.time import SECOND
from tests.engine.guarded import (
    CLIENT_SECRET,
    LIFETIME_S,
    PAYPAL,
    Guarded,
    Party,
    bare,
    bearer,
    guarded,
)
from tests.engine.lab import HandClock
from tests.gateways.paypal_money_table import REFUND
from tests.gateways.paypal_table import SETTINGS
from tests.gateways.table import dumps

CONNECTION = ConnectionConfig(PAYPAL, SETTINGS, rate=0, concurrency=64, indeterminate_after=0)


class Desk:
    """Logins without an engine."""

    def __init__(self) -> None:
        self.party, self.clock = Party(), HandClock()
        self.logins = Logins(self.party, self.clock)

    async def send(self, key: str = "leg_01-1") -> Response | Failure | Unauthorized:
        intent = msgspec.structs.replace(REFUND, key=key)
        request = paypal.write(intent, SETTINGS)
        until = self.clock.monotonic() + LEASE_US
        return await self.logins.send(CONNECTION, request, TIMEOUT_SECONDS, until)


def status(result: Response | Failure | Unauthorized) -> int:
    assert isinstance(result, Response), result
    return result.status


async def test_many_requests_wait_for_one_login() -> None:
    desk = Desk()
    desk.party.gate = asyncio.Event()
    sends = [asyncio.create_task(desk.send(f"leg_{n}-1")) for n in range(20)]
    while not desk.party.logins:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert desk.party.requests == []
    desk.party.gate.set()
    assert {status(found) for found in await asyncio.gather(*sends)} == {201}
    assert len(desk.party.logins) == 1
    assert len({bearer(request) for request in desk.party.requests}) == 1


async def test_a_token_is_renewed_before_its_lifetime_ends() -> None:
    desk = Desk()
    await desk.send()
    desk.clock.forward(LIFETIME_S * SECOND - MARGIN - 1)
    await desk.send()
    assert len(desk.party.logins) == 1
    desk.clock.forward(1)
    assert status(await desk.send()) == 201
    assert len(desk.party.logins) == 2
    assert MARGIN >= TIMEOUT_SECONDS * SECOND, "a token must still hold when the request arrives"


async def test_a_short_lived_token_is_used_and_soon_renewed() -> None:
    desk = Desk()
    desk.party.lifetime_s = 8
    await desk.send()
    desk.clock.forward(6 * SECOND - 1)
    await desk.send()
    assert len(desk.party.logins) == 1
    desk.clock.forward(1)
    await desk.send()
    assert len(desk.party.logins) == 2


async def test_a_token_that_hardly_lives_is_used_for_those_who_waited() -> None:
    desk = Desk()
    desk.party.lifetime_s = 1
    found = await asyncio.gather(desk.send("leg_1-1"), desk.send("leg_2-1"))
    assert [status(item) for item in found] == [201, 201]
    assert len(desk.party.logins) == 1


async def test_a_refused_token_is_taken_anew_and_the_same_request_leaves_once_more() -> None:
    desk = Desk()
    await desk.send()
    desk.party.forget()
    assert status(await desk.send("leg_02-1")) == 201
    assert len(desk.party.logins) == 2
    _, refused, again = desk.party.requests
    assert bearer(refused) != bearer(again)
    assert bare(refused) == bare(again), "the same bytes under the same key"
    assert len(desk.party.refunds) == 2


async def test_a_second_refusal_is_the_answer() -> None:
    desk = Desk()
    desk.party.at = lambda request: desk.party.forget()
    assert status(await desk.send()) == 401
    assert (len(desk.party.logins), len(desk.party.requests)) == (2, 2)


async def test_many_refused_at_once_take_one_new_token() -> None:
    desk = Desk()
    await desk.send()
    desk.party.forget()
    found = await asyncio.gather(*(desk.send(f"leg_{n}-1") for n in range(10)))
    assert {status(item) for item in found} == {201}
    assert len(desk.party.logins) == 2
    assert desk.logins.counted == {(PAYPAL, "taken"): 2, (PAYPAL, "revoked"): 1}


async def test_a_token_another_took_meanwhile_is_not_taken_again() -> None:
    """Both were sent with the old token; the slow one hears of it when there is a new one."""
    desk = Desk()
    await desk.send()
    desk.party.forget()
    old = desk.logins._valid(PAYPAL)
    await desk.send("leg_fast-1")
    assert old is not None
    new = desk.logins._valid(PAYPAL)
    assert new not in (None, old)
    assert desk.logins._other_than(PAYPAL, old) is new
    assert len(desk.party.logins) == 2


@pytest.mark.parametrize(
    ("answer", "outcome", "answered"),
    [
        (
            Response(401, {}, dumps({"error": "invalid_client", "error_description": "Wrong."})),
            NotSent("no login: Wrong.", alert=True),
            True,
        ),
        (
            Response(429, {"retry-after": "7"}, b""),
            NotSent("no login: HTTP 429", retry_after=7 * SECOND),
            True,
        ),
        (Response(503, {}, b""), NotSent("no login: HTTP 503"), True),
        (Failure(True, "no answer in 3 s"), NotSent("no login: no answer in 3 s"), False),
        (Failure(False, "refused"), NotSent("no login: refused"), False),
    ],
    ids=["secret", "busy", "away", "silent", "refused"],
)
async def test_without_a_login_nothing_is_sent(
    answer: Response | Failure, outcome: NotSent, answered: bool
) -> None:
    desk = Desk()
    desk.party.login_answer = answer
    found = await asyncio.gather(*(desk.send(f"leg_{n}-1") for n in range(5)))
    assert list(found) == [Unauthorized(outcome, answered)] * 5
    assert (len(desk.party.logins), desk.party.requests) == (1, [])
    assert desk.logins.counted == {(PAYPAL, "refused" if answered else "away"): 1}
    desk.party.login_answer = None
    assert status(await desk.send()) == 201, "the next one tries again"


async def test_settings_without_an_address_send_nothing() -> None:
    desk = Desk()
    values = {**SETTINGS.values, "environment": "prod"}
    wrong = msgspec.structs.replace(SETTINGS, values=values)
    connection = msgspec.structs.replace(CONNECTION, settings=wrong)
    until = desk.clock.monotonic() + LEASE_US
    found = await desk.logins.send(connection, Request("GET", "x"), TIMEOUT_SECONDS, until)
    assert isinstance(found, Unauthorized)
    assert found.outcome.alert
    assert desk.party.timeouts == []


async def test_a_login_that_took_too_long_sends_nothing() -> None:
    """Whoever takes the effect over must know that our bytes are long gone."""
    desk = Desk()
    desk.party.at = lambda request: desk.clock.forward(LEASE_US - TIMEOUT_SECONDS * SECOND + 1)
    found = await desk.send()
    assert found == Unauthorized(NotSent("the login left no time for the request"), True)
    assert desk.party.requests == []
    desk.party.at = lambda request: None
    assert status(await desk.send()) == 201
    assert len(desk.party.logins) == 1, "its token was not lost"


async def test_a_refusal_that_took_too_long_is_not_followed_by_another_try() -> None:
    desk = Desk()
    await desk.send()
    desk.party.forget()
    desk.party.at = lambda request: desk.clock.forward(LEASE_US // 2 + 1)
    assert isinstance(await desk.send("leg_02-1"), Unauthorized)
    assert len(desk.party.requests) == 2


async def test_login_and_request_stay_inside_the_lease() -> None:
    desk = Desk()
    await desk.send()
    assert desk.party.timeouts == [LOGIN_SECONDS, TIMEOUT_SECONDS]
    assert (LOGIN_SECONDS + TIMEOUT_SECONDS) * SECOND <= LEASE_US
    assert LOGIN_SECONDS * 2 <= TIMEOUT_SECONDS


async def test_when_whoever_logs_in_is_gone_the_next_one_does_it() -> None:
    desk = Desk()
    desk.party.gate = asyncio.Event()
    first, second = (asyncio.create_task(desk.send(f"leg_{n}-1")) for n in range(2))
    while not desk.party.logins:  # noqa: ASYNC110
        await asyncio.sleep(0)
    first.cancel()
    desk.party.gate.set()
    assert status(await second) == 201
    assert len(desk.party.logins) == 2
    assert desk.logins._once._running == {}


def files(folder: Path) -> str:
    """What a SQLite database wrote."""
    return "".join(path.read_bytes().decode("latin-1") for path in folder.rglob("amends.db*"))


# --- in an engine -------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def house(db_url: str, tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded(db_url, tmp_path) as found:
        yield found


async def test_a_refund_through_a_login(house: Guarded) -> None:
    order = await house.order()
    for amount in (700, 800, 900):
        await house.refund(order, amount)
    await house.settle()
    assert await house.states(order) == ["succeeded"] * 3
    assert len(house.party.refunds) == 3
    assert len(house.party.logins) == 1


async def test_no_token_is_in_a_row_or_a_log(
    house: Guarded, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    logs.set_up()
    order = await house.order()
    await house.refund(order, 700)
    await house.settle(5)
    house.party.forget()
    house.party.at = lambda request: house.party.forget()
    await house.refund(order, 800)
    await house.settle(5)
    house.party.at = lambda request: 1 // 0 if "refund" in request.url else None  # type: ignore[assignment,return-value]
    await house.refund(order, 900)
    await house.settle(5)
    tokens = {bearer(request) for request in house.party.requests}
    assert len(tokens) > 2
    logged = capsys.readouterr().err
    assert "delivery failed" in logged
    rows = msgspec.json.encode(await house.engine.store.order(order.id)).decode()
    rows += repr(await house.engine.store.events(order.id, "", 500))
    written = files(tmp_path)
    for secret in {*tokens, CLIENT_SECRET}:
        assert secret not in logged
        assert secret not in rows
        assert secret not in written


async def test_a_failed_login_pauses_the_connection_and_moves_nothing(house: Guarded) -> None:
    order = await house.order()
    house.party.login_answer = Response(429, {"retry-after": "20"}, b"")
    await house.refund(order, 700)
    await house.quiet()
    await house.settle(19)
    assert len(house.party.logins) == 1, "nobody of this connection starts during the pause"
    house.party.login_answer = None
    await house.settle(60)
    assert await house.states(order) == ["succeeded"]
    assert len(house.party.refunds) == 1


async def test_a_person_is_told_of_a_login_that_is_refused(house: Guarded) -> None:
    """A wrong secret mends itself by no repeat; once it is put right the refund leaves."""
    order = await house.order()
    body = dumps({"error": "invalid_client", "error_description": "Client failed."})
    house.party.login_answer = Response(401, {}, body)
    await house.refund(order, 700)
    await house.settle(60)
    events = await house.engine.store.events(order.id, "", 500)
    told = [event.body for event in events if event.type == "exception.raised"]
    assert [(item["what"], item["why"]) for item in told] == [("alert", "no login: Client failed.")]
    house.party.login_answer = None
    await house.settle(300)
    assert await house.states(order) == ["succeeded"]


async def test_a_party_that_is_away_opens_the_breaker(house: Guarded) -> None:
    orders = [await house.order(str(n), f"CAPTURE{n}") for n in range(12)]
    house.party.login_answer = Failure(False, "no connection: refused")
    for order in orders:
        await house.refund(order, 700)
    await house.settle(30)
    limit = house.engine.limits[PAYPAL]
    assert limit.open
    assert len(house.party.logins) <= BREAK_AFTER + 6, "then one probe after each pause"
    house.party.login_answer = None
    await house.settle(60)
    assert [await house.states(order) for order in orders] == [["succeeded"]] * 12
    assert not limit.open
