"""Why a refund was decided as it was: one sentence and one structure, the same at every door.

What is told is what was kept with the decision. The row's condition and options are told where the
version of the policy is at hand; without it the rest stands.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from amends.core.order import Refund, Verdict, shown_state
from amends.core.policy import Row, Table
from amends.kernel.money import major

# Rules by which a person looks whatever the policy says, in the order in which they are asked.
HOUSE = {
    "refund-stop": "refunds are stopped here",
    "payment-disputed": "a dispute may take the money",
    "method-not-refundable": "its provider cannot refund this payment method",
    "too-many-refunds": "its provider has refunded the payment as often as it may",
    "past-refund-limit": "the payment is older than its provider refunds",
    "past-refund-window": "the payment may be older than its provider refunds",
    "promotion-lost": "what it loses of a promotion is for a person to say",
    "units-refunded-before": "its shop cancelled units of a line that some were refunded of",
    "units-exchanged": "its shop took other goods into the order for what it cancelled",
    "promotion-waived": "whoever asked leaves the customer a promotion that is lost",
}
# Rules of refunds that amends begins itself.
OWN = {
    "fallback-store-credit": "the money could not go back the way it came; it is given as credit",
    "fallback-manual": "the money could not go back the way it came; a person pays it",
    "approved-less": "a person gave less than was asked for",
}
_CODES = {
    "policy_error": "the row could not be evaluated, and what cannot be is never approved",
    "granted_by_law": "the law grants it, so a score or a history declines nobody",
    "cap_exceeded": "what is left of the cap does not suffice",
    "goods_not_said": "it waits for goods, and the request does not say which are to come back",
    "not_kept_back": "what the row keeps back cannot be taken off what was asked for",
    "needs_consent": "store credit needs the customer's consent, and none is recorded",
}
_DID = {"approve": "Approved", "review": "Sent to a person", "decline": "Declined"}


class Explained(NamedTuple):
    """Why, as a sentence and in parts. `kind` of what decided: "row", "house", "cap" or "own";
    `condition`, `options` and `rows` are of the version that judged: "" and nothing where that is
    not at hand. The sentence is the same with and without it."""

    sentence: str
    kind: str
    rule: str
    condition: str
    options: dict[str, Any]
    rows: tuple[tuple[str, str], ...]


_MARKS = {".": "no", "+": "applies", "!": "error"}


def marked(table: Table, rows: str) -> tuple[tuple[str, str], ...]:
    """Every row's id and verdict; nothing where they are not this table's."""
    if len(rows) != len(table.rows):
        return ()
    return tuple((row.id, _MARKS[m]) for (row, _), m in zip(table.rows, rows, strict=True))


def explained(refund: Refund, currency: str, table: Table | None) -> Explained | None:
    """Why, None where nothing judged it: others made it at the provider."""
    verdict = refund.verdict
    if verdict is None:
        return None
    rows = {row.id: row for row, _ in table.rows} if table else {}
    row = rows.get(verdict.rule)
    kind = _kind(verdict)
    return Explained(
        sentence(refund, currency),
        kind,
        verdict.rule,
        row.when if row else "",
        options_of(row) if row else {},
        marked(table, verdict.rows) if table else (),
    )


_PLAIN = Row("plain", "true", "review")
_OPTIONS = tuple(
    name
    for name in Row.__struct_fields__
    if name not in ("id", "when", "outcome", "reason", "says")
)


def options_of(row: Row) -> dict[str, Any]:
    """What a row says beside its outcome and its reason."""
    return {n: v for n in _OPTIONS if (v := getattr(row, n)) != getattr(_PLAIN, n)}


def _kind(verdict: Verdict) -> str:
    if verdict.code == "cap_exceeded":
        return "cap"
    if verdict.rule in OWN:
        return "own"
    by_house = verdict.rule in HOUSE and verdict.code == verdict.rule.replace("-", "_")
    return "house" if by_house else "row"


def sentence(refund: Refund, currency: str) -> str:
    """Why, in words; "" where nothing judged it."""
    verdict = refund.verdict
    if verdict is None:
        return ""
    amount = f"{major(refund.amount, currency)} {currency}"
    said = f"{_DID[verdict.outcome]}: {_why(verdict)}."
    more = [f"{amount}, risk {verdict.score_bp:,} of 10,000."]
    if refund.awaits:
        more.append("It leaves once the goods are back.")
    if refund.returnless:
        more.append("The goods stay with the customer.")
    if verdict.outcome == "review" and refund.approver:
        other = ", who is not whoever asked" if refund.second_person else ""
        more.append(f"Whoever approves is at least {refund.approver}{other}.")
    elif verdict.outcome == "review" and refund.second_person:
        more.append("Whoever asked may not approve it.")
    if refund.case is not None and refund.case.escalated:
        more.append(f"It was handed up to {refund.case.escalated}.")
    if refund.decided_by and verdict.outcome == "review":
        more.append(f"{refund.decided_by} decided: {shown_state(refund)}.")
    return " ".join([said, *more])


def _why(verdict: Verdict) -> str:
    kind = _kind(verdict)
    if kind == "house":
        return f"{HOUSE[verdict.rule]} (rule {verdict.rule} of the house)"
    if kind == "own":
        return f"{OWN[verdict.rule]} (rule {verdict.rule})"
    if kind == "cap":
        return f"{_CODES[verdict.code]} (cap {verdict.rule})"
    why = _CODES.get(verdict.code, verdict.code.replace("_", " "))
    return f"{why} (row {verdict.rule})" if why else f"row {verdict.rule} applies"
