"""What people could do to the console by forms and addresses that no page of ours sends."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from amends.core.decide import HANDLERS
from amends.core.facts import CaseMoved
from amends.core.order import Order
from amends.doors.console.routes import ROUTES
from amends.engine import desk, people
from amends.engine.people import IDLE
from amends.kernel.time import MINUTE
from tests.doors.conftest import order_body
from tests.doors.console.door import Door, send

ALERT = re.compile(r'role="alert">([^<]*)')


async def waiting(door: Door, number: str = "1001") -> str:
    """A refund in review."""
    order = await door.shop.order(number, f"pi_{number}")
    found = await door.shop.refund({"order": order, "reason": "damaged"})
    assert found["state"] == "review"
    return str(found["id"])


async def state(door: Door, refund: str) -> str:
    return str((await door.shop.call("GET", f"/v1/refunds/{refund}")).json()["state"])


async def acted(browser: httpx.AsyncClient, refund: str, name: str, **form: str) -> httpx.Response:
    return await send(browser, f"/console/refunds/{refund}/{name}", key="k1", **form)


def alert(answer: httpx.Response) -> str:
    return " ".join(ALERT.findall(answer.text))


# -- people --------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["reset", "role", "disable"])
async def test_nobody_changes_themselves_by_their_login_either(door: Door, what: str) -> None:
    """A session that was stolen would otherwise become a password."""
    await door.user("eve", "admin")
    browser, _ = await door.settled("ada", "admin")
    answer = await send(browser, f"/console/people/ada/{what}", role="viewer")
    assert (answer.status_code, alert(answer)) == (409, "Another admin has to do this to you.")
    assert 'class="secret"' not in answer.text
    user = await door.engine.store.user_by_login("ada")
    assert user is not None and (user.role, user.disabled_at, bool(user.totp)) == ("admin", 0, True)


async def test_two_admins_cannot_take_the_role_from_each_other(door: Door) -> None:
    ids = [(await door.user(login, "admin"))[0] for login in ("ada", "eve")]
    tries = (people.set_role(door.engine, "cli:test", name, "viewer") for name in ids)
    await asyncio.gather(*tries, return_exceptions=True)
    roles = [user.role for user in await door.engine.store.users()]
    assert sorted(roles) == ["admin", "viewer"]


async def test_a_page_that_listens_keeps_nobody_signed_in(door: Door) -> None:
    """What a page asks for by itself is no sign that anybody sits before it."""
    browser, _ = await door.settled("ada", "viewer")
    listens = [route for route in ROUTES if route.by_itself]
    assert [route.path for route in listens] == ["/console/events"]
    for _ in range(IDLE // (5 * MINUTE)):
        door.clock.ahead += 5 * MINUTE
        await browser.get("/console/reviews", headers={"X-By-Itself": "1"})
    assert (await browser.get("/console")).status_code == 303


# -- where one is led ----------------------------------------------------------------------------


async def test_all_of_where_one_wanted_to_go_is_kept(door: Door) -> None:
    wanted = "/console/customers?entity=main&id=c%261"
    browser = door.browser()
    answer = await browser.get(wanted)
    page = await browser.get(answer.headers["location"])
    found = re.search(r'name="next" value="([^"]*)"', page.text)
    assert found and found[1].replace("&amp;", "&") == wanted


@pytest.mark.parametrize(
    ("asked", "led"),
    [
        ("/console/policy/check", "/console/policy"),
        ("/console/refunds/rf_1/approve", "/console/refunds/rf_1"),
        ("/console/people/usr_1/reset", "/console/people"),
        ("/console/stops/stop_1/lift", "/console"),
        ("/console/sign-out", "/console"),
    ],
)
async def test_where_forms_are_sent_is_a_page_of_ours(door: Door, asked: str, led: str) -> None:
    """After a refused form its address is the page's, and colours are changed by coming back."""
    browser, _ = await door.settled("ada", "admin")
    answer = await send(browser, "/console/theme", theme="dark", back=asked)
    assert answer.headers["location"] == asked
    answer = await browser.get(asked)
    assert (answer.status_code, answer.headers["location"]) == (303, led)
    assert (await browser.get("/console")).status_code == 200, "still signed in"


async def test_who_is_signed_in_is_not_asked_to_sign_in_over_a_wrong_address(door: Door) -> None:
    browser, _ = await door.settled()
    for query in ("state=a&state=b", "state=%ff", "state=%00"):
        answer = await browser.get(f"/console/refunds?{query}")
        assert (answer.status_code, "To the overview" in answer.text) == (400, True), query


