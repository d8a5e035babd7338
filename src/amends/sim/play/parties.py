"""What a world must know of each provider in it: its look-alike, what its messages are about, and
what cannot be survived there."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from amends.gateways.spec import Request
from amends.sim.adyen import AdyenWorld
from amends.sim.adyen.books import sign
from amends.sim.paypal import PayPalWorld
from amends.sim.paypal.certificates import PATH, signer
from amends.sim.paypal.money import SUPPORTED
from amends.sim.stripe import StripeWorld
from amends.sim.wire import Clock, Plan, World

WHSEC = "whsec_c2ltdWxhdGlvbi1zZWNyZXQ="
HMAC_KEY = "73696D756C6174696F6E2D736563726574"
WEBHOOK_ID = "5GP028458E2496506"
PAYPAL_URL = "http://psp.sim/paypal"
MARKET = {"USD": "0.91", "JPY": "0.0062", "KWD": "3.01", "CHF": "1.04"}
EMPTY = "acct_0"  # a seller from whom nothing can be taken back
ITEMS = ("foreign_item", "bad_item")
SHORT_WORDS = (b"balance_insufficient", b'"pending_reason":"insufficient_funds"')


class Word(msgspec.Struct, frozen=True):
    """What a webhook says: of which payment, its type and id, and what it proves of the story that
    an order was to meet ("refund_pending", "refund_fails" or "")."""

    payment: str
    type: str
    id: str
    proves: str = ""


class Party(ABC):
    """A provider in the world, and our connection to it.

    `prefix` begins the ids of its payments; `silence_s` is longer than it keeps keys; `without` are
    the kinds of trouble after which nobody would ever tell us what happened, `own` those that only
    it has. `in_parts` and `not_last`: what the commands `payment` and `dashboard_capture` say where
    more than one capture is meant. `words` are its own for what people do; `short`: its balance can
    run out.
    """

    gateway: str
    connection: str
    prefix: str
    secret: str
    silence_s: float
    without: frozenset[str] = frozenset()
    own: tuple[str, ...] = ()
    in_parts: Mapping[str, Any] = {}
    not_last: Mapping[str, Any] = {}
    words: Mapping[str, str] = {}
    settings: Mapping[str, Any] = {}
    short = False

    @property
    def base_path(self) -> str:
        """Where the look-alike's own paths begin in a request's address."""
        return f"/{self.gateway}"

    def name(self, name: str) -> str:
        """The id of a payment that is called so here: 17, or 17_2 for an order's second."""
        return self.prefix + name

    def number(self, payment: str) -> str:
        """The order number of a payment or charge, "" for neither: ch_17, pi_17_2, ad_17."""
        return "".join(payment.split("_")[1:2])

    def takes(self, currency: str) -> bool:
        """Whether it carries that currency."""
        return True

    @abstractmethod
    def world(self, clock: Clock, prng: Random) -> World:
        """Its look-alike, with nothing in it."""

    @abstractmethod
    def account(self, folder: Path) -> dict[str, Any]:
        """The settings of our connection; secrets are written to files in `folder`."""

    @abstractmethod
    def paying(self, name: str, amount: int, currency: str) -> dict[str, Any]:
        """What of the `payment` command is its own."""

    def paid_in_parts(self, name: str, captures: list[dict[str, Any]]) -> dict[str, Any]:
        """What a shop says besides of a payment captured in parts; `captures` as far as it knows
        them."""
        return {}

    def strikes_request(self, request: Request) -> str:
        """The kind of its own that may strike this request, "" for none."""
        return ""

    def batch(self, body: bytes, kind: str, first: bool) -> bytes:
        """A webhook in one message with another item, which comes `first` or last."""
        raise NotImplementedError

    @abstractmethod
    def payment(self, request: Request, world: World) -> str:
        """The payment a request is about, "" for none."""

    @abstractmethod
    def word(self, body: bytes, world: World) -> Word:
        """What one of its webhooks says."""

    @abstractmethod
    def forged(self, body: bytes) -> bytes:
        """A webhook with something else in it, under the signature it had."""

    def was_short(self, plan: Plan) -> bool:
        """Whether an answer says that money is wanting."""
        return False


