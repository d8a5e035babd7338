"""Asking Tryton, one request at a time: the REST user application of trytond 8 (`/rest/model/…`),
its JSON for decimals and dates, and what its answers mean.

Read from trytond 8.2's own source (protocols/rest.py, protocols/wrappers.py): a sentence for people
comes with status 400, a lock that was not had with 503, and in both nothing was done.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from amends.gateways.codecs import Json, Malformed, blank_cards, text, whole
from amends.gateways.spec import Failure, Request, Response, Settings
from amends.gateways.wire import form, retry_after
from amends.kernel.money import major
from amends.kernel.outcome import Declined, NotSent, Outcome, Unknown

Asks = Generator[Request, "Response | Failure", Json]
Lists = Generator[Request, "Response | Failure", list[Json]]
Does = Generator[Request, "Response | Failure", None]
Names = Generator[Request, "Response | Failure", int]

_TEXT_MAX = 300  # characters of a sentence worth keeping
_TAGS = re.compile(r"<[^>]*>")
_BUSY = (429, 503)


class Stopped(Exception):
    """The conversation ends here, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


def declined(code: str, sentence: str) -> Stopped:
    """No repeat would help; a person must."""
    return Stopped(Declined(code, blank_cards(sentence)[:_TEXT_MAX]))


class Company(msgspec.Struct, frozen=True):
    """Whose books it is, and their currency, by Tryton's ids."""

    id: int
    currency: str
    currency_id: int


class Erp(msgspec.Struct, frozen=True):
    """One connection. Without a company, requests are made in none."""

    settings: Settings
    company: Company | None = None

    @property
    def of(self) -> Company:
        """The company; whoever talks has looked it up."""
        return self.company or Company(0, "", 0)

    def setting(self, name: str) -> str:
        """An optional setting, "" if it was left out."""
        return self.settings.values.get(name, "")

    def named(self, table: str, *names: str) -> str:
        """The first of `names` that a table of the settings has an entry for, as what it says."""
        entries = self.settings.tables.get(table, {})
        return next((entries[name] for name in names if entries.get(name)), "")


# -- requests ----------------------------------------------------------------------------------


def find(
    erp: Erp, model: str, domain: list[Any], *fields: str, limit: int = 0, order: str = ""
) -> Lists:
    """The records a domain is true of, in the order they were made."""
    query = [("d", _packed(domain)), *(("f", field) for field in fields)]
    query.append(("o", _packed([[order or "id", "DESC" if order else "ASC"]])))
    if limit:
        query.append(("s", str(limit)))
    answer = yield _request(erp, "GET", f"{model}?{form(query)}")
    found = _read(answer)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Malformed(f"{model} is no list of records")
    return found


def get(erp: Erp, model: str, record: int, *fields: str) -> Asks:
    """One record that is there."""
    asked = form(("f", field) for field in fields)
    return _object((yield _request(erp, "GET", f"{model}/{record}?{asked}")), model)


def create(erp: Erp, model: str, values: Json) -> Asks:
    """A new record. Tryton runs no on_change for it: what a form would fill in is in `values`."""
    return _object((yield _request(erp, "POST", f"{model}?f=id", values)), model)


def write(erp: Erp, model: str, record: int, values: Json) -> Does:
    """Fields of a record, written."""
    _read((yield _request(erp, "PUT", f"{model}/{record}?f=id", values)))


def delete(erp: Erp, model: str, record: int) -> Does:
    """A record, gone."""
    _read((yield _request(erp, "DELETE", f"{model}/{record}")))


def press(erp: Erp, model: str, record: int, button: str, *fields: str) -> Asks:
    """A button of a record, pressed, and what the record says then."""
    asked = form(("f", field) for field in ("id", *fields))
    return _object((yield _request(erp, "POST", f"{model}/{record}/{button}?{asked}", {})), model)


def call(
    erp: Erp, model: str, method: str, body: Json
) -> Generator[Request, Response | Failure, Any]:
    """A method of a model that is open to everybody, and what it says."""
    return _read((yield _request(erp, "POST", f"{model}/{method}", body)))


def has_login(erp: Erp) -> bool:
    """Whether the settings have a login, which wizards need."""
    return bool(erp.setting("rpc_user") and erp.setting("rpc_password"))


def wizard(erp: Erp, name: str, model: str, ids: list[int]) -> Does:
    """A wizard that asks nothing, run over these records. Wizards are not in REST; this is the
    `/rpc/` of Tryton's own clients, with a name and a password."""
    context = {"company": erp.of.id, "active_model": model, "active_ids": ids, "active_id": ids[0]}
    made = yield from _rpc(erp, f"wizard.{name}.create", {"company": erp.of.id})
    if not isinstance(made, list) or len(made) < 2 or not isinstance(made[0], int):
        raise Malformed(f"the wizard {name} is none")
    done = yield from _rpc(erp, f"wizard.{name}.execute", made[0], {}, made[1], context)
    yield from _rpc(erp, f"wizard.{name}.delete", made[0], context)
    if isinstance(done, dict) and "view" in done:
        raise declined("wizard", f"The wizard {name} asks a person: do it by hand in Tryton.")


