"""Who is let in, for how long, and to what: over HTTP, without a browser."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pyotp
import pytest
from argon2 import PasswordHasher, Type

from amends.core.reasons import Refused
from amends.doors.console.acting import ACTS
from amends.doors.console.routes import ROUTES
from amends.doors.console.web import CSP
from amends.engine import desk, passwords, people
from amends.engine.people import FREE_FROM_PLACE, FREE_TRIES, HOLDS, IDLE, LOCKED, ROLES
from amends.kernel.time import MINUTE, SECOND
from tests.doors.conftest import Opening
from tests.doors.console.conftest import NOBODYS
from tests.doors.console.door import GOOD, Door, see, send


def test_passwords_cost_what_they_should() -> None:
    """The library's own choice: RFC 9106, section 4, the second recommended option."""
    hasher = PasswordHasher()
    found = (hasher.type, hasher.time_cost, hasher.memory_cost, hasher.parallelism)
    assert found == (Type.ID, 3, 64 * 1024, 4)
    source = Path(passwords.__file__).read_text()
    assert "_hasher = PasswordHasher()\n" in source


async def test_a_one_time_password_lets_nobody_further(door: Door) -> None:
    _, once = await door.user()
    browser = door.browser()
    answer = await send(browser, "/console/sign-in", login="Ada ", password=once)
    assert answer.headers["location"] == "/console/sign-in/password?next=/console"
    assert (await browser.get("/console/refunds")).status_code == 303
    assert (await see(browser, "code")).headers["location"].startswith("/console/sign-in/password")
    for weak in ("short", "ada ada ada ada", "aaaaaaaaaaaaaaaa", once):
        answer = await send(browser, "/console/sign-in/password", password=weak, again=weak)
        assert answer.status_code == 422, weak


async def test_signed_in_with_a_new_cookie_and_out(door: Door) -> None:
    browser, secret = await door.settled()
    before = browser.cookies["amends"]
    assert (await browser.get("/console")).status_code == 200
    door.clock.ahead += MINUTE
    again = door.browser()
    again.cookies.set("amends", before, domain="localhost")
    await send(door.browser(), "/console/sign-in", login="ada", password=GOOD)
    second = door.browser()
    await send(second, "/console/sign-in", login="ada", password=GOOD)
    answer = await send(second, "/console/sign-in/code", code=door.code(secret))
    assert answer.headers["location"] == "/console", answer.text
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("amends="))
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert second.cookies["amends"] != before
    await send(browser, "/console/sign-out")
    assert (await browser.get("/console")).status_code == 303
    assert (await again.get("/console")).status_code == 303, "the cookie is worth nothing now"
    assert (await second.get("/console")).status_code == 200, "the other sign-in goes on"


async def test_only_the_hash_of_a_session_is_stored(door: Door) -> None:
    browser, _ = await door.settled()
    cookie = browser.cookies["amends"]
    assert await door.engine.store.session(cookie) is None
    assert await door.engine.store.session(people._hash(cookie)) is not None


async def test_a_code_counts_once(door: Door) -> None:
    _, secret = await door.settled()
    browser = door.browser()
    await send(browser, "/console/sign-in", login="ada", password=GOOD)
    used = door.code(secret)
    answer = await send(browser, "/console/sign-in/code", code=used)
    assert answer.status_code == 401 and "used before" in answer.text
    door.clock.ahead += MINUTE
    assert (await send(browser, "/console/sign-in/code", code=used)).status_code == 401
    answer = await send(browser, "/console/sign-in/code", code=door.code(secret))
    assert answer.status_code == 303


async def test_two_at_once_cannot_use_one_code(door: Door) -> None:
    await door.settled()
    user = await door.engine.store.user_by_login("ada")
    assert user is not None
    step = user.totp_step + 1
    secret = people.Vault(door.engine.config.console.key).open(user.totp, f"totp {user.id}") or ""
    code = pyotp.TOTP(secret).at(step * passwords.STEP_SECONDS)
    doorman = people.Doorman(door.engine, people.Vault(door.engine.config.console.key))
    door.clock.ahead += passwords.STEP_SECONDS * SECOND
    tries = (doorman.code(people.Step(user, "code"), code, "10.0.0.1", "") for _ in range(3))
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["Opened", "Refused", "Refused"]


