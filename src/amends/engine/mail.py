"""Customers are told by mail: a notice is rendered in their language, as text and as HTML, and
handed to the shop's mail server.

Who and where is read from `people` at that moment and stored nowhere else; what a server answers
is kept without addresses (I15). A mail whose fate is not known is sent again under the same
Message-ID, by which a mailbox can tell that it has it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiosmtplib
import jinja2
from aiosmtplib import SMTP
from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency

from amends.core.notices import WHATS
from amends.core.outlets import Notice, Telling
from amends.engine.config import ConnectionConfig
from amends.gateways.codecs import blank_people
from amends.gateways.smtp import PORTS, address
from amends.gateways.spec import Settings
from amends.kernel.money import major
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import Clock, Instant, to_datetime
from amends.store.spec import Person, Store

TIMEOUT_SECONDS = 20  # of one step; a server may scan a mail before it takes it
_OWN = Path(__file__).parent / "mails"
_SPOKEN = {  # where there is no doubt; elsewhere it is the connection's language
    **dict.fromkeys(("AT", "DE", "LI"), "de"),
    **dict.fromkeys(("FR", "MC"), "fr"),
    **dict.fromkeys(("AU", "GB", "IE", "NZ", "US"), "en"),
}
_CODE = re.compile(r"([A-Z])(\d)")
_TEXT_MAX = 300
_ANYBODY = Person("main", "c-1", "customer@example.com", "", "", 0)

People = Callable[[str, str], Awaitable[Person | None]]


class BadMails(Exception):
    """A template is missing or wrong; the sentence says which."""


class Mails:
    """The templates of one connection: its own folder first, then those that come with amends."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """`folder` is where the settings are. Renders everything once. Raises BadMails."""
        own = settings.values.get("templates")
        folders = [folder / own] if own else []
        if own and not folders[0].is_dir():
            raise BadMails(f"templates: there is no folder {folders[0]}")
        self._settings = settings
        self._sender = address(settings.values["sender"])
        self._reply_to = settings.values.get("reply_to", "")
        self._texts = _templates([*folders, _OWN], html=False)
        self._pages = _templates([*folders, _OWN], html=True)
        found = {p.name for place in (*folders, _OWN) for p in place.iterdir() if p.is_dir()}
        self.languages = tuple(sorted(found))
        self.language = settings.values.get("language", "en")
        if self.language not in self.languages:
            raise BadMails(f"language: there is no {self.language!r}; {', '.join(self.languages)}")
        self._try_all()

    def _try_all(self) -> None:
        for language in self.languages:
            for what in WHATS:
                try:
                    self.render(sample(what), _ANYBODY, 0, language)
                except jinja2.TemplateNotFound as error:
                    raise BadMails(f"templates: there is no {error}") from None
                except (jinja2.TemplateError, ValueError) as error:
                    raise BadMails(f"templates: {language}/{what}.txt: {error}") from None

    def language_of(self, person: Person) -> str:
        spoken = _SPOKEN.get(person.country.upper(), self.language)
        return spoken if spoken in self.languages else self.language

    def render(
        self, notice: Notice, person: Person, now: Instant, language: str = ""
    ) -> EmailMessage:
        """The whole mail. Raises ValueError for an address that is none."""
        language = language or self.language_of(person)
        values = self._values(notice, person, language)
        text = self._texts.get_template(f"{language}/{notice.what}.txt").render(values)
        subject, _, rest = text.strip().partition("\n")
        values["paragraphs"] = [" ".join(p.split()) for p in rest.split("\n\n") if p.strip()]
        values["subject"] = subject = " ".join(subject.split())
        values["details"] = self._details(values, language)
        message = EmailMessage(policy=WIRE)
        message["From"] = self._sender
        to = address(person.email)
        message["To"] = Address(_plain(person.name), username=to.username, domain=to.domain)
        if self._reply_to:
            message["Reply-To"] = address(self._reply_to)
        message["Subject"] = subject
        message["Date"] = format_datetime(to_datetime(now))
        name = sha256(notice.key.encode()).hexdigest()[:32]
        message["Message-ID"] = f"<{name}@{self._sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office notes back
        plain = self._texts.get_template("layout.txt").render(values).strip() + "\n"
        page = self._pages.get_template("layout.html").render(values)
        message.set_content(plain, cte="quoted-printable")
        message.add_alternative(page, subtype="html", cte="quoted-printable")
        message["Content-Language"] = language
        return message

    def _values(self, notice: Notice, person: Person, language: str) -> dict[str, Any]:
        locale = _locale(language, person.country)
        days = [
            format_date(datetime.date.fromisoformat(day), "long", locale=locale)
            for day in notice.expected
        ]
        return {
            "language": language,
            "shop": self._sender.display_name or self._sender.domain,
            "name": _plain(person.name),
            "amount": amount_text(notice.amount, notice.currency, locale),
            "first": days[0] if days else "",
            "last": days[-1] if days else "",
            "items": [f"{units} × {_plain(title)}" for units, title in notice.items],
            "order": _plain(notice.shop_order) or notice.order,
            "refund": notice.refund,
            "reference": _plain(notice.reference),
            "reason": notice.reason,
            "way": notice.way,
            "what": notice.what,
        }

    def _details(self, values: Mapping[str, Any], language: str) -> list[tuple[str, str]]:
        """Label and value as the language's own file lists them, where there is a value."""
        text = self._texts.get_template(f"{language}/details.txt").render(values)
        pairs = [line.partition("|") for line in text.splitlines() if line.strip()]
        found = [(label.strip(), value.strip()) for label, _, value in pairs]
        return [(label, value) for label, value in found if value]


