"""Policies, stops and risk in a real browser: with JavaScript and without."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from amends.engine import risk_shelf
from amends.engine.risk import Loaded
from amends.engine.risk_rows import split
from amends.engine.risk_train import train
from tests.doors.console.browser import enter
from tests.doors.console.scene import Scene
from tests.doors.console.test_browser import JS, SCRIPT, _seen, opened
from tests.doors.console.world import Person, World
from tests.engine.risk_world import made_up

__all__ = ["opened"]
DESK = {"width": 1440, "height": 900}
_numbers = count(1)

TEXT = """name = "{name}"

[[rows]]
id = "large"
when = "refund.amount > 500000"
outcome = "review"

[[rows]]
id = "rest"
when = "true"
outcome = "{outcome}"
"""


@pytest.fixture
def admin(world: World) -> Person:
    return world.person(f"owner{next(_numbers)}", "admin", "Ada Lovelace")


def _editor(page: Page, world: World, text: str) -> None:
    page.goto(f"{world.url}/console/policy")
    page.get_by_label("Text").fill(text)


@JS
def test_a_policy_is_edited_checked_replayed_and_published(
    world: World, scene: Scene, opened: Any, admin: Person, js: bool
) -> None:
    page = opened(js, viewport=DESK)
    enter(page, world, admin)
    name = f"mine-{js}"
    wrong = TEXT.format(name=name, outcome="review").replace("refund.amount >", "refund.price >")
    _editor(page, world, wrong)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("alert")).to_contain_text("line 5, row 1, when")
    expect(page.get_by_label("Text")).to_have_value(wrong)
    assert page.get_by_role("button", name="Publish").count() == 0
    text = TEXT.format(name=name, outcome="review")
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("status")).to_contain_text("2 rows, and nothing wrong")
    page.get_by_role("button", name="Replay").click()
    replay = page.get_by_label("Replay", exact=True)
    expect(replay).to_contain_text("would be decided otherwise")
    assert page.locator("img.plot").evaluate("i => i.complete && i.naturalWidth") > 0
    page.get_by_role("button", name="Try").click()
    assert 1 < page.get_by_label("What it says").locator("tbody tr").count() <= 10
    page.get_by_label("On a refund").fill(scene.paid)
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_label("What it says").locator("tbody tr")).to_have_count(1)
    page.get_by_label("Text").fill(text.replace("500000", "400000"))
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("alert")).to_contain_text("not the one that was checked")
    page.get_by_role("button", name="Check").click()
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("alert")).to_contain_text("Say why")
    page.get_by_role("button", name="Check").click()
    page.get_by_label("Why").fill("everything is looked at")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("status")).to_contain_text("Published")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator("tbody")).to_contain_text("refund.amount > 400000")
    page.goto(f"{world.url}/console/policies")
    expect(page.locator("tbody tr").first).to_contain_text("in force")
    expect(page.locator("tbody tr").first).to_contain_text(name)
    refund = world.refund(world.order(f"P{next(_numbers)}"))
    assert world.rests(refund) == "review"
    page.goto(f"{world.url}/console/reviews/{refund}")
    expect(page.locator(".verdicts")).to_contain_text("does not apply")
    expect(page.locator("pre.code")).to_have_text("true")


@JS
def test_drafts_and_stops(world: World, opened: Any, js: bool) -> None:
    page = opened(js, viewport=DESK)
    enter(page, world, world.person(f"fin{next(_numbers)}", "finance", "Fin"))
    name = f"draft-{js}"
    _editor(page, world, TEXT.format(name=name, outcome="approve"))
    assert page.get_by_text("Publish it").count() == 0, "only admins publish"
    page.get_by_role("button", name="Save, and run beside").click()
    expect(page.get_by_role("status")).to_contain_text("judges every refund beside")
    page.goto(f"{world.url}/console/policies")
    row = page.locator("tr", has_text=name)
    expect(row).to_contain_text("beside")
    page.get_by_role("button", name=f"Drop {name}").click()
    expect(page.get_by_role("status")).to_contain_text("gone")
    page.get_by_label("Stop refunds of").select_option("order")
    page.get_by_label("Why").fill("looks wrong")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("named by")
    order = world.order(f"S{next(_numbers)}", lines=[_line(500)], tenders=[_tender(500, js)])
    page.get_by_label("Stop refunds of").select_option("order")
    page.get_by_label("Its id").fill(order)
    page.get_by_label("Why").fill("looks wrong")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text(order)).to_be_visible()
    refund = world.refund(order)
    assert world.rests(refund) == "review", "it is stopped"
    page.get_by_label("Why it is lifted").fill("it was right")
    page.get_by_role("button", name=f"Lift the stop of order {order}").click()
    expect(page.get_by_role("status")).to_contain_text("Lifted")
    expect(page.get_by_text("Nothing is stopped.")).to_be_visible()


def _line(total: int) -> dict[str, Any]:
    return {"id": "1", "sku": "S", "title": "T", "quantity": 1, "total": total}


def _tender(total: int, js: bool) -> dict[str, Any]:
    named = {"kind": "payment", "connection": "stripe-eu", "psp_payment_id": f"pi_stop_{js}"}
    return {**named, "amount": total, "captured": total}


@JS
def test_a_script_in_the_editor_is_text(world: World, opened: Any, admin: Person, js: bool) -> None:
    page = opened(js, viewport=DESK)
    enter(page, world, admin)
    for text in (f"</textarea>{SCRIPT}", TEXT.format(name="x", outcome="review") + SCRIPT):
        _editor(page, world, text)
        page.get_by_role("button", name="Check").click()
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_label("Text")).to_have_value(text)
    told = f"{SCRIPT} says"
    text = TEXT.format(name="told", outcome="review").replace(
        'id = "large"', f'id = "large"\nsays = "{told}"'
    )
    _editor(page, world, text)
    page.get_by_role("button", name="Save the draft").click()
    page.goto(f"{world.url}/console/policies/told")
    expect(page.locator("tbody")).to_contain_text(told)
    assert page.locator("script:not([src]), img[onerror]").count() == 0


def test_a_long_text_is_refused(world: World, opened: Any, admin: Person) -> None:
    page = opened(False, viewport=DESK)
    enter(page, world, admin)
    page.goto(f"{world.url}/console/policy")
    page.locator("textarea").evaluate("t => t.removeAttribute('maxlength')")
    page.get_by_label("Text").fill("# " + "x" * 300_000)
    page.get_by_role("button", name="Check").click()
    expect(page.locator("main")).to_contain_text("larger")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_the_editor_shows(
    world: World, scene: Scene, opened: Any, admin: Person, scheme: str
) -> None:
    page = opened(viewport=DESK, color_scheme=scheme)
    enter(page, world, admin)
    found = []
    text = TEXT.format(name="seen", outcome="review")
    for button, said in (("Check", text.replace("true", "tru")), ("Try", text), ("Replay", text)):
        _editor(page, world, said)
        page.get_by_role("button", name=button).click()
        page.wait_for_load_state("load")
        found += _seen(page, button)
        page.set_viewport_size(DESK)
    assert found == []


def test_the_risk_of_a_refund(world: World, scene: Scene, opened: Any) -> None:
    page = opened(False, viewport=DESK)
    enter(page, world, world.person(f"looks{next(_numbers)}", "viewer"))
    page.goto(f"{world.url}/console/risk")
    expect(page.get_by_text("scorecard-2").first).to_be_visible()
    page.get_by_label("Refund").fill(scene.review)
    page.get_by_role("button", name="Show what").click()
    expect(page.locator(".columns li")).to_have_count(43)


def test_a_model_judges_and_its_drift_is_reckoned(own_world: World, opened: Any) -> None:
    engine = own_world.engine
    made = train(split(made_up()))
    store, now = engine.store, engine.clock.now()
    words = (store, engine.new_id, now, "cli:test")
    named = own_world.do(risk_shelf.put(*words, (made.text, made.meta)))
    own_world.do(risk_shelf.promote(*words, "champion", named))
    refund = own_world.refund(own_world.order("D1"))
    page = opened(False, viewport=DESK)
    enter(page, own_world, own_world.person("fin", "finance"))
    page.goto(f"{own_world.url}/console/reviews/{refund}")
    name = Loaded(made.text, made.meta).name
    expect(page.get_by_text(name).first).to_be_visible()
    assert page.locator(".bars li").count() > 0, "what each feature adds"
    page.goto(f"{own_world.url}/console/risk")
    expect(page.locator("aside")).to_contain_text(name)
    assert page.get_by_text("The scorecard judges").count() == 0
    page.get_by_role("button", name="Reckon the drift").click()
    rows = page.locator("aside tbody tr")
    expect(rows.first).to_be_visible()
    expect(page.locator("aside")).to_contain_text("Of 1 judgements")
