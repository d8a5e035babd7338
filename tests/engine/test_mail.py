"""Mails: what is written, in whose language, and what a mail server's answers mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from aiosmtpd import smtp as catching
from msgspec.structs import replace

from amends.core.notices import WHATS
from amends.core.outlets import Happened
from amends.core.requests import RefundReason
from amends.engine.mail import BadMails, Mailer, Mails, sample
from amends.gateways import smtp
from amends.gateways.spec import Settings
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.store.spec import Person
from tests.engine import faulty
from tests.engine.lab import START, HandClock

LANGUAGES = ("de", "en", "fr")
ADA = Person("main", "c-1", "ada@example.com", "Ada Lovelace", "DE", 0)
VALUES = {"host": "127.0.0.1", "sender": "Tea & Sons <service@tea.example>", "tls": "none"}
SHOP = Settings(name="mail", gateway="smtp", values=VALUES)


@cache
def mails(**values: str) -> Mails:
    return Mails(replace(SHOP, values=VALUES | values), Path())


def parts(message: EmailMessage) -> tuple[str, str]:
    text, page = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert page is not None
    return text.get_content(), page.get_content()


# --- what is written ------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("what", WHATS)
def test_every_mail_says_what_how_much_and_which_order(what: str, language: str) -> None:
    for reason in get_args(RefundReason):
        notice = replace(sample(what), reason=reason, reference="")
        message = mails().render(notice, ADA, START, language)
        text, page = parts(message)
        for said in (text, page):
            assert "32" in said
            assert "1001" in said
            assert "1 × Tea" in said
            assert "Ada Lovelace" in said
            assert not re.search(r"\{[{%]|\bNone\b|Undefined| [.,] ", said)
        assert message["Subject"]
        assert "Tea & Sons" in text
        assert "Tea &amp; Sons" in page
        assert page.count("<html lang=") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_reason_sets_the_tone(language: str) -> None:
    texts = {
        reason: parts(
            mails().render(replace(sample("refund_succeeded"), reason=reason), ADA, 0, language)
        )[0]
        for reason in get_args(RefundReason)
        if reason != "fraud"
    }
    assert len(set(texts.values())) == len(texts)


def test_the_language_is_the_countrys_else_the_shops() -> None:
    shop = mails(language="fr")
    for country, language in (("de", "de"), ("US", "en"), ("CH", "fr"), ("", "fr")):
        message = shop.render(sample("declined"), replace(ADA, country=country), 0)
        assert message["Content-Language"] == language


@pytest.mark.parametrize(
    ("minor", "currency", "country", "said"),
    [
        (123456, "EUR", "DE", "1.234,56 €"),
        (123456, "EUR", "GB", "€1,234.56"),
        (1234, "JPY", "GB", "JP¥1,234"),
        (1234567, "KWD", "US", "KWD 1,234.567"),
        (123456, "EUR", "FR", "1 234,56 €"),
    ],
)
def test_amounts_are_written_as_they_are_there(
    minor: int, currency: str, country: str, said: str
) -> None:
    notice = replace(sample("refund_sent"), amount=minor, currency=currency)
    text, _ = parts(mails().render(notice, replace(ADA, country=country), 0))
    assert said in re.sub("[\u00a0\u202f]", " ", text)


def test_the_same_notice_is_the_same_message_and_asks_for_no_answer() -> None:
    one, two = (mails().render(sample("refund_sent"), ADA, at) for at in (START, START + 10**9))
    other = mails().render(replace(sample("refund_sent"), key="another"), ADA, START)
    assert one["Message-ID"] == two["Message-ID"] != other["Message-ID"]
    assert one["Message-ID"].endswith("@tea.example>")
    assert one["Auto-Submitted"] == "auto-generated"
    assert one["To"] == "Ada Lovelace <ada@example.com>"
    assert "Reply-To" not in one
    asked = mails(reply_to="help@tea.example").render(sample("declined"), ADA, START)
    assert asked["Reply-To"] == "help@tea.example"


def test_what_a_stranger_typed_is_text_and_nothing_more() -> None:
    person = replace(ADA, name="Eve\r\nBcc: all@example.com <b>{{ amount }}</b>")
    notice = replace(
        sample("refund_sent"), items=((1, "<img src=x>"),), shop_order="1\r\nX-Evil: 1"
    )
    message = mails().render(notice, person, 0)
    raw = message_from_bytes(message.as_bytes(), policy=policy.default)
    assert raw["Bcc"] is None
    assert raw["X-Evil"] is None
    _, page = parts(message)
    assert "<img" not in page
    assert "<b>" not in page
    assert "{{ amount }}" in page


def test_a_mail_without_dates_items_or_a_reference_is_whole() -> None:
    notice = replace(sample("refund_succeeded"), expected=(), items=(), reference="", way="")
    for language in LANGUAGES:
        text, _ = parts(mails().render(notice, replace(ADA, name=""), 0, language))
        assert "2026" not in text
        labels = [line for line in text.splitlines() if re.fullmatch(r"[\w ]+ ?: .+", line)]
        assert len(labels) == 3


def test_own_templates_come_first(tmp_path: Path) -> None:
    (tmp_path / "mine" / "en").mkdir(parents=True)
    (tmp_path / "mine" / "en" / "declined.txt").write_text("No, {{ name }}\n\nNot {{ amount }}.")
    shop = Mails(replace(SHOP, values=VALUES | {"templates": "mine"}), tmp_path)
    message = shop.render(sample("declined"), replace(ADA, country="GB"), 0)
    assert message["Subject"] == "No, Ada Lovelace"
    assert "Not €32.00." in parts(message)[0]
    assert shop.render(sample("refund_sent"), ADA, 0)["Subject"].startswith("Ihre")


@pytest.mark.parametrize("text", ["{{ amout }}", "{% if %}", "{% include 'nowhere.txt' %}"])
def test_a_wrong_template_is_found_at_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "declined.txt").write_text(text)
    with pytest.raises(BadMails, match="templates"):
        Mails(replace(SHOP, values=VALUES | {"templates": "."}), tmp_path)


def test_a_folder_and_a_language_must_be_there() -> None:
    with pytest.raises(BadMails, match="there is no folder"):
        mails(templates="nowhere")
    with pytest.raises(BadMails, match="there is no 'tlh'; de, en, fr"):
        mails(language="tlh")


# --- what a server's answers mean -----------------------------------------------------------------


class Catcher:
    """A mail server's rules: an answer of its own to each step, where the test gives one."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.caught: list[EmailMessage] = []
        self.drop = False
        self.to: list[str] = []

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if "mail" not in self.answers:
            envelope.mail_from = address
        return self.answers.get("mail", "250 OK")

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if "rcpt" not in self.answers:
            envelope.rcpt_tos.append(address)
        return self.answers.get("rcpt", "250 OK")

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.caught.append(message_from_bytes(envelope.content, policy=policy.default))
        self.to += envelope.rcpt_tos
        if self.drop:
            server.transport.abort()
        return self.answers.get("data", "250 2.0.0 kept as 4711")