class _Stripe(Party):
    gateway, connection, prefix, secret = "stripe", "stripe-eu", "pi_", WHSEC
    silence_s = 26 * 3600.0  # it keeps keys for 24 hours
    short = True

    def world(self, clock: Clock, prng: Random) -> World:
        world = exchanging(StripeWorld(clock, prng))
        world.control({"op": "connected_account", "account": EMPTY, "reversible": False})
        return world

    def account(self, folder: Path) -> dict[str, Any]:
        return {
            "gateway": "stripe",
            "api_key": _file(folder, "key", "sk_test_sandbox"),
            "webhook_secrets": [_file(folder, "whsec", WHSEC)],
            "base_url": "http://psp.sim/stripe",
            "indeterminate_after": "1h",
        }

    def paying(self, name: str, amount: int, currency: str) -> dict[str, Any]:
        return {"charge": name.replace("pi_", "ch_"), "currency": currency.lower()}

    def payment(self, request: Request, world: World) -> str:
        parts = urlsplit(request.url)
        form = parse_qs(parts.query) | parse_qs(request.body.decode())
        names = (*form.get("payment_intent", ()), *parts.path.split("/"))
        return next((name for name in names if name.startswith("pi_")), "")

    def word(self, body: bytes, world: World) -> Word:
        event = json.loads(body)
        about = event["data"]["object"]
        payment = about.get("payment_intent") or about.get("charge") or about["id"]
        proves = "refund_pending" if about.get("pending_reason") == "processing" else ""
        if event["type"] == "refund.failed":
            proves = "refund_fails"
        return Word(payment, event["type"], event["id"], proves)

    def forged(self, body: bytes) -> bytes:
        return body.replace(b'"succeeded"', b'"failed"') + b" "

    def was_short(self, plan: Plan) -> bool:
        answer = plan.response
        if answer is None or "Idempotent-Replayed" in answer.headers:
            return False
        return any(word in answer.body for word in SHORT_WORDS)


class _Adyen(Party):
    gateway, connection, prefix, secret = "adyen", "adyen-eu", "ad_", HMAC_KEY
    silence_s = 7.1 * 86400.0  # it keeps keys for seven days
    # Nothing can be looked up: a webhook that is lost for ever, and a 500 after which nothing was
    # done, leave only a report or a person to tell, and neither is played.
    without = frozenset(("lose", "error_500_undone"))
    own = (
        *("several_captures", "capture_failed", "captured_again", "unsaid_capture"),
        *ITEMS,
    )
    in_parts: Mapping[str, Any] = {"multicapture": True}
    words: Mapping[str, str] = {
        "needs_response": "chargeback",
        "warning_needs_response": "request_for_information",
        "warning_closed": "closed",
    }
    settings: Mapping[str, Any] = {"outcome_delay_s": 2.0}

    def world(self, clock: Clock, prng: Random) -> World:
        return AdyenWorld(clock, prng)

    def account(self, folder: Path) -> dict[str, Any]:
        return {
            "gateway": "adyen",
            "api_key": _file(folder, "adyen-key", "sk_test_sandbox"),
            "merchant_account": "TestMerchant",
            "environment": "test",
            "hmac_keys": [_file(folder, "hmac", HMAC_KEY)],
            "base_url": "http://psp.sim/adyen",
        }

    def paying(self, name: str, amount: int, currency: str) -> dict[str, Any]:
        return {"currency": currency}

    def payment(self, request: Request, world: World) -> str:
        names = urlsplit(request.url).path.split("/")
        return next((name for name in names if name.startswith("ad_")), "")

    def word(self, body: bytes, world: World) -> Word:
        (entry,) = json.loads(body)["notificationItems"]
        item = entry["NotificationRequestItem"]
        event, success, name = item["eventCode"], item["success"], item["pspReference"]
        payment = item.get("originalReference") or name
        proves = {"true": "refund_pending", "false": "refund_fails"}[success]
        said = f"{event}:{success}"
        return Word(payment, said, name, proves if event == "REFUND" else "")

    def forged(self, body: bytes) -> bytes:
        yes, no = b'"success":"true"', b'"success":"false"'
        return body.replace(yes, no) if yes in body else body.replace(no, yes)

    def batch(self, body: bytes, kind: str, first: bool) -> bytes:
        """Foreign: genuine, and of another merchant account, which has a payment of the same name.
        Bad: ours, but for the one word that was changed under the signature."""
        message = json.loads(body)
        ours: list[Any] = message["notificationItems"]
        other = json.loads(body)["notificationItems"]
        item = other[0]["NotificationRequestItem"]
        if kind == "foreign_item":
            item |= {"eventCode": "REFUND", "merchantAccountCode": "AnotherMerchant"}
            item |= {"pspReference": f"{item['pspReference']}X", "success": "true"}
            item.setdefault("originalReference", ours[0]["NotificationRequestItem"]["pspReference"])
            alone = json.dumps(message | {"notificationItems": other}).encode()
            other = json.loads(sign(HMAC_KEY, alone, 0, forged=False)[1])["notificationItems"]
        else:
            item["success"] = {"true": "false", "false": "true"}[item["success"]]
        message["notificationItems"] = [*other, *ours] if first else [*ours, *other]
        return json.dumps(message).encode()


