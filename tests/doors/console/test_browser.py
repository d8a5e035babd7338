"""The console in a real browser: with JavaScript and without, for eyes, keys and screen readers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Literal

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from amends.engine import people, review_desk
from amends.engine.actions import Caller
from tests.doors.console.browser import OVERFLOW, WIDTHS, enter, open_page, sign_in
from tests.doors.console.scene import Scene
from tests.doors.console.screenshots import HEIGHTS, pages
from tests.doors.console.world import PASSWORD, Person, World

JS = pytest.mark.parametrize("js", [True, False], ids=["js", "no-js"])
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"
TIGHT = SCRIPT.replace(" ", "/")  # an id has no spaces
_numbers = count(1)


@pytest.fixture
def admin(world: World) -> Person:
    return world.person(f"admin{next(_numbers)}", "admin", "Ada Lovelace")


@pytest.fixture
def opened(browser: Browser) -> Iterator[Any]:
    """Opens pages of visitors of their own, and closes them. Whatever a page complains about, or
    any dialog it shows, fails the test."""
    contexts, complaints = [], []

    def open_(js: bool = True, **options: Any) -> Page:
        page = open_page(browser, java_script_enabled=js, **options)
        page.on("console", lambda said: complaints.append(said.text) if _bad(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        contexts.append(page.context)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def _bad(said: Any) -> bool:
    """A status of ours is told by the page; what the policy of the page blocks is not."""
    return said.type == "error" and "status of" not in said.text


@JS
def test_first_sign_in(world: World, opened: Any, js: bool) -> None:
    login = f"new{next(_numbers)}"
    _, once = world.do(people.add(world.engine, "cli:test", login, "New", "agent"))
    page = opened(js)
    page.goto(f"{world.url}/console/refunds")
    assert page.url.startswith(f"{world.url}/console/sign-in")
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(once)
    page.get_by_role("button", name="Go on").click()
    found = _seen(page, "password") if js else []
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill("another one entirely")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("not the same")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_text("I cannot scan it").click()
    found += _seen(page, "enrol") if js else []
    user = world.do(world.engine.store.user_by_login(login))
    assert user is not None
    phone = Person(user, PASSWORD, page.locator("code.secret").inner_text())
    page.get_by_label("The six digits").fill(phone.code())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Refunds", level=1)).to_be_visible()
    assert page.url == f"{world.url}/console/refunds", "it went where it was going"
    if js:
        page.set_viewport_size({"width": 390, "height": 844})
        page.get_by_role("button", name="Menu").click()
        found += _seen(page, "menu")
        page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{world.url}/console/refunds")
    assert "/console/sign-in" in page.url
    sign_in(page, world, phone)
    assert found == []


@JS
def test_a_second_person_approves(world: World, opened: Any, js: bool) -> None:
    asks = world.person(f"asks{next(_numbers)}", "reviewer", "Who Asks")
    decides = world.person(f"decides{next(_numbers)}", "reviewer", "Who Decides")
    number = f"R{next(_numbers)}"
    refund = world.refund(world.order(number), actor=f"person:{asks.user.id}")
    first = opened(js, viewport={"width": 1440, "height": 900})
    sign_in(first, world, asks)
    first.get_by_role("link", name="Reviews").first.click()
    first.get_by_role("link", name=f"Order {number}").click()
    expect(first.get_by_text("You asked for this refund")).to_be_visible()
    first.get_by_role("button", name="Approve 102.00 EUR").click()
    expect(first.get_by_role("alert")).to_contain_text("cannot approve it")
    assert world.rests(refund) == "review"
    second = opened(js, viewport={"width": 1440, "height": 900})
    sign_in(second, world, decides)
    second.goto(f"{world.url}/console/reviews/{refund}")
    expect(second.get_by_text("Who Asks").first).to_be_visible()
    second.get_by_role("button", name="Approve 102.00 EUR").click()
    expect(second.get_by_role("status")).to_contain_text("Approved.")
    assert world.rests(refund) == "succeeded"
    second.goto(f"{world.url}/console/refunds/{refund}")
    expect(second.get_by_text("Who Decides").first).to_be_visible()
    expect(second.locator("h1 .badge")).to_have_text("paid")


@JS
def test_less_is_given(world: World, opened: Any, admin: Person, js: bool) -> None:
    refund = world.refund(world.order(f"R{next(_numbers)}"))
    page = opened(js, viewport={"width": 1440, "height": 900})
    enter(page, world, admin)
    page.goto(f"{world.url}/console/reviews/{refund}")
    for typed in ("12,5", "1e2", "102.01", "-3", "0", "ten", "12.345"):
        page.get_by_label("Only so much").fill(typed)
        page.get_by_role("button", name="Approve 102.00 EUR").click()
        expect(page.get_by_role("alert")).to_contain_text(f"{typed} cannot be given")
    assert world.rests(refund) == "review"
    page.get_by_label("Only so much").fill("40.5")
    page.get_by_label("Why it is right").select_option("goodwill")
    page.get_by_role("button", name="Approve 102.00 EUR").click()
    expect(page.get_by_role("status")).to_contain_text("Approved.")
    order = world.do(world.engine.store.order(world.do(world.engine.store.refund_order(refund))))
    assert [(one.amount, one.stage) for one in order.refunds if one.id != refund] == [
        (4050, "active")
    ]


@JS
def test_a_case_moves_on(world: World, opened: Any, js: bool) -> None:
    refund = world.refund(world.order(f"R{next(_numbers)}"))
    page = opened(js, viewport={"width": 1440, "height": 900})
    enter(page, world, world.person(f"moves{next(_numbers)}", "agent", "Who Moves"))
    here = f"{world.url}/console/reviews/{refund}"
    page.goto(here)
    facts = page.locator("aside .facts").first
    page.get_by_role("button", name="I take it").click()
    expect(facts).to_contain_text("Who Moves")
    page.goto(f"{world.url}/console/reviews?show=mine")
    assert page.locator("[data-row]").count() == 1
    page.goto(here)
    page.get_by_role("button", name="Give it back").click()
    expect(facts).to_contain_text("nobody")
    page.get_by_text("Note something").click()
    page.get_by_label("Note", exact=True).fill(f"seen {SCRIPT}")
    page.get_by_role("button", name="Keep the note").click()
    expect(page.locator(".said").last).to_contain_text(f"seen {SCRIPT}")
    page.get_by_text("Attach a reference").click()
    page.get_by_label("Where it is").fill(f"T-1/{TIGHT}")
    page.get_by_role("button", name="Attach").click()
    expect(page.locator(".said").last).to_contain_text(f"T-1/{TIGHT}")
    page.get_by_text("Ask the customer for more").click()
    page.get_by_label("What is missing").fill("a photo")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(facts).to_contain_text("was asked for more")
    page.get_by_label("Put it off").select_option(label="for three days")
    page.get_by_role("button", name="Put off").click()
    expect(facts).to_contain_text("Put off until")
    page.goto(f"{world.url}/console/reviews?show=snoozed")
    expect(page.locator(f"a[href$='{refund}']")).to_have_count(1)
    page.goto(here)
    page.get_by_text("Hand it up").first.click()
    page.get_by_role("button", name="Hand it up").click()
    expect(facts).to_contain_text("finance")
    enter(page, world, world.person(f"low{next(_numbers)}", "reviewer"))
    page.goto(here)
    page.get_by_role("button", name="Approve 102.00 EUR").click()
    expect(page.get_by_role("alert")).to_contain_text("a higher role")
    assert world.rests(refund) == "review"


@JS
def test_several_are_decided_together(world: World, opened: Any, js: bool) -> None:
    asks = world.person(f"bulk{next(_numbers)}", "reviewer", "Who Asks")
    orders = [world.order(f"B{next(_numbers)}") for _ in range(2)]
    mine = world.refund(orders[0], actor=f"person:{asks.user.id}")
    other = world.refund(orders[1])
    page = opened(js, viewport={"width": 1440, "height": 900})
    enter(page, world, asks)
    for one in (mine, other):
        told = review_desk.Move("assign", who=f"person:{asks.user.id}")
        caller = Caller("person:lead", "person:lead")
        world.do(review_desk.move(world.engine, caller, one, told))
    page.goto(f"{world.url}/console/reviews?show=mine")
    page.get_by_role("button", name="Approve the ticked").click()
    expect(page.get_by_role("alert")).to_contain_text("Tick the refunds")
    for one in (mine, other):
        page.locator(f"[name=pick-{one}]").check()
    page.get_by_role("button", name="Decline the ticked").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose a reason")
    for one in (mine, other):
        page.locator(f"[name=pick-{one}]").check()
    page.get_by_role("button", name="Approve the ticked").click()
    said = page.get_by_role("status")
    expect(said).to_contain_text("not done")
    expect(said).to_contain_text("approved")
    assert world.rests(mine) == "review", "nobody approves what they asked for"
    assert world.rests(other) == "succeeded"


def test_what_was_shown_is_what_is_approved(world: World, opened: Any, admin: Person) -> None:
    refund = world.refund(world.order(f"R{next(_numbers)}"))
    page = opened()
    enter(page, world, admin)
    page.goto(f"{world.url}/console/reviews/{refund}")
    page.eval_on_selector("form[action$=approve] [name=shown]", "field => field.value = 'other'")
    page.get_by_role("button", name="Approve 102.00 EUR").click()
    expect(page.get_by_role("alert")).to_contain_text("not the one that was shown")
    assert world.rests(refund) == "review"


def test_a_double_click_is_one_action(world: World, opened: Any, admin: Person) -> None:
    refund = world.refund(world.order(f"R{next(_numbers)}"))
    page = opened()
    enter(page, world, admin)
    page.goto(f"{world.url}/console/reviews/{refund}")
    twice = """async () => {
      const form = document.querySelector("form[action$=decline]");
      form.reason.value = "no_proof";
      const body = () => new URLSearchParams(new FormData(form));
      const send = () => fetch(form.action, {method: "POST", body: body(), redirect: "manual"});
      return (await Promise.all([send(), send()])).map((answer) => answer.type);
    }"""
    assert page.evaluate(twice) == ["opaqueredirect", "opaqueredirect"], "neither was refused"
    assert world.rests(refund) == "declined"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page(
    world: World, scene: Scene, opened: Any, admin: Person, scheme: Literal["light", "dark"]
) -> None:
    page = opened(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    page.goto(f"{world.url}/console/sign-in")
    found = _seen(page, "sign-in")
    enter(page, world, admin)
    for name, path in pages(scene).items():
        answer = page.goto(world.url + path)
        assert answer is not None and answer.status == 200, f"{name}: {answer}"
        page.wait_for_load_state("load")
        found += _seen(page, name)
    assert found == []


def _seen(page: Page, name: str) -> list[str]:
    """What is wrong with a page for screen readers, and for eyes, on a phone and on a desk."""
    results = Axe().run(page, options={"resultTypes": ["violations"]})
    wrong = [
        f"{name}: {rule['id']}: {node['html'][:120]}"
        for rule in results.response["violations"]
        for node in rule["nodes"]
    ]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        wrong += [f"{name} {width}: {text}" for text in page.evaluate(OVERFLOW)]
    return wrong


@JS
def test_script_in_every_text_is_text(world: World, opened: Any, admin: Person, js: bool) -> None:
    number = f"{SCRIPT}{next(_numbers)}"
    line = {"id": "<b>1</b>", "sku": SCRIPT, "title": SCRIPT, "quantity": 1, "total": 10200}
    body = {
        "source": {"connection": "shop-1", "order_id": number},
        "lines": [line],
        "shipping": [{"id": "s1", "total": 0, "title": SCRIPT}],
        "customer": {"id": SCRIPT, "email": SCRIPT, "name": SCRIPT, "country": "DE"},
    }
    order = world.order(f"X{next(_numbers)}", **body)
    refund = world.refund(order, actor=f"key:{SCRIPT}", note=SCRIPT)
    page = opened(js, viewport={"width": 1440, "height": 900})
    enter(page, world, admin)
    paths = (
        f"reviews/{refund}",
        f"refunds/{refund}",
        f"orders/{order}",
        "reviews",
        "refunds",
        "ledger?account=" + "%3Cscript%3Ealert(3)%3C/script%3E",
        "search?q=" + "%3Cscript%3Ealert(3)%3C/script%3E%22%27",
        "connections?connection=%3Cscript%3E",
        "audit?stream=%3Cscript%3E",
    )
    for path in paths:
        page.goto(f"{world.url}/console/{path}")
        assert page.locator("script:not([src])").count() == 0, path
        assert page.locator("img[onerror]").count() == 0, path
        assert page.locator("main b").count() == 0, path
    page.goto(f"{world.url}/console/reviews/{refund}")
    assert page.locator("main").inner_text().count("<script>alert(1)</script>") >= 5


@JS
def test_a_case_shows_what_else_its_customer_asked_for(
    world: World, opened: Any, admin: Person, js: bool
) -> None:
    """Of other orders, with a way to each and to all the customer's orders."""
    someone = {"customer": {"id": f"c-x{next(_numbers)}", "country": "DE"}}
    first, second = (world.order(f"O{next(_numbers)}", **someone) for _ in range(2))
    small = world.refund(first, reason="not_received", lines=[{"id": "1", "quantity": 1}])
    case = world.refund(second)
    page = opened(js)
    enter(page, world, admin)
    page.goto(f"{world.url}/console/reviews/{case}")
    others = page.get_by_role("heading", name="Refunds of other orders").locator("+ ul li")
    expect(others).to_have_count(1)
    expect(others).to_contain_text("paid, not received")
    others.get_by_role("link").click()
    assert page.url.endswith(f"/refunds/{small}")
    page.goto(f"{world.url}/console/reviews/{case}")
    page.get_by_role("link", name=someone["customer"]["id"]).click()
    rows = page.locator("table.rows tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first.get_by_role("link").nth(1)).to_have_attribute(
        "href", f"/console/refunds/{case}"
    )