@asynccontextmanager
async def serving(catcher: Catcher) -> AsyncIterator[Settings]:
    made: list[catching.SMTP] = []

    def make() -> catching.SMTP:
        made.append(catching.SMTP(catcher, enable_SMTPUTF8=True, loop=asyncio.get_running_loop()))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    port = str(server.sockets[0].getsockname()[1])
    try:
        yield replace(SHOP, values=VALUES | {"port": port})
    finally:
        server.close()
        for one in made:
            if one.transport is not None:
                one.transport.close()


async def send(settings: Settings, person: Person | None = ADA, telling: Any = None) -> Outcome:
    async def people(entity: str, name: str) -> Person | None:
        assert (entity, name) == ("main", "c-1")
        return person

    mailer = Mailer({"mail": mails()}, people, HandClock())
    return await mailer.send(telling or sample("refund_succeeded"), settings)


async def test_a_mail_arrives_whole() -> None:
    catcher = Catcher()
    async with serving(catcher) as settings:
        outcome = await send(settings)
        again = await send(settings)
    assert outcome == again == Accepted(reference="250 2.0.0 kept as 4711")
    first, second = catcher.caught
    assert catcher.to == ["ada@example.com"] * 2
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Subject"].startswith("Wir haben Ihnen 32,00")
    text, page = parts(first)
    assert "auf Ihre Karte" in text
    assert "auf Ihre Karte" in page


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ({"mail": "421 too busy"}, NotSent("421 too busy")),
        ({"mail": "550 not you"}, NotSent("550 not you", alert=True)),
        ({"rcpt": "450 greylisted"}, Unknown("450 greylisted")),
        (
            {"rcpt": "550 <ada@example.com>: nobody"},
            Declined("recipient_refused", "550 <[address]>: nobody"),
        ),
        ({"data": "451 later"}, Unknown("451 later")),
        ({"data": "554 spam"}, Declined("refused", "554 spam")),
    ],
)
async def test_what_a_server_says(answers: dict[str, str], outcome: Outcome) -> None:
    async with serving(Catcher(**answers)) as settings:
        assert await send(settings) == outcome