class _PayPal(Party):
    gateway, connection, prefix, secret = "paypal", "paypal-eu", "PP", WEBHOOK_ID
    silence_s = 45.1 * 86400.0  # it keeps request ids for 45 days
    words: Mapping[str, str] = {
        "needs_response": "WAITING_FOR_SELLER_RESPONSE",
        "warning_needs_response": "OPEN",
        "warning_closed": "canceled",
    }
    # Who sends back one unit after the other makes more refunds than PayPal takes of one capture.
    settings: Mapping[str, Any] = {"refunds_most": 100}
    short = True
    own = ("several_captures", "token_revoked", "certificate_away")
    not_last: Mapping[str, Any] = {"final": False}

    def name(self, name: str) -> str:
        return self.prefix + name.replace("_", "X")

    def number(self, payment: str) -> str:
        return payment.removeprefix("PP").partition("X")[0] if payment.startswith("PP") else ""

    def takes(self, currency: str) -> bool:
        return currency in SUPPORTED

    def world(self, clock: Clock, prng: Random) -> World:
        world = PayPalWorld(clock, prng)
        world.reached_at(PAYPAL_URL)
        return exchanging(world)

    def account(self, folder: Path) -> dict[str, Any]:
        return {
            "gateway": "paypal",
            "client_id": "sandbox",
            "client_secret": _file(folder, "paypal-secret", "sandbox_secret"),
            "environment": "sandbox",
            "webhook_secrets": [_file(folder, "webhook-id", WEBHOOK_ID)],
            "base_url": PAYPAL_URL,
            "trust_anchors": _file(folder, "anchors.pem", signer().anchors),
        }

    def paying(self, name: str, amount: int, currency: str) -> dict[str, Any]:
        return {"currency": currency}

    def paid_in_parts(self, name: str, captures: list[dict[str, Any]]) -> dict[str, Any]:
        """It is called by its authorization, and refunded by its captures."""
        return {"psp": {"authorization": name, "captures": captures}}

    def strikes_request(self, request: Request) -> str:
        if urlsplit(request.url).path.startswith(f"{self.base_path}{PATH}"):
            return "certificate_away"
        named = {name.lower(): value for name, value in request.headers}
        return "token_revoked" if named.get("authorization", "").startswith("Bearer ") else ""

    def payment(self, request: Request, world: World) -> str:
        names = urlsplit(request.url).path.split("/")
        return next((found for name in names if (found := self._find(name, world))), "")

    @staticmethod
    def _find(name: str, world: World) -> str:
        """The payment that has this id, or an order, capture, refund or case of it."""
        assert isinstance(world, PayPalWorld)
        found = world.books.find(name)
        return found.id if found else ""

    def word(self, body: bytes, world: World) -> Word:
        event = json.loads(body)
        about = event["resource"]
        payment = self._find(about.get("id") or about["dispute_id"], world)
        proves = "refund_pending" if about.get("status") == "PENDING" else ""
        if event["event_type"] == "PAYMENT.REFUND.FAILED":
            proves = "refund_fails"
        return Word(payment, event["event_type"], event["id"], proves)

    def forged(self, body: bytes) -> bytes:
        return body.replace(b'"COMPLETED"', b'"FAILED"') + b" "

    def was_short(self, plan: Plan) -> bool:
        answer = plan.response
        return answer is not None and b"REFUND_FAILED_INSUFFICIENT_FUNDS" in answer.body


def exchanging(world: World) -> World:
    """The account is kept in euro, at other rates each day than the books reckon with."""
    world.control({"op": "settle", "currency": "EUR", "rates": MARKET, "drift_bp": 300})
    return world


def _file(folder: Path, name: str, secret: str) -> str:
    """A secret in a file, as a setting names it."""
    secrets = folder / "secrets"
    secrets.mkdir(parents=True, exist_ok=True)
    (secrets / name).write_text(secret)
    return f"file:{secrets / name}"


PARTIES: Mapping[str, Party] = {party.gateway: party for party in (_Stripe(), _Adyen(), _PayPal())}


def parties(names: Collection[str]) -> list[Party]:
    """These providers. Raises ValueError for another name."""
    for name in names:
        if name not in PARTIES:
            raise ValueError(f"{name} is no provider of this world; {', '.join(PARTIES)} are")
    return [PARTIES[name] for name in names]
