"""Four outcomes of asking a provider, never two (invariant I4).

`Accepted`  the provider did it, or is doing it, and says so.
`Declined`  the provider said no and did nothing.
`NotSent`   nothing was executed, for certain: asking again is safe.
`Unknown`   anything else. A timeout is Unknown.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from amends.kernel.time import Instant

RefundStatus = Literal[
    "succeeded", "pending", "requires_action", "awaiting_funds", "failed", "canceled"
]

# "refused": it took nothing. "failed": it had succeeded, and came undone.
CaptureStatus = Literal["succeeded", "refused", "failed"]


class Settled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a movement did to our balance at the provider, by its own figures: `amount` came off it,
    and `fee` besides (negative: a fee given back), minor units of `currency`. Without a currency
    there are figures, under this id, that were not told: who wants them reads them."""

    id: str = ""
    currency: str = ""
    amount: int = 0
    fee: int = 0


class RefundState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One refund as the provider describes it.

    `leg` and `epoch` are ours, read back from what we attached to it (empty, 0: not ours).
    `amount` is in minor units of `currency` by ISO 4217; `psp_at` is when it was made there.
    """

    psp_refund_id: str
    status: RefundStatus
    amount: int
    currency: str
    leg: str = ""
    epoch: int = 0
    failure_reason: str = ""
    psp_at: Instant = 0
    psp_capture_id: str = ""  # the capture it is of, where the provider says so
    destination: str = ""  # the way it takes: "card", "card_reversal", "eu_bank_transfer"
    bank_reference: str = ""  # what the customer's bank finds it by
    bank_reference_type: str = ""  # "acquirer_reference_number"
    settled: Settled | None = None


class CaptureState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One capture of a payment as the provider describes it, alone. `leg` and `epoch` are ours: the
    release that was asked for by capturing the rest ("", 0: somebody else's capture)."""

    psp_capture_id: str
    amount: int
    currency: str
    status: CaptureStatus = "succeeded"
    leg: str = ""
    epoch: int = 0
    failure_reason: str = ""


class ReleaseState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One cancellation of an authorization as the provider describes it; `leg` and `epoch` as
    above."""

    psp_release_id: str
    done: bool
    leg: str = ""
    epoch: int = 0
    failure_reason: str = ""


class PaymentState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One payment as the provider describes it; -1 where it does not say.

    `captured` is the sum over all captures; `captures` names those the provider lists.
    `psp_release_id` is its id of the cancellation or capture that was asked for.
    """

    authorized: int = -1
    captured: int = -1
    refunded: int = -1
    canceled: bool = False
    capturable: int = -1
    captures: tuple[CaptureState, ...] = ()
    psp_release_id: str = ""


class Accepted(msgspec.Struct, frozen=True, tag="accepted", omit_defaults=True):
    """Done or under way. For a look-up: what was found (`refunds` may be empty: nothing there).

    `refund` is what the request made; `next` is the cursor of a look-up's following page.
    """

    refund: RefundState | None = None
    payment: PaymentState | None = None
    refunds: tuple[RefundState, ...] = ()
    next: str = ""
    reference: str = ""  # the provider's id of this answer, for its support


class Declined(msgspec.Struct, frozen=True, tag="declined", omit_defaults=True):
    """A definite no; nothing was executed by this request.

    `kind`: "final" do not repeat; "funds" no money on our balance there: a new attempt later;
    "captured" the authorization was captured meanwhile: refund instead of voiding it;
    "refunded" nothing is left there: somebody else refunded; "canceled" already voided;
    "split" it cannot take the sellers' shares back: without that it can be asked again.
    """

    code: str
    text: str = ""
    kind: Literal["final", "funds", "captured", "refunded", "canceled", "split"] = "final"
    payment: PaymentState | None = None
    reference: str = ""


class NotSent(msgspec.Struct, frozen=True, tag="not_sent", omit_defaults=True):
    """Nothing was executed. `retry_after` microseconds if the provider named a pause, else 0;
    `alert` when a person must act (wrong credentials) before any repeat can work."""

    reason: str
    retry_after: int = 0
    alert: bool = False
    reference: str = ""


class Unknown(msgspec.Struct, frozen=True, tag="unknown", omit_defaults=True):
    """It may or may not have happened. `stored`: the provider answered with an error it keeps under
    the key, so the same bytes would only bring the same answer; look up instead. `alert`: a person
    should know."""

    reason: str
    stored: bool = False
    alert: bool = False
    retry_after: int = 0
    reference: str = ""


Outcome = Accepted | Declined | NotSent | Unknown