def amount_text(minor: int, currency: str, locale: Locale) -> str:
    """An amount as people write it there, with as many decimals as it has."""
    text = format_currency(
        Decimal(major(minor, currency)), currency, locale=locale, currency_digits=True
    )
    return _CODE.sub("\\1\u00a0\\2", text)  # as CLDR has it: a code is set apart from the digits


def _locale(language: str, country: str) -> Locale:
    """The language as written in the country, where that is known."""
    try:
        return Locale.parse(f"{language}_{country.upper()}")
    except (UnknownLocaleError, ValueError):
        return Locale.parse(language)


def _templates(folders: list[Path], html: bool) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _plain(text: str) -> str:
    """One line, with nothing in it that a head of a mail could not carry."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_TEXT_MAX]


def sample(what: str) -> Notice:
    """What templates are tried with."""
    return Notice(
        key="sample",
        at=0,
        shop_order="1001",
        customer="c-1",
        refund="rf_1",
        what=what,
        reason="return",
        amount=3200,
        currency="EUR",
        expected=("2026-12-01", "2026-12-08"),
        items=((1, "Tea"),),
        way="visa",
        reference="74000000000",
    )


class Mailer:
    """Sends what the outbox hands it, each over a connection of its own."""

    def __init__(self, mails: Mapping[str, Mails], people: People, clock: Clock) -> None:
        """`mails` by connection; `people` finds a person by entity and id."""
        self._mails, self._people, self._clock = mails, people, clock

    async def send(self, telling: Telling, settings: Settings) -> Outcome:
        """Declined: no repeat would help. Raises nothing but what the store raises."""
        if not isinstance(telling, Notice):
            return Declined("not_a_notice", "A mail server is told notices only.")
        person = await self._people(telling.entity, telling.customer)
        if person is None or not person.email:
            return Declined("no_address", "No address of mail is known of the customer.")
        try:
            message = self._mails[settings.name].render(telling, person, self._clock.now())
        except ValueError:
            return Declined("bad_address", "The customer's address is none that mail could go to.")
        except jinja2.TemplateError as error:
            return Declined("template", f"{type(error).__name__}: {error}")
        return await post(message, settings)


async def post(message: EmailMessage, settings: Settings) -> Outcome:
    """Hand one mail to the server, and say what became of it: until its text is sent nothing has
    happened; after that only the server's word counts."""
    client = _client(settings)
    try:
        refusal = await _envelope(client, message, settings.values)
        return refusal or await _text(client, message)
    finally:
        client.close()


def _client(settings: Settings) -> SMTP:
    values = settings.values
    tls = values.get("tls", "starttls")
    return SMTP(
        hostname=values["host"],
        port=int(values.get("port", PORTS[tls])),
        use_tls=tls == "implicit",
        start_tls=tls == "starttls",
        username=values.get("user"),
        password=values.get("password"),
        timeout=TIMEOUT_SECONDS,
    )


async def _envelope(
    client: SMTP, message: EmailMessage, values: Mapping[str, str]
) -> Outcome | None:
    """From whom and to whom; None where the server takes both."""
    try:
        await client.connect()
        sender, to = message["From"].addresses[0], message["To"].addresses[0]
        wide = not (sender.addr_spec.isascii() and to.addr_spec.isascii())
        if wide:
            await client.ehlo()
        if wide and not client.supports_extension("smtputf8"):
            return Declined("bad_address", "The mail server takes no such address.")
        options, encoding = (["SMTPUTF8"], "utf-8") if wide else ([], "ascii")
        await client.mail(sender.addr_spec, options=options, encoding=encoding)
        await client.rcpt(to.addr_spec, encoding=encoding)
    except aiosmtplib.SMTPRecipientRefused as error:
        said = _said(error.code, error.message)
        # One mailbox asks for patience, not the server: the other mails go on.
        return Declined("recipient_refused", said) if error.code >= 500 else Unknown(said)
    except aiosmtplib.SMTPResponseException as error:
        # Our login or sender is refused: no mail goes until a person has put that right.
        return NotSent(_said(error.code, error.message), alert=error.code >= 500)
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        return NotSent(f"no connection: {type(error).__name__}")
    return None


async def _text(client: SMTP, message: EmailMessage) -> Outcome:
    policy = WIRE if message["To"].addresses[0].addr_spec.isascii() else WIRE.clone(utf8=True)
    try:
        reply = await client.data(message.as_bytes(policy=policy))
    except aiosmtplib.SMTPResponseException as error:
        said = _said(error.code, error.message)
        return Declined("refused", said) if error.code >= 500 else Unknown(said)
    except (aiosmtplib.SMTPException, OSError) as error:
        return Unknown(f"lost after the text: {type(error).__name__}")
    return Accepted(reference=_said(reply.code, reply.message))


def _said(code: int, text: str) -> str:
    """A server's sentence, without the addresses that many repeat in it."""
    return f"{code} {blank_people(_plain(text))}".strip()


def mailers(
    store: Store, connections: Mapping[str, ConnectionConfig], folder: Path, clock: Clock
) -> dict[str, Mailer]:
    """Who sends the mails of the connections, by gateway. Raises BadMails."""
    mine = [c.settings for c in connections.values() if c.settings.gateway == "smtp"]
    mails = {settings.name: Mails(settings, folder) for settings in mine}
    return {"smtp": Mailer(mails, store.person, clock)} if mails else {}
