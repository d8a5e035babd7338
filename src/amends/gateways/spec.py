"""What every gateway module offers. Gateways translate; they never send, store or decide.

A module that speaks to a provider satisfies `Provider`; one that only hears satisfies `Hearing`.
What a provider cannot do is absent from its `Capabilities`, not an empty function.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Literal, Protocol, TypeAlias

import msgspec

from amends.core.decision import Arrival, Method
from amends.core.effects import Intent
from amends.core.facts import Addressed
from amends.core.outlets import Telling
from amends.core.parties import Split
from amends.kernel.outcome import NotSent, Outcome
from amends.kernel.time import Instant


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider can do; durations in microseconds."""

    name: str
    provider: bool  # it moves money (False: a shop, which only tells)
    partial: bool = False
    void: bool = False
    release_part: bool = False  # part of an authorization can be released
    reversal: bool = False  # all of a payment can be given back, captured or not as it finds it
    lookup: bool = False
    lookup_delay: int = 0  # "not found" counts only so long after the last byte sent
    key_ttl: int = 0  # how long an idempotency key is kept
    requests_per_second: int = 0  # default of `rate`
    settings: tuple[str, ...] = ()  # required settings of a connection, by name
    secrets: tuple[str, ...] = ()  # of all settings, the ones whose values are secret
    optional: tuple[str, ...] = ()  # settings that may be left out
    lists: tuple[str, ...] = ()  # settings that are lists of text, which may be left out
    tables: tuple[str, ...] = ()  # settings that are tables of text, which may be left out
    takes: tuple[str, ...] = ()  # the kinds of tellings it is told (core.outlets.KINDS)
    own_orders: bool = False  # ... only of orders that are its own
    one_writer: bool = False  # it knows no idempotency: one telling at a time, in all processes
    decimals: Mapping[str, int] = {}  # of an amount there, per currency; none: as in ISO 4217
    multiple_of: Mapping[str, int] = {}  # amounts must be multiples, per currency
    methods: tuple[Method, ...] = ()  # what payment methods allow; the first that fits counts
    arrivals: tuple[Arrival, ...] = ()  # when customers see refunds; the first that fits counts
    split: Split | None = None  # it pays sellers with the payment and takes it back with a refund


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One configured connection, secrets resolved. `base_url` replaces scheme and host."""

    name: str
    gateway: str
    base_url: str = ""
    values: Mapping[str, str] = {}
    lists: Mapping[str, tuple[str, ...]] = {}
    tables: Mapping[str, Mapping[str, str]] = {}
    webhook_secrets: tuple[str, ...] = ()


class Request(msgspec.Struct, frozen=True):
    """One HTTP request, complete. `from_message`: its address came in a message, not from the
    configuration, so it must lead out of our own network, by TLS. `public`: it was configured, and
    must lead out of our own network all the same; of what is answered only the head counts."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    from_message: bool = False
    public: bool = False


class Response(msgspec.Struct, frozen=True):
    """One HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Failure(msgspec.Struct, frozen=True):
    """No answer. `sent` False: certainly nothing was executed (connection refused); True: maybe."""

    sent: bool
    reason: str


class Token(msgspec.Struct, frozen=True):
    """What a login gave: the token, and for how many microseconds it holds."""

    value: str
    lifetime: int


class Trust(msgspec.Struct, frozen=True):
    """What a signature by certificate is checked with, gathered before `verify` is called.

    `chain` is PEM, the signer's certificate first, as fetched from `url`, which is what
    `Certified.certificate_url` gave; `anchors` is the PEM of the roots that are trusted.
    """

    url: str
    chain: bytes
    anchors: bytes


class Genuine(msgspec.Struct, frozen=True):
    """The signature holds."""


class NotGenuine(msgspec.Struct, frozen=True):
    """The signature does not hold, and what about it."""

    reason: str


class Message(msgspec.Struct, frozen=True):
    """What a genuine message says. `id` is the sender's, the same over its retries; no facts: it
    does not concern refunds. `live`: the sender's mode, None if it does not say."""

    id: str
    type: str
    facts: tuple[Addressed, ...] = ()
    live: bool | None = None
    sent_at: Instant = 0


class Unreadable(Exception):
    """A signed message that is not what its sender documents; the sentence says what is wrong."""


class Unwritable(Exception):
    """An intent this party cannot carry: an amount or currency it has no way to say, or a movement
    it does not offer for that kind of payment. Nothing was sent; the sentence says why."""