async def test_a_session_ends_by_idleness_and_by_age(door: Door) -> None:
    browser, _ = await door.settled()
    begun = door.clock.ahead
    while door.clock.ahead - begun < HOLDS - IDLE:
        door.clock.ahead += IDLE - MINUTE
        assert (await browser.get("/console")).status_code == 200
    door.clock.ahead = begun + HOLDS - MINUTE
    assert (await browser.get("/console")).status_code == 200
    door.clock.ahead = begun + HOLDS
    assert (await browser.get("/console")).status_code == 303
    other, _ = await door.settled("eve")
    door.clock.ahead += IDLE
    assert (await other.get("/console")).status_code == 303


@pytest.mark.parametrize("login", ["ada", "nobody"])
async def test_wrong_passwords_lock_alike_whether_there_is_such_a_login(
    door: Door, login: str
) -> None:
    await door.user()
    browser = door.browser()
    said = []
    for _ in range(FREE_TRIES + 2):
        answer = await send(browser, "/console/sign-in", login=login, password="wrong")
        said.append((answer.status_code, re.findall(r'role="alert">([^<]*)', answer.text)))
    wrong = (401, ["This login or this password is wrong."])
    locked = (429, ["Too many tries. Wait 15 minutes and sign in again."])
    assert said == [wrong] * FREE_TRIES + [locked] * 2


async def test_a_lock_holds_for_the_right_password_and_ends(door: Door) -> None:
    _, once = await door.user()
    browser = door.browser()
    for _ in range(FREE_TRIES + 1):
        await send(browser, "/console/sign-in", login="ada", password="wrong")
    right = {"login": "ada", "password": once}
    assert (await send(browser, "/console/sign-in", **right)).status_code == 429
    door.clock.ahead += LOCKED
    assert (await send(browser, "/console/sign-in", **right)).status_code == 303


async def test_an_address_is_locked_over_all_logins_but_not_by_good_sign_ins(door: Door) -> None:
    _, once = await door.user()
    browser = door.browser()
    right = {"login": "ada", "password": once}
    doorman = people.Doorman(door.engine, people.Vault(door.engine.config.console.key))
    for _ in range(FREE_FROM_PLACE):
        await doorman.password("ada", once, "127.0.0.1")
    assert (await send(browser, "/console/sign-in", **right)).status_code == 303
    for number in range(FREE_FROM_PLACE):
        with pytest.raises(Refused, match="wrong"):
            await doorman.password(f"nobody{number}", "wrong", "127.0.0.1")
    assert (await send(browser, "/console/sign-in", **right)).status_code == 429
    await doorman.password("ada", once, "127.0.0.2")


async def test_many_tries_at_once_are_counted_too(door: Door) -> None:
    await door.user()
    doorman = people.Doorman(door.engine, people.Vault(door.engine.config.console.key))
    tries = (doorman.password("ada", "wrong", f"10.0.0.{n}") for n in range(12))
    found = await asyncio.gather(*tries, return_exceptions=True)
    reasons = [one.refusal.reason.value for one in found if isinstance(one, Refused)]
    assert (
        sorted(reasons) == ["rate_limited"] * (12 - FREE_TRIES) + ["unauthenticated"] * FREE_TRIES
    )


async def test_wrong_codes_lock_too(door: Door) -> None:
    _, secret = await door.settled()
    door.clock.ahead += MINUTE
    browser = door.browser()
    await send(browser, "/console/sign-in", login="ada", password=GOOD)
    found = [
        (await send(browser, "/console/sign-in/code", code="000000")).status_code
        for _ in range(FREE_TRIES + 1)
    ]
    assert found == [401] * FREE_TRIES + [429]
    answer = await send(browser, "/console/sign-in/code", code=door.code(secret))
    assert answer.status_code == 429


async def test_a_step_of_the_sign_in_ends(door: Door) -> None:
    _, once = await door.user()
    browser = door.browser()
    await send(browser, "/console/sign-in", login="ada", password=once)
    kept = browser.cookies["amends-step"]
    await people.reset(door.engine, "cli:test", "ada")
    assert "sign-in?next" in (await see(browser, "password")).headers["location"]
    browser.cookies.set("amends-step", kept[:-4] + "AAAA", domain="localhost")
    assert "sign-in?next" in (await see(browser, "password")).headers["location"]
    _, once = await door.user("eve")
    await send(browser, "/console/sign-in", login="eve", password=once)
    assert (await see(browser, "password")).status_code == 200
    door.clock.ahead += people.STEP_HOLDS
    assert "sign-in?next" in (await see(browser, "password")).headers["location"]


@pytest.mark.parametrize("what", ["disable", "role", "reset"])
async def test_sessions_end_when_their_user_changes(door: Door, what: str) -> None:
    browser, _ = await door.settled()
    if what == "disable":
        await people.set_disabled(door.engine, "cli:test", "ada", True)
    elif what == "role":
        await people.set_role(door.engine, "cli:test", "ada", "agent")
    else:
        await people.reset(door.engine, "cli:test", "ada")
    assert (await browser.get("/console")).status_code == 303
    answer = await send(door.browser(), "/console/sign-in", login="ada", password=GOOD)
    assert answer.status_code == (303 if what == "role" else 401)


