"""Pictures of every page, for the documentation: run it as a module, with a folder."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

from amends.doors import examples
from amends.engine import people, policies
from tests.doors.conftest import ENVIRONMENT
from tests.doors.console.browser import OVERFLOW, WIDTHS, browsing, open_page, sign_in
from tests.doors.console.scene import Scene, furnish
from tests.doors.console.world import PASSWORD, Person, World, served

POLICY = {"auto_approve_up_to": 10000, "second_person": True}
NEW = ("Annie Jump", "Dorothy Vaughan", "Katherine Johnson", "Mary Jackson")
HEIGHTS = {390: 844, 1440: 900}


def pages(scene: Scene) -> dict[str, str]:
    """Every page of the console, by the name of its picture."""
    return {
        "overview": "/console",
        "reviews": "/console/reviews",
        "case": f"/console/reviews/{scene.review}",
        "refunds": "/console/refunds",
        "refund": f"/console/refunds/{scene.paid}",
        "failed": f"/console/refunds/{scene.failed}",
        "order": f"/console/orders/{scene.order}",
        "customer": f"/console/customers?entity=main&id={scene.customer}",
        "search": "/console/search?q=no-such-thing",
        "policies": "/console/policies",
        "policy": "/console/policies/current",
        "editor": "/console/policy?like=apparel",
        "risk": f"/console/risk?refund={scene.review}",
        "ledger": "/console/ledger",
        "connections": "/console/connections",
        "deliveries": "/console/deliveries",
        "audit": "/console/audit?stream=system:people",
        "people": "/console/people",
    }


def shoot(world: World, browser: Browser, who: Person, scene: Scene, folder: Path) -> list[str]:
    """All pages, narrow and wide, light and dark; what overflows."""
    found = []
    names = iter(NEW)
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        for width in WIDTHS:
            size = {"width": width, "height": HEIGHTS[width]}
            page = open_page(browser, viewport=size, color_scheme=scheme)
            page.goto(f"{world.url}/console/sign-in")
            page.screenshot(path=folder / f"console-sign-in-{width}-{scheme}.png")
            _first_steps(world, page, next(names), folder, f"{width}-{scheme}")
            sign_in(page, world, who)
            for name, path in pages(scene).items():
                page.goto(world.url + path)
                page.wait_for_load_state("load")
                found += [f"{name} {width} {scheme}: {text}" for text in page.evaluate(OVERFLOW)]
                file = folder / f"console-{name}-{width}-{scheme}.png"
                page.screenshot(path=file, full_page=True)
            page.goto(f"{world.url}/console/policy?like=electronics")
            page.get_by_role("button", name="Replay").click()
            page.wait_for_load_state("load")
            found += [f"replay {width} {scheme}: {text}" for text in page.evaluate(OVERFLOW)]
            page.screenshot(path=folder / f"console-replay-{width}-{scheme}.png")
            page.context.close()
    return found


def _first_steps(world: World, page: Page, name: str, folder: Path, size: str) -> None:
    """The pages of somebody's first sign-in."""
    login = name.split(maxsplit=1)[0].lower()
    _, once = world.do(people.add(world.engine, "cli:pictures", login, name, "viewer"))
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(once)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("New password").fill(PASSWORD)
    page.screenshot(path=folder / f"console-password-{size}.png")
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.locator(".qr").wait_for()
    page.screenshot(path=folder / f"console-enrol-{size}.png")


def decide_by(world: World) -> None:
    """A policy of a trade in force, a draft beside it, and a stop."""
    engine, who = world.engine, "cli:ada"
    apparel, subscriptions = (
        policies.parse(examples.text(name).encode(), "toml")
        for name in ("apparel", "subscriptions")
    )
    world.do(policies.publish(engine, who, apparel, why="the first of our own"))
    world.do(policies.put_draft(engine, who, subscriptions, shadow=True))
    world.do(policies.set_stop(engine, who, "customer", "c-104", "three cards in a week"))


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(ENVIRONMENT)
    with (
        tempfile.TemporaryDirectory() as place,
        served(Path(place), policy=POLICY) as world,
        browsing() as browser,
    ):
        scene = furnish(world)
        decide_by(world)
        who = world.person("ada", "admin", "Ada Lovelace")
        found = shoot(world, browser, who, scene, folder)
    print("\n".join(found) or "Nothing overflows.")


if __name__ == "__main__":
    main()
