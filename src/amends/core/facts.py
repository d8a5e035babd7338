"""Facts: anything that happened. The only input of `decide`.

Each fact says by `refs` or by an id how its order is found. Facts are plain data, so that one that
has to wait (its order unknown, or parked) can be stored and folded later, unchanged.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from amends.core.outlets import Goods
from amends.core.requests import (
    ApproveReason,
    DeclineReason,
    LinePick,
    OrderIn,
    PayoutWay,
    RefundIn,
    RefundReason,
)
from amends.kernel.outcome import (
    CaptureState,
    Outcome,
    PaymentState,
    RefundState,
    ReleaseState,
    Settled,
)
from amends.kernel.time import Instant


class _Fact(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="fact"):
    pass


class OrderReported(_Fact, frozen=True, tag="order_reported"):
    """A shop, an import or a caller told us of an order, or of a newer version of it."""

    order: OrderIn


class OrderCancelled(_Fact, frozen=True, tag="order_cancelled"):
    """The shop cancelled the order: all that is left goes back."""

    reason: str = "cancelled"


class Basis(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a quote was made on, so that a stale one can say what changed: the order's version, how
    many refunds counted, what was left, how many disputes there were, the policy's version."""

    version: int = 0
    refunds: int = 0
    remaining: int = 0
    disputes: int = 0
    policy: str = ""


class RefundRequested(_Fact, frozen=True, tag="refund_requested"):
    """Somebody asks. `quote_hash` binds a quote's amount, made on `quote_basis`; `note_id` names
    the stored note."""

    request: RefundIn
    quote_hash: str = ""
    quote_expires: Instant = 0
    note_id: str = ""
    note_hash: str = ""
    quote_basis: Basis | None = None
    question: str = ""  # why a person looks whatever the policy says, "" for no reason


class LinesUnavailable(_Fact, frozen=True, tag="lines_unavailable"):
    """The shop cannot deliver these units, nor any of these SKUs that has not left yet: make them
    good."""

    lines: tuple[LinePick, ...] = ()
    skus: tuple[str, ...] = ()


class CancelledLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many units of a line its shop has cancelled so far, all told; `back` of those had left
    and are in the shop's stock again."""

    id: str
    units: int
    back: int = 0


class LinesCancelled(_Fact, frozen=True, tag="lines_cancelled"):
    """The shop's count of what was cancelled so far, by line: what is new in it is made good. Told
    twice, or an older count later, it changes nothing. `exchanged`: other goods came in their
    place, so that less may be owed than they cost; a person looks."""

    lines: tuple[CancelledLine, ...]
    reason: RefundReason = "cancelled"
    exchanged: bool = False


class RefundedLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a shop's refund is for: a line, or shipping or a charge by its id; `amount` is gross,
    -1 where it does not say. `back`: so many of the units are in the shop's stock again."""

    id: str
    quantity: int
    amount: int = -1
    back: int = 0


class RefundMade(_Fact, frozen=True, tag="refund_made"):
    """The shop made a refund, and calls it `refund`. `mark` is the id of ours that it is the echo
    of, "" for one that the shop made by itself. `amount` is what it says went back to the customer,
    0: only goods. `psp_refund_id` is the provider's name of it, where the shop knows it."""

    refund: str
    amount: int
    currency: str
    mark: str = ""
    psp_refund_id: str = ""
    lines: tuple[RefundedLine, ...] = ()


class ReturnAuthorized(_Fact, frozen=True, tag="return_authorized"):
    """The customer may send these units back, under this name."""

    return_id: str
    lines: tuple[LinePick, ...]


class ReturnShipped(_Fact, frozen=True, tag="return_shipped"):
    """A carrier scanned the parcel of a return."""

    return_id: str


class ReturnReceived(_Fact, frozen=True, tag="return_received"):
    """Goods came back. One `return_id` is taken up once; without one, each report is. `lines` are
    units by line, or by SKU where who tells knows no more; none: all that was authorized.
    `inspect`: somebody is to look at them before they count as stock."""

    lines: tuple[LinePick, ...] = ()
    return_id: str = ""
    inspect: bool = False


class ReturnInspected(_Fact, frozen=True, tag="return_inspected"):
    """Somebody looked at what came back, and says what becomes of it."""

    return_id: str
    goods: tuple[Goods, ...]


class ReturnCancelled(_Fact, frozen=True, tag="return_cancelled"):
    """Nothing of a return will come that is not here yet."""

    return_id: str


class Approved(_Fact, frozen=True, tag="approved"):
    """A person approves a refund in review; `shown` is the hash of what was on the screen, `role`
    theirs. `amount`: less than was asked for, 0 for all of it."""

    refund: str
    shown: str = ""
    role: str = ""
    amount: int = 0
    reason: ApproveReason = "as_asked"


class Rejected(_Fact, frozen=True, tag="rejected"):
    """A person declines a refund in review; what was said is a note, of which `why` is the hash."""

    refund: str
    why: str = ""
    note_id: str = ""
    reason: DeclineReason = "other"


CaseMove = Literal["assign", "snooze", "escalate", "note", "attach", "ask", "suggest"]


class CaseMoved(_Fact, frozen=True, tag="case_moved"):
    """A person moves a review on without deciding it: assigns it to `who` ("" to nobody), snoozes
    it `until`, escalates it to a `role`, notes something, attaches a `reference`, asks the customer
    for more, or suggests what to do (an agent may, too): `outcome`, and the events of the order by
    number that bear it out. What was said is a note."""

    refund: str
    what: CaseMove
    who: str = ""
    until: Instant = 0
    role: str = ""
    reference: str = ""
    note_id: str = ""
    note_hash: str = ""
    outcome: Literal["", "approve", "decline"] = ""
    cites: tuple[int, ...] = ()


