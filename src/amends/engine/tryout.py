"""One case against one policy: what it would decide, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from amends.core.conditions import Type
from amends.core.explain import marked, options_of
from amends.core.fields import FIELDS, NAMES, TYPES, Value
from amends.core.history import Judged
from amends.core.policy import Policy, Seen, judge
from amends.core.reasons import Reason, Refused
from amends.core.scorecard import Score
from amends.engine.replay import Known, values_of
from amends.engine.wiring import Engine
from amends.kernel.time import Instant

_NOTHING: Mapping[Type, Value] = {"int": 0, "bool": False, "string": "", "strings": ()}
# A case that says no more: small, paid by card, by nobody who is known.
_PLAIN: Mapping[str, Value] = {
    "order.delivered_days": -1,
    "customer.known_days": -1,
    "payment.age_days": -1,
    "order.currency": "EUR",
    "order.entity": "main",
    "lines.units": 1,
    "refund.reason": "return",
    "goods.state": "not_needed",
    "payment.kind": "payment",
    "payment.captured": True,
    "requester.kind": "key",
    "risk.model": "scorecard-2",
}
PLAIN: Mapping[str, Value] = {**{f.name: _NOTHING[f.type] for f in FIELDS}, **_PLAIN}
_KINDS: Mapping[Type, Any] = {"int": int, "bool": bool, "string": str, "strings": tuple[str, ...]}


class Tried(msgspec.Struct):
    """What a policy says of a case. `house`: a person looks by this rule whatever the policy says;
    `assumed` are fields that the policy asks for and the case does not say."""

    outcome: str
    rule: str
    code: str
    says: str
    options: dict[str, Any]
    rows: list[tuple[str, str]]
    reasons: list[str]
    house: str = ""
    assumed: dict[str, Any] = {}


def case_of(given: Mapping[str, Any]) -> dict[str, Value]:
    """The values of a case from those that were given, by field. Raises Refused for what is no
    field or of another type."""
    said: dict[str, Value] = {}
    for name, value in given.items():
        if name not in TYPES:
            raise Refused(
                Reason.VALIDATION,
                f"There is no field {name!r}; `amends policy fields` lists them.",
                pointer=f"/{name}",
            )
        try:
            said[name] = msgspec.convert(value, _KINDS[TYPES[name]])
        except msgspec.ValidationError as error:
            raise Refused(
                Reason.VALIDATION,
                f"The field {name} cannot be {value!r}: {error}.",
                pointer=f"/{name}",
            ) from None
    return {**PLAIN, **said}


def tried(policy: Policy, given: Mapping[str, Any]) -> Tried:
    """What a policy says of a case. Raises Refused."""
    values = case_of(given)
    house = "payment-disputed" if values["dispute.open"] else ""
    found = _judged(policy, values, house)
    asked = {name for _, name in policy.table.fields}
    found.assumed = {n: values[n] for n in NAMES if n in asked and n not in given}
    return found


def tried_again(policy: Policy, versions: Known, judged: Judged) -> Tried:
    """What a policy says of a refund that was judged. Raises Refused where what it was judged by
    is not today's."""
    values = values_of(judged)
    if values is None:
        raise Refused(
            Reason.NOT_FOUND,
            "The refund was judged by a version of amends with other fields; say them as a case.",
        )
    score = Score(judged.score_bp, judged.model)
    return _judged(policy, values, versions.house(judged, values), score)


def _judged(
    policy: Policy, values: Mapping[str, Value], house: str, score: Score | None = None
) -> Tried:
    told = score or Score(int(values["risk.score_bp"]), str(values["risk.model"]))  # type: ignore[arg-type]
    seen = Seen(values, told, house, bool(values["refund.statutory"]))
    verdict, row = judge(seen, policy)
    return Tried(
        verdict.outcome,
        verdict.rule,
        verdict.code,
        verdict.says,
        options_of(row) if row is not None else {},
        list(marked(policy.table, verdict.rows)),
        list(verdict.reasons),
        house if verdict.rule == house else "",
    )


async def judged_of(engine: Engine, refund_id: str) -> Judged:
    """The judgement of a refund. Raises Refused."""
    order_id = await engine.store.refund_order(refund_id)
    order = await engine.store.order(order_id) if order_id else None
    refund = order.refund(refund_id) if order else None
    if refund is None:
        raise Refused(Reason.UNKNOWN_REFUND, refund=refund_id)
    at: Instant = refund.created_at
    after: tuple[Instant, str, str] | None = None
    while page := await engine.store.decisions(at, at + 1, after, 200):
        for one in page:
            if one.refund == refund_id:
                return one
        after = (page[-1].at, page[-1].order, page[-1].refund)
    raise Refused(
        Reason.NOT_FOUND, "Nothing was kept of how this refund was judged: no policy judged it."
    )