def test_a_viewer_sees_nobodys_data_and_no_buttons(world: World, scene: Scene, opened: Any) -> None:
    page = opened(False)
    enter(page, world, world.person(f"viewer{next(_numbers)}", "viewer"))
    for path in (f"reviews/{scene.review}", f"orders/{scene.order}", "refunds", "reviews"):
        page.goto(f"{world.url}/console/{path}")
        for personal in ("someone@example.com", "Robin", "photos of the broken seam"):
            assert personal not in page.content(), path
    page.goto(f"{world.url}/console/reviews/{scene.review}")
    assert page.get_by_role("button", name="Approve").count() == 0
    enter(page, world, world.person(f"agent{next(_numbers)}", "agent"))
    page.reload()
    assert "someone@example.com" in page.content() and "broken seam" in page.content()


def test_a_forged_form_is_refused(world: World, opened: Any, admin: Person, scene: Scene) -> None:
    page = opened()
    enter(page, world, admin)
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    page.goto(f"{world.url}/console/people")
    token = page.locator("form[action='/console/people'] [name=token]").get_attribute("value") or ""
    other = world.person(f"other{next(_numbers)}", "admin")
    page = opened()
    enter(page, world, other)
    page.goto(f"{world.url}/console/people")
    others = page.locator("form[action='/console/people'] [name=token]").get_attribute("value")
    form = {"login": "evil", "name": "Evil", "role": "admin"}
    ours = {"Origin": world.url}

    def post(headers: dict[str, str], **more: Any) -> int:
        to = f"{world.url}/console/people"
        return httpx.post(to, data={**form, **more}, cookies=cookies, headers=headers).status_code

    assert post(ours) == 403, "no token"
    assert post(ours, token="") == 403
    assert post(ours, token=others) == 403, "the token of another session"
    assert post({"Origin": "https://evil.example"}, token=token) == 403, "another origin"
    assert post({"Origin": "null"}, token=token) == 403
    assert post({"Sec-Fetch-Site": "cross-site", **ours}, token=token) == 403
    assert post({"Sec-Fetch-Site": "same-site", **ours}, token=token) == 403
    assert post({}, token=token) == 403, "a browser says where a form comes from"
    assert world.do(world.engine.store.user_by_login("evil")) is None
    assert post(ours, token=token) == 200, "and the real one is taken"