class Hearing(Protocol):
    """A party that sends webhooks."""

    CAPABILITIES: Capabilities

    def verify(
        self, raw: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], now: Instant
    ) -> Genuine | NotGenuine:
        """Whether `raw` is signed by one of `secrets`, recently. `headers` in lower case.
        Never raises; anything it does not understand is not genuine."""
        ...

    def read(self, raw: bytes, headers: Mapping[str, str], settings: Settings) -> Message:
        """The facts in a genuine message. Tolerant of new fields and unknown types (no facts).
        Raises Unreadable, and nothing else."""
        ...


class Provider(Hearing, Protocol):
    """A party that moves money."""

    def write(self, intent: Intent, settings: Settings) -> Request:
        """The request for an intent; the same intent and settings give the same bytes.
        Raises Unwritable, and nothing else."""
        ...

    def parse(self, intent: Intent, result: Response | Failure) -> Outcome:
        """What an answer, or none, means for the intent. Never raises: what cannot be understood
        is Unknown."""
        ...

    def live(self, settings: Settings) -> bool | None:
        """Whether the connection's credentials are for real money; None if they do not tell."""
        ...

    def scrub(self, text: str) -> str:
        """`text` with this provider's secrets and card data blanked, for logs."""
        ...


Talk: TypeAlias = Generator[Request, "Response | Failure", Outcome]
Completion: TypeAlias = Generator[Request, "Response | Failure", bytes | NotSent]
Inspection: TypeAlias = Generator[Request, "Response | Failure", tuple[str, ...]]


class Outlet(Protocol):
    """A party that is told what happened here: an ERP, a shop, a subscriber."""

    CAPABILITIES: Capabilities

    def talk(self, telling: Telling, settings: Settings, now: Instant) -> Talk:
        """The conversation that tells it: each request that is yielded is sent, its answer comes
        back in, and what is returned is the outcome, `Accepted.reference` the party's own name of
        what was made. It is pure but for what it is answered, and may be broken off anywhere and
        begun anew: what `telling.key` marks is looked for before it is made. Declined: no repeat
        would help, a person must; the text is the party's own sentence. NotSent and Unknown:
        again later. Never raises: what it cannot write or understand is an outcome."""
        ...


class Inspects(Protocol):
    """A party whose settings can be held against what is there."""

    def inspect(self, settings: Settings) -> Inspection:
        """The conversation that does; what is returned are sentences, each what is wrong and what
        to do about it. It changes nothing there. Never raises."""
        ...


class Completes(Protocol):
    """A party whose messages leave out what they cannot be understood without."""

    def complete(self, raw: bytes, headers: Mapping[str, str], settings: Settings) -> Completion:
        """The conversation that asks for the rest of a genuine message; what is returned is the
        message with it, to be read in its place. NotSent: it cannot be had now, and the message is
        not taken, so that its sender repeats it. It changes nothing there. Never raises."""
        ...


class Pings(Protocol):
    """A party that tries an address once, unsigned, before it sends anything to it."""

    def ping(self, raw: bytes, headers: Mapping[str, str]) -> bool:
        """Whether this is that try: it says nothing, and is answered 200. Never raises."""
        ...


class SignsIn(Protocol):
    """A provider whose requests carry a token from a login of its own.

    `write` leaves the token out, so that the same intent has the same bytes. Whoever sends keeps
    one token per connection, takes a new one before its lifetime ends, and when a request is
    answered 401 takes a new one and sends the same request once more: a 401 executed nothing.
    """

    def login(self, settings: Settings) -> Request:
        """The request for a token. Raises Unwritable, and nothing else."""
        ...

    def token(self, result: Response | Failure) -> Token | NotSent:
        """What came of the login. Never raises; without a token nothing was sent, and that is the
        outcome of whatever was to be sent with it."""
        ...

    def authorize(self, request: Request, token: Token) -> Request:
        """The request with the token in its head."""
        ...


class Certified(Protocol):
    """A party that signs by a certificate its message names."""

    def certificate_url(self, headers: Mapping[str, str], settings: Settings) -> str:
        """Where the certificate of a message is, "" if it names none that may be fetched: then
        nothing is fetched and the message is refused. The fetch follows no redirect and sends no
        credential; what it brings may be kept by its address. Never raises."""
        ...

    def verify(
        self,
        raw: bytes,
        headers: Mapping[str, str],
        secrets: tuple[str, ...],
        now: Instant,
        trust: Trust | None = None,
    ) -> Genuine | NotGenuine:
        """As `Hearing.verify`. Without `trust` nothing is genuine."""
        ...


class Checks(Protocol):
    """A party whose settings can be wrong in ways that show before anything is sent."""

    def trouble(self, settings: Settings) -> str:
        """Why a connection with these settings could not work, as what to do about it; "" if it
        could. Never raises."""
        ...