ROLE_OF = {
    "": """GET /sign-in; POST /sign-in; GET /sign-in/password; GET /sign-in/enrol;
        GET /sign-in/code; POST /sign-in/password; POST /sign-in/enrol; POST /sign-in/code;
        POST /theme; GET /static/{name}""",
    "viewer": """POST /sign-out; GET ; GET /refunds; GET /refunds/{refund}; GET /orders/{order};
        GET /search; GET /reviews; GET /reviews/{refund}; GET /policies; GET /policies/{name};
        GET /risk; GET /ledger; GET /connections; GET /deliveries; GET /audit; GET /events""",
    "agent": """GET /customers; POST /refunds/{refund}/cancel; POST /refunds/{refund}/retry;
        POST /refunds/{refund}/case""",
    "reviewer": """POST /refunds/{refund}/approve; POST /refunds/{refund}/decline;
        POST /refunds/{refund}/payout; POST /reviews; POST /connections/{connection}/enable;
        POST /deliveries/{order}/{number}/retry; POST /deliveries/{order}/{number}/drop""",
    "finance": """POST /policies/{name}/drop; GET /policy; POST /policy/check; POST /policy/draft;
        POST /policy/shadow; POST /policy/try; POST /policy/replay; POST /stops;
        POST /stops/{name}/lift; POST /risk/drift; POST /audit/verify""",
    "admin": """POST /orders/{order}/unpark; POST /policy/publish; GET /people; POST /people;
        POST /people/{user}/{what}""",
}


def test_every_route_has_the_role_it_should() -> None:
    """Said once more, so that no role is lowered by one word."""
    found: dict[str, set[str]] = {role: set() for role in ROLE_OF}
    for route in ROUTES:
        found[route.role].add(f"{route.method} {route.path.removeprefix('/console')}".strip())
    assert found == {
        role: {one.strip() for one in said.split(";")} for role, said in ROLE_OF.items()
    }


# -- decisions -----------------------------------------------------------------------------------


async def test_nothing_is_approved_that_was_not_shown(door: Door) -> None:
    refund = await waiting(door)
    browser, _ = await door.settled("ada", "reviewer")
    answer = await acted(browser, refund, "approve", reason="as_asked")
    assert (answer.status_code, "not the one that was shown" in alert(answer)) == (409, True)
    together = {f"pick-{refund}": "", "decide": "approve", "key": "k2"}
    answer = await send(browser, "/console/reviews", **together)
    assert "not the one that was shown" in answer.text
    assert await state(door, refund) == "review"


async def test_nothing_is_paid_by_hand_that_was_not_shown(door: Door) -> None:
    old: Any = order_body("1002", "pi_2") | {"placed_at": "2020-01-01T00:00:00Z"}
    old["tenders"][0]["method"] = "bacs_debit"
    order = (await door.shop.call("POST", "/v1/orders", old)).json()["id"]
    refund = str((await door.shop.refund({"order": order, "reason": "damaged"}))["id"])
    browser, _ = await door.settled("ada", "reviewer")
    answer = await acted(browser, refund, "payout", reference="SEPA-1", way="transfer")
    assert (answer.status_code, "not the one that was shown" in alert(answer)) == (409, True)
    assert await state(door, refund) == "review"


async def test_the_button_says_what_will_happen(door: Door) -> None:
    """Not that money leaves at once, where it does not."""
    name = await waiting(door)
    order_id = await door.engine.store.refund_order(name)
    order = await door.engine.store.order(order_id or "")
    refund = order.refund(name) if order else None
    assert order is not None and refund is not None
    (leg,) = refund.legs
    for changed, said in (
        (refund, "The money leaves at once"),
        (replace(refund, small=True), "it is owed from then on"),
        (replace(refund, legs=(replace(leg, destination="store_credit"),)), "as store credit"),
        (replace(refund, legs=(replace(leg, kind="void"),)), "is released at once"),
    ):
        approve = desk.acts_of(order, changed)[0]
        assert (approve.name, said in approve.will) == ("approve", True), approve.will