def test_the_queue_is_told_of_changes(world: World, opened: Any, admin: Person) -> None:
    page = opened(viewport={"width": 1440, "height": 900})
    enter(page, world, admin)
    page.goto(f"{world.url}/console/reviews")
    expect(page.get_by_text("Updated as it changes")).to_be_visible()
    number = f"L{next(_numbers)}"
    asked = []
    page.on("request", lambda one: asked.append(one.headers) if "/reviews" in one.url else None)
    world.refund(world.order(number))
    expect(page.get_by_role("link", name=f"Order {number}")).to_be_visible()
    assert asked and all("x-by-itself" in headers for headers in asked)


def test_keys(world: World, opened: Any, admin: Person, scene: Scene) -> None:
    page = opened(viewport={"width": 1440, "height": 900})
    enter(page, world, admin)
    page.goto(f"{world.url}/console")
    page.keyboard.press("f")
    page.wait_for_url(f"{world.url}/console/refunds")
    rows = page.locator("[data-row]")
    page.keyboard.press("j")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("?")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{world.url}/console/refunds/rf_*")
    page.keyboard.press("u")
    page.wait_for_url(f"{world.url}/console/refunds")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("jkf")
    expect(page.locator("#q")).to_have_value("jkf")


@JS
def test_filters_and_pages(
    world: World, opened: Any, admin: Person, scene: Scene, js: bool
) -> None:
    page = opened(js, viewport={"width": 1440, "height": 900})
    enter(page, world, admin)
    page.goto(f"{world.url}/console/refunds")
    page.get_by_label("State").select_option("failed")
    if not js:
        page.get_by_role("button", name="Filter").click()
    expect(page.locator("#list .badge").first).to_have_text("failed")
    assert set(page.locator("#list .badge").all_inner_texts()) == {"failed"}
    page.goto(f"{world.url}/console/refunds")
    first = page.locator("[data-row]").all_inner_texts()
    page.get_by_role("link", name="Next page").click()
    page.wait_for_url("**cursor=**")
    assert not set(first) & set(page.locator("[data-row]").all_inner_texts())