def signed_in(erp: Erp) -> Does:
    """Raises Stopped if name and password of the settings are not right."""
    yield from _rpc(erp, "model.res.user.get_preferences", True, {})


def _rpc(erp: Erp, method: str, *params: Any) -> Generator[Request, Response | Failure, Any]:
    login = f"{erp.setting('rpc_user')}:{erp.setting('rpc_password')}"
    try:
        head = (
            ("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}"),
            ("Content-Type", "application/json"),
        )
        body = msgspec.json.encode({"id": 1, "method": method, "params": params})
    except UnicodeEncodeError as error:
        raise declined("unwritable", "a setting holds half a character") from error
    url = f"{erp.settings.base_url.rstrip('/')}/rpc/"
    said = _object((yield Request("POST", url, head, body)), method)
    if refused := said.get("error"):
        words = refused[1] if isinstance(refused, list) and len(refused) > 1 else refused
        told = [one for one in words if isinstance(one, str)] if isinstance(words, list) else []
        raise declined("rpc", " ".join(told) or f"Tryton refused {method}")
    return said.get("result")


def _request(erp: Erp, method: Any, path: str, body: Json | None = None) -> Request:
    # What a form would warn of (a due date that has passed, taxes other than the product's) is as
    # it was sold; nobody sits there to say yes.
    context: Json = {"_skip_warnings": True}
    if erp.company:
        context["company"] = erp.company.id
    head = [
        ("Authorization", f"Bearer {erp.settings.values.get('api_key', '')}"),
        ("X-Tryton-Context", _packed(context)),
    ]
    raw = b""
    if body is not None:
        head.append(("Content-Type", "application/json"))
        try:
            raw = msgspec.json.encode(body)
        except UnicodeEncodeError as error:
            raise declined("unwritable", "a text holds half a character") from error
    url = f"{erp.settings.base_url.rstrip('/')}/rest/model/{path}"
    return Request(method, url, tuple(head), raw)


def _packed(value: Any) -> str:
    try:
        return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode()
    except UnicodeEncodeError as error:
        raise declined("unwritable", "a name holds half a character") from error


# -- answers -----------------------------------------------------------------------------------


def _read(answer: Response | Failure) -> Any:
    """What was answered, decoded. Raises Stopped for anything but an answer, and Malformed."""
    if isinstance(answer, Failure):
        known = Unknown(answer.reason) if answer.sent else NotSent(answer.reason)
        raise Stopped(known)
    if answer.status == 204:
        return {}
    if 200 <= answer.status < 300:
        try:
            return msgspec.json.decode(answer.body) if answer.body else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed("the answer is not JSON") from error
    raise Stopped(_refusal(answer))


def _refusal(answer: Response) -> Outcome:
    said = _sentence(answer.body) or f"Tryton answered {answer.status}"
    if answer.status in _BUSY:
        return NotSent(said, retry_after=retry_after(answer))
    if answer.status in (401, 403, 404):
        return NotSent(f"{said} ({answer.status}: key, database or rights)", alert=True)
    if 400 <= answer.status < 500 and answer.status not in (408, 425):
        return Declined(f"http_{answer.status}", said)
    return Unknown(said, alert=answer.status == 500, retry_after=retry_after(answer))


