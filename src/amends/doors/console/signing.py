"""Signing in and out: password, first password, code, enrolment; light and dark."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from amends.core.reasons import Reason, Refused
from amends.doors.console.render import qr
from amends.doors.console.web import (
    SESSION,
    STEP,
    THEME,
    THEMES,
    VISIT,
    Route,
    Visit,
    local,
)
from amends.doors.problems import STATUS
from amends.engine.asks import Rendered
from amends.engine.passwords import SHORTEST, enrolment
from amends.engine.people import Step

YEAR = 365 * 24 * 3600  # seconds
IN = "/console/sign-in"
_TITLES = {"password": "Choose your password", "enrol": "Set up your codes", "code": "Your code"}


async def page(visit: Visit) -> Rendered:
    if visit.user is not None:
        return visit.go(local(visit.query.get("next", "")))
    return _form(visit, visit.query.get("next", ""))


def _form(visit: Visit, back: str, status: int = 200, wrong: str = "", login: str = "") -> Rendered:
    values = {"back": local(back), "wrong": wrong, "login": login}
    return visit.page("sign_in.html", status, **values)


async def enter(visit: Visit) -> Rendered:
    """Login and password."""
    form, back = visit.form, visit.form.get("next", "")
    login = form.get("login", "")
    try:
        step = await visit.doorman.password(login, form.get("password", ""), visit.address)
    except Refused as refused:
        why = refused.refusal
        return _form(visit, back, STATUS[why.reason], why.detail, login[:100])
    return _on(visit, step, back)


def _on(visit: Visit, step: Step, back: str) -> Rendered:
    """To the page of the next step; the browser keeps how far it has come."""
    visit.keep(STEP, visit.doorman.keep(step))
    return visit.go(f"{IN}/{step.next}?next={quote(local(back))}")


def _stepping(
    run: Callable[[Visit, Step, str], Awaitable[Rendered]], wanted: str
) -> Callable[[Visit], Awaitable[Rendered]]:
    """A page of a step; whoever is at another one, or at none any more, is led there."""

    async def handle(visit: Visit) -> Rendered:
        back = local(visit.form.get("next", "") or visit.query.get("next", ""))
        step = await visit.doorman.kept(visit.cookie(STEP))
        if step is None:
            return visit.go(f"{IN}?next={quote(back)}")
        if step.next != wanted:
            return _on(visit, step, back)
        return await run(visit, step, back)

    return handle


async def _step_page(
    visit: Visit, step: Step, back: str, status: int = 200, wrong: str = ""
) -> Rendered:
    picture = qr(enrolment(step.secret, step.user.login)) if step.next == "enrol" else ""
    return visit.page(
        f"{step.next}.html",
        status,
        title=_TITLES[step.next],
        back=back,
        wrong=wrong,
        picture=picture,
        secret=step.secret,
        login=step.user.login,
        shortest=SHORTEST,
    )


async def choose(visit: Visit, step: Step, back: str) -> Rendered:
    """The first password of one's own."""
    password, again = visit.form.get("password", ""), visit.form.get("again", "")
    if password != again:
        return await _step_page(visit, step, back, 422, "The two are not the same; write it again.")
    try:
        return _on(visit, await visit.doorman.new_password(step, password), back)
    except Refused as refused:
        why = refused.refusal
        return await _step_page(visit, step, back, STATUS[why.reason], why.detail)


async def prove(visit: Visit, step: Step, back: str) -> Rendered:
    """A code; the first one also enrols the app that made it."""
    agent = visit.headers.get("user-agent", "")
    try:
        opened = await visit.doorman.code(step, visit.form.get("code", ""), visit.address, agent)
    except Refused as refused:
        why = refused.refusal
        if why.reason is not Reason.UNAUTHENTICATED and why.reason is not Reason.RATE_LIMITED:
            raise
        return await _step_page(visit, step, back, STATUS[why.reason], why.detail)
    for name in (STEP, VISIT):
        visit.keep(name, "")
    visit.keep(SESSION, opened.cookie)
    return visit.go(back)


async def leave(visit: Visit) -> Rendered:
    if visit.session is not None:
        await visit.doorman.sign_out(visit.session)
    visit.keep(SESSION, "")
    return visit.go(IN)


async def switch(visit: Visit) -> Rendered:
    """Light, dark, or as the system has it."""
    wanted = visit.form.get("theme", "")
    if wanted not in THEMES:
        raise Refused(Reason.VALIDATION, "A theme is auto, light or dark.")
    visit.keep(THEME, wanted, YEAR)
    return visit.go(local(visit.form.get("back", "")))


ROUTES = (
    Route("GET", IN, "", page),
    Route("POST", IN, "", enter),
    *(Route("GET", f"{IN}/{name}", "", _stepping(_step_page, name)) for name in _TITLES),
    Route("POST", f"{IN}/password", "", _stepping(choose, "password")),
    Route("POST", f"{IN}/enrol", "", _stepping(prove, "enrol")),
    Route("POST", f"{IN}/code", "", _stepping(prove, "code")),
    Route("POST", "/console/sign-out", "viewer", leave),
    Route("POST", "/console/theme", "", switch),
)