@JS
def test_light_and_dark(world: World, opened: Any, admin: Person, js: bool) -> None:
    page = opened(js, viewport={"width": 1440, "height": 900}, color_scheme="light")
    enter(page, world, admin)
    page.goto(f"{world.url}/console")
    back = "() => getComputedStyle(document.body).backgroundColor"
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(f"{world.url}/console/ledger")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    if js:
        assert page.evaluate(back) == "rgb(18, 21, 22)"
    page.get_by_role("button", name="Auto").click()
    assert page.locator("html").get_attribute("data-theme") is None


def test_the_chart_has_a_table(world: World, scene: Scene, opened: Any, admin: Person) -> None:
    page = opened(viewport={"width": 1440, "height": 900})
    enter(page, world, admin)
    page.goto(f"{world.url}/console")
    expect(page.locator("#chart canvas")).to_be_visible()
    plain = opened(False)
    enter(plain, world, admin)
    plain.goto(f"{world.url}/console")
    assert plain.locator("#chart").is_hidden()
    plain.get_by_text("The figures").click()
    assert plain.locator("#days tbody tr").count() == 30


def test_a_server_stops_while_pages_listen(own_world: World, opened: Any) -> None:
    """`own_world` ends after this: with a stream open, that would take its five minutes."""
    page = opened()
    enter(page, own_world, own_world.person("listens", "viewer"))
    page.goto(f"{own_world.url}/console/reviews")
    expect(page.get_by_text("Updated as it changes")).to_be_visible()
