"""Pictures of every mail in every language, on a phone and on a screen, for people to look at:
`python -m tests.engine.mail_pictures` writes them to docs/images/mails."""

from __future__ import annotations

import asyncio
import shutil
from html import escape
from pathlib import Path

from msgspec.structs import replace
from playwright.async_api import async_playwright

from amends.core.notices import WHATS
from amends.engine.mail import Mails, sample
from amends.gateways.spec import Settings
from amends.store.spec import Person

PAGE = Path(__file__).resolve().parents[2] / "docs" / "images" / "mails"
WIDTHS = {390: 900, 700: 780}  # and how high the longest mail is there
SHOP = Settings(
    name="mail",
    gateway="smtp",
    values={"host": "localhost", "sender": "Tea & Sons <service@tea.example>"},
)
NOTICE = replace(
    sample("refund_sent"),
    refund="rf_01kazq4w8c9d2m5x7h3v6t1b0e",
    items=((2, "Darjeeling First Flush, 250 g"), (1, "Cast-iron teapot")),
)
REASONS = {"out_of_stock": "out_of_stock", "out_of_stock_uncharged": "out_of_stock"}
COUNTRY = {"de": "DE", "en": "GB", "fr": "FR"}


def sheet(language: str, width: int, height: int) -> str:
    """All mails of a language, side by side."""
    mails = Mails(SHOP, Path())
    person = Person("main", "c-1", "ada@example.com", "Ada Lovelace", COUNTRY[language], 0)
    frames = []
    for what in WHATS:
        notice = replace(NOTICE, what=what, reason=REASONS.get(what, "damaged"))
        page = mails.render(notice, person, 0).get_body(("html",))
        assert page is not None
        source = escape(page.get_content(), quote=True)
        frames.append(f'<iframe srcdoc="{source}" width="{width}" height="{height}"></iframe>')
    style = f"body{{margin:8px;width:{5 * (width + 12)}px}}iframe{{border:0;margin:4px}}"
    return f"<!doctype html><style>{style}</style>{''.join(frames)}"


async def draw() -> None:
    PAGE.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for language in COUNTRY:
            for width, height in WIDTHS.items():
                size = {"width": 5 * (width + 12) + 20, "height": 2 * height + 40}
                page = await browser.new_page(viewport=size)  # type: ignore[arg-type]
                await page.set_content(sheet(language, width, height))
                await page.screenshot(path=PAGE / f"{language}-{width}.png", full_page=True)
                await page.close()
        await browser.close()


if __name__ == "__main__":
    asyncio.run(draw())
