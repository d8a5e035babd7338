"""The control commands that mean the same at every provider, and how any command is run.

The commands are described in `amends.sim.serve`.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from amends.sim.account import Account
from amends.sim.faults import Fault, FaultBook
from amends.sim.lookalike import Refusal
from amends.sim.outbox import Disturbance, WebhookTarget
from amends.sim.wire import CommandRefused

Answer = dict[str, Any]
Commands = Mapping[str, tuple[type[Any], Callable[[Any, Any], Answer]]]
"""Name -> the shape of its parameters, and what it does with (books, parameters)."""

C = TypeVar("C", bound=msgspec.Struct)


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """A command without parameters."""


class OfKind(msgspec.Struct, forbid_unknown_fields=True):
    """`clear_faults`."""

    kind: str | None = None


class RetryPolicy(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`webhook_retries`: waits between attempts in seconds."""

    retry_after_s: list[float]


class OnPayment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`dashboard_refund`, `dashboard_capture`, `dashboard_cancel`, `expire`."""

    payment: str
    amount: int | None = None


class MakePayments(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`payments`: the listed items, or `count` payments like `each` with ids `prefix` + 1, 2, 3…"""

    items: list[dict[str, Any]] = []
    count: int = 0
    prefix: str = "pi_"
    each: dict[str, Any] = {}


def several(wish: MakePayments, shape: type[C]) -> list[C]:
    """The payments a `payments` command asks for. Raises CommandRefused."""
    numbered = (wish.each | {"id": f"{wish.prefix}{number}"} for number in range(1, wish.count + 1))
    return [convert(item, shape) for item in (*wish.items, *numbered)]


def check_payment_id(payment_id: str) -> None:
    """An id that can stand in a path. Raises CommandRefused."""
    if not payment_id or any(c in payment_id for c in "/?#& "):
        raise CommandRefused(
            f"A payment's id may not be empty or hold /, ?, #, & or spaces: {payment_id!r}."
        )


def change(settings: msgspec.Struct, wish: msgspec.Struct) -> Answer:
    """Set what the command names, leave the rest; gives all of them as they are now."""
    for name in wish.__struct_fields__:
        value = getattr(wish, name)
        if value is not None:
            setattr(settings, name, value)
    shown: Answer = msgspec.to_builtins(settings)
    return shown


def _add_webhook(books: Account, target: WebhookTarget) -> Answer:
    if not target.url.startswith(("http://", "https://")):
        raise CommandRefused(f"A webhook's url must be http or https: {target.url!r}.")
    books.outbox.add_target(target)
    return {"webhooks": len(books.outbox.targets)}


def _clear_webhooks(books: Account, _: Nothing) -> Answer:
    books.outbox.targets = []
    return {"webhooks": 0}


def _disturb(books: Account, disturbance: Disturbance) -> Answer:
    books.outbox.disturb(disturbance)
    return {}


def _clear_disturbances(books: Account, _: Nothing) -> Answer:
    return {"removed": books.outbox.clear_disturbances()}


def _retries(books: Account, policy: RetryPolicy) -> Answer:
    books.outbox.retry_after_s = tuple(policy.retry_after_s)
    return {}


def _hurry(books: Account, _: Nothing) -> Answer:
    return {"hurried": books.outbox.hurry()}


GENERAL: Commands = {
    "webhook": (WebhookTarget, _add_webhook),
    "clear_webhooks": (Nothing, _clear_webhooks),
    "webhook_fault": (Disturbance, _disturb),
    "clear_webhook_faults": (Nothing, _clear_disturbances),
    "webhook_retries": (RetryPolicy, _retries),
    "hurry_webhooks": (Nothing, _hurry),
}


def run(
    commands: Commands, books: Account, faults: FaultBook, command: Mapping[str, Any]
) -> Answer:
    """Run one of `commands` or `fault` or `clear_faults`, `{"op": name, …}`. Raises CommandRefused
    with one sentence."""
    wish = dict(command)
    op = wish.pop("op", None)
    if op == "fault":
        faults.add(_checked(convert(wish, Fault)))
        return {}
    if op == "clear_faults":
        return {"removed": faults.clear(convert(wish, OfKind).kind)}
    known = commands.get(op) if isinstance(op, str) else None
    if known is None:
        names = ", ".join(sorted((*commands, "fault", "clear_faults", "reset")))
        raise CommandRefused(f"Unknown op {op!r}; known are {names}.")
    shape, act = known
    try:
        return act(books, convert(wish, shape))
    except Refusal as refusal:
        raise CommandRefused(str(refusal).rstrip(".") + ".") from refusal


def convert(wish: Mapping[str, Any], shape: type[C]) -> C:
    """Parameters in their shape. Raises CommandRefused."""
    try:
        return msgspec.convert(wish, shape)
    except msgspec.ValidationError as error:
        raise CommandRefused(f"{error}.") from error


def _checked(fault: Fault) -> Fault:
    if fault.count is not None and fault.count < 1:
        raise CommandRefused("`count` must be at least 1.")
    if not 0.0 <= fault.probability <= 1.0:
        raise CommandRefused("`probability` must be between 0 and 1.")
    return fault
