"""The state of a PayPal account: payments by their ids, the balance, tokens, events to tell."""

from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random

import msgspec

from amends.sim.account import Account, Origin
from amends.sim.outbox import Outbox
from amends.sim.paypal.certificates import PATH, signer
from amends.sim.paypal.errors import missing
from amends.sim.paypal.money import Json
from amends.sim.paypal.objects import Authorization, Capture, Dispute, Payment, Refund, Settled
from amends.sim.wire import Clock, Movement

DAY_S = 86_400
HOUR_S = 3_600
# An example; no rate is promised.
FEE_PER_MILLE = 25
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Up to 25 tries over three days; their distances are not documented.
RETRY_AFTER_S = (5.0, 30.0, 120.0, 600.0, *[float(HOUR_S)] * 11, *[6.0 * HOUR_S] * 9)


class Settings(msgspec.Struct, kw_only=True):
    """What control commands may set; ages and delays in seconds.

    `key_age_s`, `order_key_age_s`: PayPal-Request-Ids of payments and of orders are forgotten after
    so long. `token_age_s`: a login's. `authorization_age_s`: when an uncaptured authorization runs
    out. `refund_age_s`, `refunds_most`: a capture takes no refund after so long or so many (PayPal
    names the refusal, not the number). `list_delay_s`: how long an order does not show a new
    refund. `refund_events` False: a refund that ends later says so by no webhook, as PayPal does
    not promise one. `refuse_over_refund` False: whatever is asked is paid. `fees_back`: the part of
    the fee that is a share of the amount is given back with a refund.
    """

    key_age_s: float = 45 * DAY_S
    order_key_age_s: float = 6 * HOUR_S
    token_age_s: float = 9 * HOUR_S
    authorization_age_s: float = 29 * DAY_S
    refund_age_s: float = 180 * DAY_S
    refunds_most: int = 10
    list_delay_s: float = 0.0
    refund_events: bool = True
    refuse_over_refund: bool = True
    fees_back: bool = False


class Site(msgspec.Struct):
    """Where the look-alike is reached; its links and the address of `certificate` begin with it."""

    certificate: str
    url: str = "https://api.sandbox.paypal.com"


class Forced(msgspec.Struct):
    """An issue by which coming requests are refused: `count` of them (None: all) that do `what`
    (`refund`, `capture`, `void`, `reauthorize`), on one payment or on any."""

    issue: str
    what: str
    payment: str | None
    count: int | None