async def test_a_disabled_user_has_no_session_and_no_password(door: Door) -> None:
    """Whatever is left of theirs."""
    browser, _ = await door.settled()
    user = await door.engine.store.user_by_login("ada")
    assert user is not None
    await door.engine.store.change_user(user.id, {"disabled_at": 1})
    assert (await browser.get("/console")).status_code == 303
    for login in ("ada", "nobody"):
        answer = await send(door.browser(), "/console/sign-in", login=login, password=NOBODYS)
        assert answer.status_code == 401


async def test_the_last_admin_stays(door: Door) -> None:
    first, _ = await door.user("ada", "admin")
    with pytest.raises(Refused, match="last admin"):
        await people.set_disabled(door.engine, "cli:test", first, True)
    with pytest.raises(Refused, match="last admin"):
        await people.set_role(door.engine, "cli:test", first, "viewer")
    await door.user("eve", "admin")
    await people.set_role(door.engine, "cli:test", first, "viewer")


@pytest.mark.parametrize("role", ROLES)
async def test_roles_are_checked_for_every_route(door: Door, role: str) -> None:
    browser, _ = await door.settled("who", role)
    values = {"refund": "rf_1", "order": "ord_1", "user": "usr_1", "what": "reset", "name": "x"}
    values |= {"number": "1", "connection": "hooks"}
    for route in ROUTES:
        if not route.role or route.path in ("/console/events", "/console/sign-out"):
            continue
        path = route.path.format(**values)
        if route.method == "GET":
            answer = await browser.get(path)
        else:
            answer = await send(browser, path)
        allowed = ROLES.index(role) >= ROLES.index(route.role)
        assert (answer.status_code != 403) == allowed, f"{route.method} {path}"
        nobody = door.browser()
        answer = await nobody.request(route.method, path)
        assert answer.headers["location"].startswith("/console/sign-in"), path


def test_buttons_and_routes_name_the_same_roles() -> None:
    acts = [value for value in vars(desk).values() if isinstance(value, desk.Act)]
    assert {act.name for act in acts} == set(ACTS)
    assert {act.name: act.role for act in acts} == {name: role for name, (role, _) in ACTS.items()}


async def test_every_answer_is_protected(door: Door) -> None:
    browser, _ = await door.settled()
    paths = ("/console", "/console/sign-in", "/console/static/console.css", "/console/none")
    for path in (*paths, "/console/refunds/rf_none", "/console/people"):
        headers = (await browser.get(path)).headers
        assert headers["content-security-policy"] == CSP, path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
    page = (await browser.get("/console")).text
    assert not re.search(r"<script(?! src=)|<style|\son\w+=|\sstyle=", page)


async def test_elsewhere_cookies_are_for_tls_only(door: Door) -> None:
    browser = door.browser()
    answer = await browser.get("/console/sign-in", headers={"Host": "refunds.example.com"})
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["set-cookie"].startswith("__Host-amends-visit=")


async def test_the_trail_of_people_names_nobody(door: Door) -> None:
    browser, _ = await door.settled("grace.hopper", "admin")
    await send(door.browser(), "/console/sign-in", login="grace.hopper", password="wrong")
    await send(door.browser(), "/console/sign-in", login="mallory", password="wrong")
    await send(browser, "/console/sign-out")
    told = await door.events()
    assert [kind for kind, _ in told] == [
        *("user.added", "user.changed", "user.changed", "sign_in.done"),
        *("sign_in.failed", "sign_in.failed", "sign_out.done"),
    ]
    assert not re.search("grace|hopper|mallory|wrong", repr(told), re.IGNORECASE)


@pytest.mark.parametrize(
    "back",
    [
        *("https://evil.example/", "//evil.example", "/console/../../evil", "/\\evil.example"),
        *("/consolex", "javascript:alert(1)", "/console/refunds\r\nSet-Cookie: a=b"),
    ],
)
async def test_nobody_is_led_elsewhere(door: Door, back: str) -> None:
    browser, _ = await door.settled()
    answer = await browser.get("/console/sign-in", params={"next": back})
    assert answer.headers["location"] == "/console"


async def test_without_a_key_there_is_no_console(opening: Opening) -> None:
    async with opening() as shop:
        answer = await shop.client.get("/console")
        assert answer.status_code == 404 and "amends init" in answer.text
