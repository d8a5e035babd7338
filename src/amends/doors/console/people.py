"""Who may sign in: for admins."""

from __future__ import annotations

from amends.core.reasons import Reason, Refused
from amends.doors.console.web import Route, Visit
from amends.doors.problems import STATUS
from amends.engine import people
from amends.engine.asks import Rendered

PEOPLE = "/console/people"


async def page(visit: Visit) -> Rendered:
    return await _page(visit)


async def _page(
    visit: Visit, status: int = 200, wrong: str = "", told: tuple[str, str] | None = None
) -> Rendered:
    """`told`: a login and its one-time password, shown this once."""
    users = await visit.engine.store.users()
    values = {"users": users, "wrong": wrong, "told": told}
    return visit.page("people.html", status, here="people", **values)


async def add(visit: Visit) -> Rendered:
    form = visit.form
    try:
        user, password = await people.add(
            *(visit.engine, visit.actor),
            *(form.get("login", ""), form.get("name", ""), form.get("role", "")),
        )
    except Refused as refused:
        return await _page(visit, STATUS[refused.refusal.reason], refused.refusal.detail)
    return await _page(visit, told=(user.login, password))


async def change(visit: Visit) -> Rendered:
    """Role, reset, disable or enable; nobody does it to themselves, by id or by login."""
    engine, actor = visit.engine, visit.actor
    name, what = visit.path["user"], visit.path["what"]
    try:
        if what == "role":
            await people.set_role(engine, actor, name, visit.form.get("role", ""))
        elif what in ("disable", "enable"):
            await people.set_disabled(engine, actor, name, what == "disable")
        elif what == "reset":
            user, password = await people.reset(engine, actor, name)
            return await _page(visit, told=(user.login, password))
        else:
            raise Refused(Reason.NOT_FOUND, "There is no page at this address.")
    except Refused as refused:
        return await _page(visit, STATUS[refused.refusal.reason], refused.refusal.detail)
    return visit.go(f"{PEOPLE}?done={what}")


ROUTES = (
    Route("GET", PEOPLE, "admin", page),
    Route("POST", PEOPLE, "admin", add),
    Route("POST", f"{PEOPLE}/{{user}}/{{what}}", "admin", change),
)