async def test_a_case_is_handed_up_and_never_down(door: Door) -> None:
    refund = await waiting(door)
    shown = (await door.shop.call("GET", f"/v1/refunds/{refund}")).json()
    browser, _ = await door.settled("ada", "reviewer")
    for key, role, status in (("a", "admin", 303), ("b", "finance", 409), ("c", "reviewer", 409)):
        form = {"key": key, "what": "escalate", "role": role, "from": "case"}
        answer = await send(browser, f"/console/refunds/{refund}/case", **form)
        assert answer.status_code == status, role
    assert "handed up to admin already" in alert(answer)
    said = {"shown": shown["shown"], "reason": "as_asked", "from": "case"}
    answer = await acted(browser, refund, "approve", **said)
    assert answer.status_code == 403


async def test_no_name_of_anybody_stands_on_the_trail_as_a_reference(door: Door) -> None:
    """I15: what people write goes beside the chain, as a note."""
    refund = await waiting(door)
    browser, _ = await door.settled("ada", "agent")
    form = {"key": "k1", "what": "attach", "reference": "photo of Mrs. Smith", "from": "case"}
    answer = await send(browser, f"/console/refunds/{refund}/case", **form)
    assert (answer.status_code, "an id without spaces" in alert(answer)) == (422, True)
    body = {"what": "assign", "who": "Mrs. Smith"}
    told = await door.shop.call("POST", f"/v1/refunds/{refund}/case", body)
    assert told.status_code == 422
    timeline = (await door.shop.call("GET", f"/v1/refunds/{refund}/timeline")).text
    assert "Smith" not in timeline


async def test_what_is_kept_for_a_stopped_order_is_not_told_as_done(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    refund = await waiting(door)
    shown = (await door.shop.call("GET", f"/v1/refunds/{refund}")).json()["shown"]
    order = (await door.shop.call("GET", f"/v1/refunds/{refund}")).json()["order"]

    def broken(*args: object) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch:
        patch.setitem(HANDLERS, CaseMoved, broken)
        body = {"what": "note", "note": "x"}
        await door.shop.call("POST", f"/v1/refunds/{refund}/case", body)
    parked: Order | None = await door.engine.store.order(order)
    assert parked is not None and parked.parked
    browser, _ = await door.settled("ada", "reviewer")
    form = {f"pick-{refund}": shown, "decide": "approve", "key": "k1"}
    answer = await send(browser, "/console/reviews", **form)
    assert "not done" in answer.text and "The order is stopped" in answer.text


async def test_as_many_are_decided_together_as_a_page_has(door: Door) -> None:
    """The page of what waits for goods has up to 200."""
    browser, _ = await door.settled("ada", "reviewer")
    form = {f"pick-rf_{n}": "sha256:x" for n in range(200)}
    answer = await send(browser, "/console/reviews", decide="approve", key="k1", **form)
    assert answer.status_code == 200, alert(answer)
    assert answer.text.count("No such refund is known here") == 200


# -- stops ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "key", "says"),
    [
        ("order", "1001", "There is no order 1001 here"),
        ("connection", "strip-eu", "There is no connection strip-eu"),
        ("customer", "c-999", "Nothing is known of a customer c-999"),
    ],
)
async def test_a_stop_that_would_hold_nothing_is_not_told_as_one(
    door: Door, scope: str, key: str, says: str
) -> None:
    await door.shop.order()
    browser, _ = await door.settled("ada", "finance")
    answer = await send(browser, "/console/stops", scope=scope, key=key, why="abuse")
    assert (answer.status_code, says in alert(answer)) == (422, True), alert(answer)
    assert await door.engine.store.stops(True) == []


async def test_a_stop_of_what_is_known_is_set(door: Door) -> None:
    order = await door.shop.order()
    browser, _ = await door.settled("ada", "finance")
    named = (("order", order), ("connection", "stripe-eu"), ("customer", "c-1"), ("all", ""))
    for scope, key in named:
        answer = await send(browser, "/console/stops", scope=scope, key=key, why="abuse")
        assert answer.status_code == 303, scope
    assert len(await door.engine.store.stops(True)) == len(named)


# -- what is not known ---------------------------------------------------------------------------


async def test_a_quiet_connection_is_not_told_as_never_heard(door: Door) -> None:
    """Only the newest messages are looked at, so that nothing older is known."""
    browser, _ = await door.settled()
    page = (await browser.get("/console/connections?connection=shop-1")).text
    assert "among the newest 5,000" in page and "None of it is among them." in page
    assert re.search(r"<dt>Last message</dt><dd>none among them</dd>", page)