async def test_lost_after_the_text_nobody_knows() -> None:
    catcher = Catcher()
    catcher.drop = True
    async with serving(catcher) as settings:
        assert isinstance(await send(settings), Unknown)
    assert len(catcher.caught) == 1


async def test_nobody_there_nothing_sent() -> None:
    port = faulty.nobody().rpartition(":")[2]
    outcome = await send(replace(SHOP, values=VALUES | {"port": port}))
    assert isinstance(outcome, NotSent)


async def test_no_text_leaves_without_the_tls_that_was_asked_for() -> None:
    catcher = Catcher()
    async with serving(catcher) as settings:
        outcome = await send(replace(settings, values=settings.values | {"tls": "starttls"}))
    assert isinstance(outcome, NotSent)
    assert catcher.caught == []


@pytest.mark.parametrize(
    ("person", "code"),
    [
        (None, "no_address"),
        (replace(ADA, email=""), "no_address"),
        (replace(ADA, email="ada"), "bad_address"),
        (replace(ADA, email="ada@example.com\r\nRCPT TO:<x@example.com>"), "bad_address"),
        (replace(ADA, email="ada@example.com, eve@example.com"), "bad_address"),
    ],
)
async def test_without_an_address_a_person_is_told(person: Person | None, code: str) -> None:
    catcher = Catcher()
    async with serving(catcher) as settings:
        outcome = await send(settings, person)
    assert isinstance(outcome, Declined)
    assert outcome.code == code
    assert "ada" not in outcome.text
    assert catcher.caught == []


async def test_an_address_in_another_script_is_reached() -> None:
    catcher = Catcher()
    async with serving(catcher) as settings:
        assert isinstance(await send(settings, replace(ADA, email="björn@example.com")), Accepted)
    assert catcher.to == ["björn@example.com"]


async def test_only_notices_are_mailed() -> None:
    event = Happened(key="e", at=0, type="refund.created", body="{}")
    assert isinstance(await send(SHOP, telling=event), Declined)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, ""),
        ({"tls": "implicit", "user": "u", "password": "p", "port": "465"}, ""),
        ({"sender": "Tea"}, "sender: 'Tea' is not an address of mail; write"),
        ({"reply_to": "a@b"}, "reply_to: 'a@b' is not an address"),
        ({"tls": "yes"}, "tls is starttls, implicit or none"),
        ({"port": "x"}, "port is a number"),
        ({"port": "70000"}, "port is a number"),
        ({"user": "u"}, "user and password go together"),
        ({"user": "u", "password": "p"}, "a password goes only over TLS"),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, str], said: str) -> None:
    found = smtp.trouble(replace(SHOP, values=VALUES | values))
    assert found.startswith(said) if said else not found
