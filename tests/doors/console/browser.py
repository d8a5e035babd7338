"""A browser for the console's tests: the system's Chromium, or Playwright's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.doors.console.world import Person, World

WIDTHS = (390, 1440)
NAMES = ("chromium", "chromium-browser", "google-chrome")

# What a page may not do: be wider than its window, or hide text that does not fit.
OVERFLOW = """() => {
  const found = [];
  const root = document.documentElement;
  const say = (what, element) =>
    found.push(`${what}: ${element.tagName}.${element.className} ${element.textContent.trim()}`);
  const right = (element) => element.getBoundingClientRect().right;
  if (root.scrollWidth > root.clientWidth) say("wider than the window", root);
  for (const element of document.querySelectorAll("body *")) {
    if (element.closest(".hidden, [hidden], svg, thead")) continue;
    if (!element.getBoundingClientRect().width || element.closest(".scroll, .chart")) continue;
    const cuts = ["hidden", "clip"].includes(getComputedStyle(element).overflowX);
    if (cuts && element.scrollWidth > element.clientWidth + 1) say("cut off", element);
    if (right(element) > root.clientWidth + 1) say("beyond the window", element);
    const card = element.parentElement.closest(".card, .tile, .figures li");
    if (card && right(element) > right(card) + 1) say("beyond its card", element);
  }
  return found;
}"""


def chromium() -> str | None:
    """The system's Chromium; None: Playwright's own, if that is installed."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browsing() -> Iterator[Browser]:
    """One browser, headless."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield launched
        finally:
            launched.close()


def available() -> str:
    """Why there is no browser, "" if there is one."""
    if chromium():
        return ""
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return "" if own.exists() else "no Chromium: apt-get install chromium, or playwright install"


def open_page(browser: Browser, **options: Any) -> Page:
    """A page of a visitor of its own."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(10_000)
    return page


def enter(page: Page, world: World, person: Person) -> None:
    """With a session that has begun already: for tests that are of something else."""
    cookie = world.session(person)
    page.context.add_cookies([{"name": "amends", "value": cookie, "url": world.url}])


def sign_in(page: Page, world: World, person: Person) -> None:
    """As people do: login and password, then the code."""
    world.forget_code(person)
    page.goto(f"{world.url}/console/sign-in")
    page.get_by_label("Login").fill(person.user.login)
    page.get_by_label("Password").fill(person.password)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("The six digits").fill(person.code())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{world.url}/console")
