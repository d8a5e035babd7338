"""States, reasons and events in words, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amends.kernel.time import rfc3339

STATES = {
    "review": "in review",
    "requires_action": "customer must act",
    "awaiting_funds": "awaiting funds",
    "awaiting_return": "awaiting return",
    "unknown": "outcome unknown",
    "succeeded": "paid",
    "sending": "on its way",
    "pending": "with the provider",
    "done": "decided",
    "unmatched": "waits for its order",
}
TONES = {
    **dict.fromkeys(("succeeded", "done", "approve", "whole"), "good"),
    **dict.fromkeys(("failed", "declined", "parked", "decline", "broken"), "bad"),
    **dict.fromkeys(
        ("review", "unknown", "requires_action", "awaiting_funds", "unmatched", "held"), "warn"
    ),
    **dict.fromkeys(("sending", "pending", "awaiting_return"), "busy"),
}
REASONS = {
    "return": "goods came back",
    "not_received": "not received",
    "damaged": "arrived damaged",
    "wrong_item": "wrong item",
    "out_of_stock": "out of stock",
    "cancelled": "order cancelled",
    "duplicate": "paid twice",
    "fraud": "fraud",
    "goodwill": "goodwill",
    "price_adjustment": "price adjusted",
    "subscription": "subscription ended",
    "external": "made at the provider",
}
EVENTS = {
    "order.recorded": "Order recorded",
    "order.updated": "Order changed by the shop",
    "order.cancelled": "Order cancelled",
    "order.parked": "Order stopped: a person must look at it",
    "order.unparked": "Order goes on",
    "refund.requested": "Refund asked for",
    "refund.refused": "Refund refused",
    "refund.approved": "Approved",
    "refund.declined": "Declined",
    "refund.canceled": "Canceled",
    "refund.retried": "Tried again",
    "refund.paid_outside": "Paid by hand",
    "refund.adopted": "Found at the provider and taken over",
    "refund.reallocated": "Moved to other lines",
    "refund.superseded": "Replaced by a newer refund",
    "refund.case": "Case",
    "refund.overdue": "Nobody has decided in time",
    "leg.sending": "Sent to the provider",
    "leg.looking": "Looked up at the provider",
    "leg.moved": "News of the payment out",
    "leg.news": "News of the payment out",
    "payment.updated": "Payment changed at the provider",
    "dispute.updated": "Dispute",
    "fraud.warned": "Fraud warning",
    "lines.unavailable": "Lines cannot be delivered",
    "lines.cancelled": "Lines cancelled by the shop",
    "shop.refunded": "Refund in the shop",
    "return.authorized": "Return authorized",
    "return.shipped": "Return is on its way",
    "return.received": "Goods came back",
    "return.inspected": "Goods were looked at",
    "return.cancelled": "Return cancelled",
    "exception.raised": "Something a person should know",
    "ledger.written_off": "Difference written off",
    "ledger.reversed": "Write-off taken back",
    "policy.published": "Policy published",
    "policy.drafted": "Draft of a policy kept",
    "policy.dropped": "Draft of a policy dropped",
    "stop.set": "Refunds stopped",
    "stop.lifted": "Stop lifted",
    "model.added": "Model kept",
    "key.created": "API key made",
    "key.revoked": "API key revoked",
    "setting.changed": "Setting changed",
    "period.closed": "Books closed for a month",
    "delivery.retried": "Told again to another party",
    "delivery.dropped": "Given up to tell another party",
    "delivery.replayed": "Events sent again to a subscriber",
    "user.added": "User added",
    "user.changed": "User changed",
    "sign_in.done": "Signed in",
    "sign_in.failed": "Sign-in failed",
    "sign_out.done": "Signed out",
}
CASES = {
    "assign": "Assigned",
    "snooze": "Put off",
    "escalate": "Handed up",
    "note": "Noted",
    "attach": "Attached",
    "ask": "More asked of the customer",
}
APPROVE_REASONS = {
    "as_asked": "as asked for",
    "verified": "checked, and right",
    "goodwill": "goodwill",
    "exception": "an exception",
}
DECLINE_REASONS = {
    "abuse": "abuse",
    "goods_not_as_sent": "goods not as they were sent",
    "goods_not_returned": "goods not returned",
    "outside_policy": "outside the policy",
    "not_eligible": "not eligible",
    "duplicate_request": "asked for twice",
    "no_proof": "no proof",
    "customer_withdrew": "the customer took it back",
    "already_compensated": "compensated already",
    "other": "another reason",
}
_TOLD = (
    *(
        "now",
        "news",
        "state",
        "what",
        "status",
        "who",
        "until",
        "role",
        "user",
        "reason",
        "way",
        "reference",
    ),
    *("connection", "kind", "period", "entity", "name", "psp_refund_id"),
)
_OF_CASE = ("who", "until", "role", "reference")
VERBS = {
    "approve": "Approved.",
    "decline": "Declined: nothing is paid.",
    "cancel": "Canceled.",
    "take": "The case is yours.",
    "leave": "The case is nobody's now.",
    "snooze": "Put off: it comes back into the queue by itself.",
    "escalate": "Handed up.",
    "note": "Noted.",
    "ask": "The customer is to say or send more; the shop or support asks them.",
    "attach": "Attached.",
    "retry": "It is tried again.",
    "payout": "The payment by hand is on the books.",
    "parked": "The order is stopped: what you said is kept and goes on once it is let go.",
    "role": "The role is changed.",
    "disable": "This user cannot sign in any more.",
    "enable": "This user can sign in again.",
    "unpark": "The order goes on.",
    "publish": "Published: every process decides by it from its next turn on.",
    "drop": "The draft is gone.",
    "stop": "Stopped: nothing like it leaves by itself from now on.",
    "lift": "Lifted: refunds go on.",
    "told": "It is told again; what comes after it for the same order follows.",
    "given_up": "Given up: what comes after it for the same order goes on.",
    "endpoint": "Sent to again: what is open follows.",
}


def reason_words(code: str) -> str:
    return REASONS.get(code, code.replace("_", " "))


def verb(code: str) -> str:
    """What a notice says; nothing for a code that is none of ours."""
    return VERBS.get(code, "")


def event_words(event: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """An event's title, and what else of its body tells people something."""
    body: Mapping[str, Any] = event["body"]
    title = EVENTS.get(event["type"], event["type"])
    if event["type"] == "leg.moved" and "now" in body:
        title = f"Payment out is {STATES.get(body['now'], body['now'].replace('_', ' '))}"
    if event["type"] == "refund.case":
        title = CASES.get(str(body.get("what", "")), title)
    pairs = []
    for name in _TOLD if event["type"] != "refund.case" else _OF_CASE:
        value = body.get(name)
        if name == "until" and isinstance(value, int):
            value = f"{rfc3339(value)[:16].replace('T', ' ')} UTC"
        if value and isinstance(value, str | int):
            pairs.append((name.replace("_", " "), str(value)))
    return title, pairs