def _sentence(body: bytes) -> str:
    """What people are to read in an error, without card numbers or markup."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = _TAGS.sub(" ", body[:4000].decode("utf-8", "replace"))
    else:
        fields = said if isinstance(said, dict) else {}
        found = " ".join(filter(None, (text(fields, "message"), text(fields, "description"))))
    return blank_cards(" ".join(found.split()))[:_TEXT_MAX]


def _object(answer: Response | Failure, model: str) -> Json:
    found = _read(answer)
    if not isinstance(found, dict):
        raise Malformed(f"{model} is no record")
    return found


def record_id(record: Mapping[str, Any]) -> int:
    """The id of a record. Raises Malformed."""
    found = whole(dict(record), "id")
    if found is None or found < 0:
        raise Malformed("a record without an id")
    return found


def link(record: Json, field: str) -> int:
    """The id of the record that a field leads to; 0 if it leads to none."""
    target = record.get(field)
    return record_id(target) if isinstance(target, dict) and target.get("id") is not None else 0


def through(record: Json, *fields: str) -> Json:
    """The record that a row of fields leads to; empty if one of them leads nowhere."""
    for field in fields:
        target = record.get(field)
        record = target if isinstance(target, dict) else {}
    return record


def rows(record: Json, field: str) -> list[Json]:
    """The records of a list; none if there is no list."""
    found = record.get(field)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


# -- values ------------------------------------------------------------------------------------


def decimal(value: str) -> Json:
    """A number as Tryton writes it."""
    return {"__class__": "Decimal", "decimal": value}


def money(minor: int, currency: str) -> Json:
    """An amount as Tryton writes it: in major units."""
    return decimal(major(minor, currency))


def date(day: str) -> Json:
    """A day (YYYY-MM-DD) as Tryton writes it. Raises Stopped."""
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", day, re.ASCII)
    if not found:
        raise declined("unwritable", f"{day!r} is no day")
    year, month, number = (int(one) for one in found.groups())
    return {"__class__": "date", "year": year, "month": month, "day": number}


def number(record: Json, field: str) -> Decimal:
    """A decimal of a record; 0 if there is none. Raises Malformed."""
    value = record.get(field)
    if isinstance(value, dict):
        value = value.get("decimal")
    if value is None:
        return Decimal(0)
    try:
        found = Decimal(str(value))
    except InvalidOperation as error:
        raise Malformed(f"{field} is no number") from error
    if not found.is_finite():
        raise Malformed(f"{field} is no number")
    return found


def add(ids: Iterable[int]) -> list[Any]:
    """How a list field takes records in."""
    return [["add", list(ids)]]


# -- what is looked up by its name -----------------------------------------------------------------


def company(erp: Erp) -> Generator[Request, Response | Failure, Erp]:
    """The connection with its company: the one that is named, or the only one. Raises Stopped."""
    name = erp.setting("company")
    domain = [["party.name", "=", name]] if name else []
    found = yield from find(erp, "company.company", domain, "currency.code", limit=2)
    if len(found) != 1:
        which = f"no company {name!r}" if name else f"{len(found) or 'no'} companies or more"
        raise declined("company", f"Tryton shows this user {which}: set `company` to its name.")
    currency = through(found[0], "currency")
    its = Company(record_id(found[0]), text(currency, "code"), record_id(currency))
    return Erp(erp.settings, its)


def one(erp: Erp, model: str, domain: list[Any], *fields: str, missing: str) -> Asks:
    """The one record a domain is true of. Raises Stopped with `missing` if there is none, or
    several."""
    found = yield from find(erp, model, domain, *fields, limit=2)
    if len(found) != 1:
        several = " There is more than one." if found else ""
        raise declined(model.rpartition(".")[2], missing + several)
    return found[0]


def account(erp: Erp, said: str) -> Asks:
    """An account by its code or its name. Raises Stopped."""
    domain = [["company", "=", erp.of.id], ["OR", ["code", "=", said], ["name", "=", said]]]
    missing = f"Tryton has no account {said!r} of this company, by code or name."
    return (yield from one(erp, "account.account", domain, "party_required", missing=missing))


def account_name(erp: Erp, *ours: str) -> str:
    """What the settings call one of our accounts: of it alone, else of its kind."""
    names = [name for own in ours for name in (own, own.partition(":")[0])]
    return erp.named("accounts", *names)


def journal(erp: Erp, setting: str, kind: str) -> Names:
    """The journal a setting names by code or name; without it, the first of its kind. Raises
    Stopped."""
    said = erp.setting(setting)
    domain: list[Any] = [["type", "=", kind]]
    if said:
        domain = [["OR", ["code", "=", said], ["name", "=", said]]]
    found = yield from find(erp, "account.journal", domain, limit=1)
    if not found:
        raise declined("journal", f"Tryton has no journal {said or kind!r}: set `{setting}`.")
    return record_id(found[0])


def today(erp: Erp) -> Generator[Request, Response | Failure, str]:
    """The day it is in Tryton (YYYY-MM-DD). Raises Malformed."""
    said = yield from call(erp, "ir.date", "today", {})
    parts = [said.get(one) for one in ("year", "month", "day")] if isinstance(said, dict) else []
    year, month, day = parts if len(parts) == 3 else (None, None, None)
    if not (isinstance(year, int) and isinstance(month, int) and isinstance(day, int)):
        raise Malformed("today is no day")
    return f"{year:04}-{month:02}-{day:02}"


def period(erp: Erp, day: str, state: str = "") -> Names:
    """The period a day is in, in that state if one is asked for. Raises Stopped."""
    inside = [
        ["company", "=", erp.of.id],
        ["type", "=", "standard"],
        ["start_date", "<=", date(day)],
        ["end_date", ">=", date(day)],
    ]
    if state:
        inside.append(["state", "=", state])
    found = yield from find(erp, "account.period", inside, limit=1)
    if not found:
        which = f"{state} period" if state else "period"
        raise declined("period", f"Tryton has no fiscal year with a {which} for {day}.")
    return record_id(found[0])


def currency(erp: Erp, code: str) -> Names:
    """A currency by its code. Raises Stopped."""
    if code == erp.of.currency:
        return erp.of.currency_id
    missing = f"Tryton does not know the currency {code}."
    return record_id(
        (yield from one(erp, "currency.currency", [["code", "=", code]], missing=missing))
    )


def party(erp: Erp) -> Asks:
    """The party of sales that Tryton does not know, by its code or name. Raises Stopped."""
    said = erp.setting("party")
    if not said:
        raise declined(
            "party", "Tryton does not know whose sale this is: set `party` to a party for such."
        )
    domain = ["OR", ["code", "=", said], ["name", "=", said]]
    missing = f"Tryton has no party {said!r}."
    fields = ("addresses.id", "account_receivable.id")
    return (yield from one(erp, "party.party", domain, *fields, missing=missing))