class Canceled(_Fact, frozen=True, tag="canceled"):
    """Whoever asked takes it back before any byte left."""

    refund: str


class Retried(_Fact, frozen=True, tag="retried"):
    """A person asks to try a failed refund again."""

    refund: str


class PaidOutside(_Fact, frozen=True, tag="paid_outside"):
    """A person paid the customer by other means what no provider would, and says how: under which
    `reference`, and for store credit where the customer's consent is recorded."""

    refund: str
    reference: str
    way: PayoutWay = "transfer"
    consent: str = ""
    shown: str = ""
    role: str = ""


class EffectDue(_Fact, frozen=True, tag="effect_due"):
    """We hold the lease of this effect and may act on it now.

    `lost`: the lease was taken over from a process that never reported.
    """

    effect: str
    lost: bool = False


class Answered(_Fact, frozen=True, tag="answered"):
    """A provider's answer to what we sent for a leg, in that epoch and attempt; `asked` is the
    effect's."""

    leg: str
    epoch: int
    attempt: int
    outcome: Outcome
    asked: int = 0


class LookedUp(_Fact, frozen=True, tag="looked_up"):
    """A provider's answer to a look-up: for one leg, or (leg "") for the whole payment. `asked_at`
    is when it left, by the clock of who asked; `asked` is the effect's."""

    payment: str
    outcome: Outcome
    leg: str = ""
    asked_at: Instant = 0
    asked: int = 0


class RefundReported(_Fact, frozen=True, tag="refund_reported"):
    """A webhook about one refund at a provider."""

    connection: str
    psp_payment_ids: tuple[str, ...]
    refund: RefundState
    order: str = ""


class PaymentReported(_Fact, frozen=True, tag="payment_reported"):
    """A webhook about one payment at a provider."""

    connection: str
    psp_payment_ids: tuple[str, ...]
    payment: PaymentState
    currency: str = ""


class CaptureReported(_Fact, frozen=True, tag="capture_reported"):
    """A webhook about one capture, from a provider that tells each by itself: they add up, each
    counted once by its id."""

    connection: str
    psp_payment_ids: tuple[str, ...]
    capture: CaptureState


class ReleaseReported(_Fact, frozen=True, tag="release_reported"):
    """A webhook about one cancellation of an authorization, done or refused."""

    connection: str
    psp_payment_ids: tuple[str, ...]
    release: ReleaseState


class ReversalReported(_Fact, frozen=True, tag="reversal_reported"):
    """A webhook about one reversal: all of a payment was given back, or it was refused. As a refund
    or by a release is not said where it could be believed."""

    connection: str
    psp_payment_ids: tuple[str, ...]
    refund: RefundState


class PaymentToRead(_Fact, frozen=True, tag="payment_to_read"):
    """Something happened to this payment, captured or not, and the message is not to be believed
    further than that: read it at the provider."""

    connection: str
    psp_payment_ids: tuple[str, ...]


class DisputeReported(_Fact, frozen=True, tag="dispute_reported"):
    """A webhook about a chargeback or inquiry. `withdrawn`: the net amount taken, -1: not said.
    `step`: how far an open dispute has come where each message tells one step, 0: not said.
    `settled`: what it holds of our balance now, fees apart, and those fees."""

    connection: str
    psp_payment_ids: tuple[str, ...]
    dispute: str
    amount: int
    currency: str
    status: str
    open: bool
    withdrawn: int = -1
    step: int = 0
    settled: Settled | None = None


class FraudWarned(_Fact, frozen=True, tag="fraud_warned"):
    """An early fraud warning about one payment."""

    connection: str
    psp_payment_ids: tuple[str, ...]
    warning: str
    actionable: bool


class WrittenOff(_Fact, frozen=True, tag="written_off"):
    """A person writes a small difference off one of the order's accounts; `why` is a hash."""

    account: str
    amount: int
    why: str = ""


class WriteOffReversed(_Fact, frozen=True, tag="write_off_reversed"):
    """A person takes a write-off back, by the number of its entry; `why` is a hash."""

    entry: int
    why: str = ""


class Unparked(_Fact, frozen=True, tag="unparked"):
    """A person lets a parked order go on."""

    why: str = ""


Fact = (
    OrderReported
    | OrderCancelled
    | RefundRequested
    | LinesUnavailable
    | LinesCancelled
    | RefundMade
    | ReturnAuthorized
    | ReturnShipped
    | ReturnReceived
    | ReturnInspected
    | ReturnCancelled
    | Approved
    | Rejected
    | CaseMoved
    | Canceled
    | Retried
    | PaidOutside
    | EffectDue
    | Answered
    | LookedUp
    | RefundReported
    | PaymentReported
    | CaptureReported
    | ReleaseReported
    | ReversalReported
    | PaymentToRead
    | DisputeReported
    | FraudWarned
    | WrittenOff
    | WriteOffReversed
    | Unparked
)


class Addressed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fact and how to find its order: by our id, by the shop's name, or by provider payment ids
    (connection, psp_payment_id), tried in that order."""

    fact: Fact
    order: str = ""
    source: tuple[str, str] | None = None
    payments: tuple[tuple[str, str], ...] = ()


class Recorded(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fact as recorded: `id` is 26 base-32 characters, unique; `actor` is who says it
    ("key:support", "connection:stripe-eu", "system:deliver")."""

    id: str
    at: Instant
    actor: str
    fact: Fact


encode_fact = msgspec.json.Encoder().encode
decode_addressed = msgspec.json.Decoder(Addressed).decode