class Books(Account):
    """Everything one account holds. Amounts are minor units, times Unix seconds."""

    def __init__(self, clock: Clock, prng: Random, sign_clock: Clock, site: Site) -> None:
        def sign(
            secret: str, body: bytes, at: int, *, forged: bool
        ) -> tuple[Mapping[str, str], bytes]:
            webhook = f"{secret}-forged" if forged else secret
            return signer().head(site.url + PATH + site.certificate, webhook, body), body

        outbox = Outbox(clock, prng, sign, sign_clock, RETRY_AFTER_S)
        super().__init__("paypal", clock, prng, outbox)
        self.site = site
        self.credentials = ("", "")  # client id and secret
        self.settings = Settings()
        self.payments: dict[str, Payment] = {}
        self.orders: dict[str, Payment] = {}
        self.authorizations: dict[str, Authorization] = {}
        self.captures: dict[str, Capture] = {}
        self.refunds: dict[str, Refund] = {}
        self.disputes: dict[str, Dispute] = {}
        self.tokens: dict[str, float] = {}  # token -> the instant it ends
        self.invoices: set[tuple[str, str]] = set()  # ("refund" or "capture", invoice id)
        self.forced: list[Forced] = []
        self.capture_outcomes: list[tuple[str, str | None]] = []  # (status, payment or any)
        self.capturing: dict[str, Movement] = {}  # by capture
        # The balance is followed only in currencies where a control command set one.
        self.balance: dict[str, int] = {}
        self.refuse_when_short = True

    def new_id(self) -> str:
        """`5O190127TN364715T`: 17 characters, unique, others in every run with another seed."""
        number, digits = self.number(), ""
        for _ in range(5):
            number, at = divmod(number, 36)
            digits = _ALPHABET[at] + digits
        return digits + "".join(self.prng.choice(_ALPHABET) for _ in range(12))

    def find(self, payment_id: str) -> Payment | None:
        """The payment that one of its ids names, or None."""
        if payment_id in self.payments:
            return self.payments[payment_id]
        if payment_id in self.orders:
            return self.orders[payment_id]
        held = self.authorizations.get(payment_id) or self.captures.get(payment_id)
        if held is not None:
            return held.payment
        refund, dispute = self.refunds.get(payment_id), self.disputes.get(payment_id)
        found = refund or dispute
        return None if found is None else found.capture.payment

    def authorization(self, authorization_id: str) -> Authorization:
        """Raises Refusal."""
        found = self.authorizations.get(authorization_id)
        if found is None:
            raise missing()
        return found

    def capture(self, capture_id: str) -> Capture:
        """Raises Refusal."""
        found = self.captures.get(capture_id)
        if found is None:
            raise missing()
        return found

    def refund(self, refund_id: str) -> Refund:
        """Raises Refusal."""
        found = self.refunds.get(refund_id)
        if found is None:
            raise missing()
        return found

    def dispute(self, dispute_id: str) -> Dispute:
        """Raises Refusal."""
        found = self.disputes.get(dispute_id)
        if found is None:
            raise missing()
        return found

    def order(self, order_id: str) -> Payment:
        """Raises Refusal."""
        found = self.orders.get(order_id)
        if found is None:
            raise missing()
        return found

    def login(self) -> str:
        """A new token; earlier ones hold as long as they were given for."""
        now = self.clock()
        self.tokens = {token: end for token, end in self.tokens.items() if end > now}
        token = "A21AA" + "".join(self.prng.choice(_ALPHABET) for _ in range(60))
        self.tokens[token] = now + self.settings.token_age_s
        return token

    def take_forced(self, what: str, payment_id: str) -> str:
        """The issue by which this request is to be refused, or ""; counted ones are used up."""
        for forced in self.forced:
            if forced.what != what or forced.payment not in (None, payment_id):
                continue
            if forced.count is not None:
                forced.count -= 1
                if forced.count <= 0:
                    self.forced.remove(forced)
            return forced.issue
        return ""

    def take_capture_outcome(self, payment_id: str) -> str:
        """The status the next capture of this payment gets; used up."""
        for at, (status, payment) in enumerate(self.capture_outcomes):
            if payment in (None, payment_id):
                del self.capture_outcomes[at]
                return status
        return "COMPLETED"

    def move(
        self,
        kind: str,
        payment: Payment,
        refund_id: str | None,
        amount: int,
        status: str,
        origin: Origin,
    ) -> Movement:
        """Note a movement of money in the world's own truth."""
        return self.note(kind, payment.id, refund_id, amount, payment.currency, status, origin)

    def brought(self, taken: Capture) -> None:
        """A capture is on the balance."""
        currency = taken.payment.currency
        taken.settled = self._settled(taken.amount, currency, FEE_PER_MILLE)
        self._enter("charge", taken.settled, 1)
        if currency in self.balance:
            self.balance[currency] += taken.amount

    def debit(self, given: Refund) -> None:
        """A refund leaves the balance."""
        payment = given.capture.payment
        per_mille = FEE_PER_MILLE if self.settings.fees_back and not payment.seller else 0
        given.settled = self._settled(given.cost, payment.currency, per_mille)
        self._enter("refund", given.settled, -1)
        if not payment.seller:  # else it is told of the balance of the payee, which is another
            taken = given.settled
            self.took_off(given.id, taken.amount, taken.currency, -taken.fee)
        if payment.currency in self.balance:
            self.balance[payment.currency] -= given.cost

    def debit_back(self, given: Refund) -> None:
        """What a refund took is on the balance again, to the cent."""
        currency = given.capture.payment.currency
        if given.settled is not None:
            self._enter("refund", given.settled, 1)
        if currency in self.balance:
            self.balance[currency] += given.cost

    def _settled(self, amount: int, currency: str, per_mille: int) -> Settled:
        settled, kept_in = self.exchanged(amount, currency)
        return Settled(settled, settled * per_mille // 1000, kept_in)

    def _enter(self, category: str, settled: Settled, sign: int) -> None:
        self.enter(category, sign * settled.amount, settled.currency)
        self.enter("fee", -sign * settled.fee, settled.currency)

    def emit(self, event_type: str, kind: str, resource: Json, origin: Origin) -> None:
        """Queue the webhooks of something that happened to a resource of that kind."""
        if not self.outbox.targets:
            return
        name = f"WH-{self.number():017d}-{self.prng.randrange(10**17):017d}"
        address = f"{self.site.url}/v1/notifications/webhooks-events/{name}"
        event = {
            "id": name,
            "event_version": "1.0",
            "create_time": stamp(self.clock(), "milliseconds"),
            "resource_type": kind,
            "resource_version": "1.0" if kind == "dispute" else "2.0",
            "event_type": event_type,
            "summary": f"Something happened to a {kind}.",
            "resource": resource,
            "links": [
                {"href": address, "rel": "self", "method": "GET"},
                {"href": f"{address}/resend", "rel": "resend", "method": "POST"},
            ],
        }
        self.outbox.post(name, event_type, msgspec.json.encode(event), origin.request_id)


def stamp(at: float, timespec: str = "seconds") -> str:
    """Unix seconds -> `2026-11-22T14:00:00Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec)[:-6] + "Z"
