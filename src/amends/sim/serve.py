"""The provider look-alikes over HTTP, on 127.0.0.1 only: `python -m amends.sim.serve --port 9400`.

`/stripe/v1/…` answers as Stripe does, `/adyen/v71/…` and `/adyen/v72/…` as Adyen's Checkout
(`/payments`, authorised at once, and what modifies them),
`/paypal/…` as PayPal (Payments v2, Orders v2, Disputes v1); point an SDK's API base at
`http://127.0.0.1:9400/stripe`, `…/adyen` or `…/paypal`. The API key is `sk_test_sandbox` unless
another is given, Adyen's merchant account `TestMerchant`; PayPal's client id is `sandbox`, its
client secret the API key. What they did is their own truth:

- `GET /control/refunds` gives every movement of money it made on request or by itself, as
  `{"items": [{"gateway", "psp_payment_id", "psp_refund_id", "kind", "amount", "currency", "status",
  "key", "at"}]}`. `kind` is `refund`, `void` (an authorization let go, also by expiry) or `capture`
  (a capture call; payments made already captured are not listed). `key` is the idempotency key of
  the request, null for dashboard, bank and expiry. `status` is what it is now. `settled`,
  `settled_currency` and `settled_fee` say what a refund took off the balance.
- `GET /control/payments` gives every payment: `{"items": [{"gateway", "psp_payment_id", "charge",
  "currency", "status", "authorized", "captured", "capturable", "refunded", "disputed"}]}`, at
  Adyen `uncaptured` too: what captures took that failed later.
- `GET /control/balances` gives what each account holds: `{"items": [{"gateway", "category",
  "currency", "amount"}]}`; `category` is what moved it: `charge`, `refund`, `dispute` or `fee`.
- `GET /control/status` gives `{"now", "webhooks_pending"}`; `now` is Unix seconds.

`POST /control` takes one command or a list of them. One command answers `{"ok": true, …}`, a list
`{"ok": true, "results": […]}` and stops at the first that fails. A command that cannot be done
answers 400 with `{"ok": false, "error": sentence}`. Every command may name a `gateway`, which is
`stripe` when left out. Amounts are minor units, times are seconds.

Payments
    {"op": "payment", "id": "pi_1", "amount": 10200, "currency": "eur", "capture": "automatic"}
        An existing payment: `automatic` is captured, `manual` is authorized only (`captured`
        captures a part and releases the rest). Its charge is `ch_` + the id without `pi_`, or
        `charge`. `method` is `card` or another type; also `multicapture`, `customer`, `metadata`.
        With `announce` its webhooks are sent. `destination` is a connected account that all of it
        (or `transfer`) goes to, and `application_fee` comes back from: then its row of payments
        says what was `transferred`, `reversed` and `fee_refunded`.
    {"op": "connected_account", "account": "acct_1", "reversible": false}
        Refunds that reverse a transfer to it are refused, until it is `reversible` again.
    {"op": "payments", "items": […]}
    {"op": "payments", "count": 1000, "prefix": "pi_b", "each": {"amount": 500}}
        Many at once: ids pi_b1 to pi_b1000.
    {"op": "expire", "payment": "pi_1"}  the authorization runs out now
    {"op": "dashboard_refund", "payment": "pi_1", "amount": 500}
    {"op": "dashboard_capture", "payment": "pi_1", "amount": 500}
    {"op": "dashboard_cancel", "payment": "pi_1"}
        Done by a person at the provider: no key, no metadata, webhooks are sent. `amount` may be
        left out.

Refunds
    {"op": "refund_outcome", "status": "pending", "then": "failed", "after_s": 60, "count": 1}
        How new refunds turn out: `succeeded` (default), `pending`, `requires_action` or `failed`,
        and what they become later. `failure_reason` is Stripe's. `payment` limits it to one
        payment and goes before general rules; the newest rule wins; without `count` it stays.
    {"op": "settle_refund", "refund": "re_…", "status": "succeeded"}
    {"op": "settle_refunds", "status": "succeeded"}  every pending one
    {"op": "fail_refund", "refund": "re_…", "failure_reason": "declined"}
        Also after it succeeded: the money comes back.
    {"op": "balance", "currency": "eur", "amount": 0, "refuse": false}
        Follow the balance in a currency. When it is short, card refunds are held `pending` and
        others fail; with `refuse`, refunds are refused with `balance_insufficient`.
    {"op": "settle", "currency": "EUR", "rates": {"USD": "0.92"}, "drift_bp": 150}
        The account is kept in one currency: what comes or goes in those with a rate is exchanged,
        at rates that are up to `drift_bp` (1/10,000) off from day to day. Stripe and PayPal tell
        the figures as they do, in balance transactions and breakdowns; Adyen tells none, and keeps
        each currency.
    {"op": "fund", "currency": "eur", "amount": 5000}     held refunds then succeed, oldest first

Disputes
    {"op": "open_dispute", "payment": "pi_1", "reason": "fraudulent", "status": "needs_response"}
        `warning_needs_response` opens an inquiry, which takes no money. `amount` may be given.
    {"op": "close_dispute", "payment": "pi_1", "status": "won"}
        `won`, `lost`, `prevented`, or `warning_closed` for an inquiry; `dispute` may name it.
    {"op": "fraud_warning", "payment": "pi_1", "fraud_type": "made_with_stolen_card"}

Webhooks
    {"op": "webhook", "url": "http://127.0.0.1:8080/webhooks/stripe-eu", "secret": "whsec_…"}
        Adds a target or replaces the one with this URL; `types` are patterns like `refund.*`.
    {"op": "clear_webhooks"}
    {"op": "webhook_fault", "kind": "duplicate", "count": 1, "type": "refund.*"}
        `lose`, `duplicate` (`copies`), `delay` (`seconds`), `reorder` (a random wait up to
        `seconds`), `bad_signature`. Each with `count` or `probability`.
    {"op": "clear_webhook_faults"}
    {"op": "webhook_retries", "retry_after_s": [1, 5, 30]}
    {"op": "hurry_webhooks"}                         everything waiting is tried now
    {"op": "trust_anchors", "gateway": "paypal"}
        The PEM of the authority PayPal's webhooks are signed under; it is another in every process.
        The `secret` of a webhook is its id at PayPal.

Adyen (with `"gateway": "adyen"`), where it is not as above
    {"op": "payment", "id": "8815…", "amount": 10200, "currency": "EUR", "method": "visa"}
        The id is a pspReference, `reference` the shop's own. No charge, customer or metadata.
    {"op": "refund_outcome", "status": "succeeded", "then": "reversed", "after_s": 60}
        The first webhook says `succeeded` or `failed`, or none comes (`pending`); then `succeeded`
        or `failed` after `pending`, `failed` (REFUND_FAILED) or `reversed` after `succeeded`.
    {"op": "fail_refund", "refund": "…", "reversed": false}   what had succeeded comes back
    {"op": "fail_capture", "payment": "8815…", "again": true} CAPTURE_FAILED, of the last capture,
        which can be made again if `again` says so.
    {"op": "tell_captures", "payment": "8815…"}               CAPTURE, also of what none was told of
    {"op": "open_dispute", "payment": "8815…", "status": "notification"}
        `request_for_information` and `notification` take no money, `chargeback` (default) does.
    {"op": "charge_back", "payment": "8815…"}                 a notification becomes a chargeback
    {"op": "close_dispute", "payment": "8815…", "status": "reversed"}
        The money is back until `lost` (SECOND_CHARGEBACK) or `won`; `closed` ends what took none.
    {"op": "webhook", "url": "http://…", "secret": "44782D…"} the secret is an HMAC key in hex
    {"op": "settings", "outcome_delay_s": 0.2, "key_age_s": 604800, "authorization_age_s": 2419200}
        How long after a request its webhook leaves. `postpone_refunds`: they wait for a capture
        under way. `key_in_use_status` (409 or 422) and `key_in_use_transient`: what 704 looks like.
    A refund with `splits` shows in its row of payments what each account bore (`borne`).
    There is no balance to run short. `lock_timeout` is a 704 and `unavailable` a 703, both
    transient.

Faults
    {"op": "fault", "kind": "lost_answer", "count": 1}
        `lost_answer`: the work is done, the connection closed without a byte. `error_500`: with
        `after_work` false nothing was done; either way the 500 is kept under the key.
        `rate_limit` (429 with `retry_after`), `lock_timeout` (429) and `unavailable` (503):
        nothing is done or kept. `latency`: `seconds` between the work and the answer, or before
        the work when `after_work` is false. `refuse`: the connection is closed at once.
        `webhook_before_answer`: the request's webhooks are delivered before its answer leaves.
        Each with `count`, `skip` (matching requests to let pass first) and `probability`, and
        limited by `method` (POST; `any` for all), `path` (a pattern such as `/v1/refunds*`) and
        `payment`.
    {"op": "clear_faults", "kind": "latency"}        or all, without `kind`

PayPal: all of the above with `"gateway": "paypal"`, but for fraud warnings and `then` of
`requires_action`; amounts are ISO 4217 minor units, and besides
    {"op": "payment", "id": "2GG279541U471931P", "amount": 10200, "currency": "EUR"}
        Ids are capital letters and digits. `id` is the capture's, with `manual` the authorization's
        (then `charge` is its capture's, `C` + the id if left out); `order` is `O` + the id. Also
        `status` (`pending`), `method` (`paypal` or `card`), `custom_id`, `invoice_id`.
    {"op": "dashboard_capture", "payment": "2GG…", "amount": 500, "final": false}
        Not final: what it leaves stays held.
    {"op": "approve", "order": "5O1…"}               the buyer approves an order made over the API
    {"op": "capture_outcome", "status": "pending"}   of the next capture: `pending` or `failed`
    {"op": "settle_capture", "capture": "C1", "status": "succeeded"}
    {"op": "refusal", "issue": "PAYEE_ACCOUNT_RESTRICTED", "what": "refund", "count": 1}
        The next request of this kind (`refund`, `capture`, `void`, `reauthorize`) is refused so.
    {"op": "reverse", "payment": "2GG…", "amount": 500, "listed": false}
        PayPal takes money back; unlisted, only the capture's status says so.
    {"op": "open_dispute", "payment": "2GG…", "reason": "UNAUTHORISED", "stage": "CHARGEBACK"}
        `status`, `stage` and `channel` are PayPal's. An open case takes nothing.
    {"op": "update_dispute", "payment": "2GG…", "status": "UNDER_REVIEW"}
    {"op": "close_dispute", "payment": "2GG…", "status": "lost"}
        `won`, `lost` (PayPal gives the amount back by itself), `payout` or `canceled`.
    {"op": "balance", "currency": "EUR", "amount": 0, "refuse": false}
        Refunds beyond it are refused, or, with `refuse` false, pending until funded (an eCheck).
    {"op": "revoke_tokens"}                          every login is void: the next request gets 401
    {"op": "settings", "token_age_s": 32400, "refunds_most": 10, "refund_events": false}
        Also `key_age_s` (45 days), `order_key_age_s`, `authorization_age_s`, `refund_age_s`,
        `list_delay_s` (of the refunds in an order), `refuse_over_refund`.
    A login is struck only by faults whose `method` is `LOGIN` or `any`; `lock_timeout` is a 409.

Time and state
    {"op": "advance", "seconds": 86400}              every look-alike's clock, not signatures
    {"op": "settings", "key_age_s": 86400, "authorization_age_s": 604800, "list_delay_s": 0}
        When idempotency keys are forgotten, when authorizations expire, and how long a new refund
        stays invisible in lists. `"refuse_over_refund": false` makes a provider that pays whatever
        it is asked, beyond what was captured too: whoever relies on Stripe's refusal shows there.
    {"op": "reset"}                                  forget everything; with `gateway` only that one
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from amends.sim.adyen import AdyenWorld
from amends.sim.paypal import PayPalWorld
from amends.sim.stripe import StripeWorld
from amends.sim.wire import CommandRefused, Delivery, Plan, Request, World

HOST = "127.0.0.1"
API_KEY = "sk_test_sandbox"
WORLDS: dict[str, Callable[..., World]] = {
    "stripe": StripeWorld,
    "adyen": AdyenWorld,
    "paypal": PayPalWorld,
}
DELIVERY_WORKERS = 32
DELIVERY_TIMEOUT_S = 10.0

_encode = msgspec.json.encode


class _ShiftedClock:
    """The real time, plus what `advance` added."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.shift_s


class _BadCommand(msgspec.Struct):
    """The body of a 400 of the control API."""

    error: str
    ok: bool = False


class Sandbox:
    """The look-alikes behind one HTTP port. `url` is known once it runs."""

    def __init__(self, *, api_key: str = API_KEY, prng: Random | None = None) -> None:
        self._clock = _ShiftedClock()
        prng = prng or Random()
        self.worlds: dict[str, World] = {
            name: kind(self._clock, prng, api_key=api_key, sign_clock=time.time)
            for name, kind in WORLDS.items()
        }
        self.url = ""
        self._wake = asyncio.Event()
        self._outgoing: asyncio.Queue[tuple[World, Delivery]] = asyncio.Queue()
        self._client: aiohttp.ClientSession | None = None

    # Control

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run one command of the module's text. Raises CommandRefused."""
        wish = dict(command)
        gateway = wish.pop("gateway", None)
        if gateway is not None and gateway not in self.worlds:
            known = ", ".join(sorted(self.worlds))
            raise CommandRefused(f"Unknown gateway {gateway!r}; known are {known}.")
        try:
            return self._control(wish, gateway)
        finally:
            self._wake.set()

    def _control(self, wish: dict[str, Any], gateway: str | None) -> dict[str, Any]:
        if wish.get("op") == "advance":
            return self._advance(wish)
        if wish.get("op") == "reset" and gateway is None:
            for world in self.worlds.values():
                world.control(wish)
            return {}
        return self.worlds[gateway or "stripe"].control(wish)

    def _advance(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        seconds = wish.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise CommandRefused("`advance` needs `seconds`, a number that is not negative.")
        self._clock.shift_s += seconds
        return {"now": self._clock()}

    def movements(self) -> bytes:
        """The JSON of `GET /control/refunds`."""
        items = [item for world in self.worlds.values() for item in world.movements()]
        return _encode({"items": items})

    def payments(self) -> bytes:
        """The JSON of `GET /control/payments`."""
        return _encode({"items": [p for world in self.worlds.values() for p in world.payments()]})

    def balances(self) -> bytes:
        """The JSON of `GET /control/balances`."""
        return _encode({"items": [row for w in self.worlds.values() for row in w.balances()]})

    def _status(self) -> bytes:
        pending = sum(world.webhooks_pending for world in self.worlds.values())
        return _encode({"now": self._clock(), "webhooks_pending": pending})

    async def _answer_control(self, request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            shown = {
                "/control/refunds": self.movements,
                "/control/payments": self.payments,
                "/control/balances": self.balances,
                "/control/status": self._status,
            }.get(request.path)
            if shown is not None:
                return _json(200, shown())
        if request.method != "POST" or request.path != "/control":
            return _json(404, _encode(_BadCommand("There is no such control request.")))
        try:
            return _json(200, _encode(self._commands(await request.content.read())))
        except CommandRefused as refused:
            return _json(400, _encode(_BadCommand(str(refused))))

    def _commands(self, body: bytes) -> dict[str, Any]:
        try:
            sent = msgspec.json.decode(body, type=dict[str, Any] | list[dict[str, Any]])
        except msgspec.MsgspecError as error:
            raise CommandRefused(f"Send a JSON command or a list of them: {error}.") from error
        if isinstance(sent, dict):
            return {"ok": True, **self.control(sent)}
        return {"ok": True, "results": [self.control(command) for command in sent]}

    # Requests

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request to the port."""
        _, gateway, rest = (*request.path.split("/", 2), "", "")[:3]
        if gateway == "control":
            return await self._answer_control(request)
        world = self.worlds.get(gateway)
        if world is None:
            known = ", ".join(f"/{name}" for name in self.worlds)
            return _json(404, _encode(_BadCommand(f"Nothing is served here; try {known}.")))
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        query = request.rel_url.raw_query_string
        plan = world.handle(Request(request.method, "/" + rest, query, headers, body))
        self._wake.set()
        return await self._play(world, plan, request)

    async def _play(self, world: World, plan: Plan, request: web.BaseRequest) -> web.StreamResponse:
        if plan.start_after:
            await asyncio.sleep(plan.start_after)
            world.perform(plan)
            self._wake.set()
        for delivery in plan.deliver_first:
            await self._deliver(world, delivery)
        if plan.delay:
            await asyncio.sleep(plan.delay)
        world.release(plan)
        response = plan.response
        if plan.action != "respond" or response is None:
            return _hang_up(request)
        return web.Response(status=response.status, headers=response.headers, body=response.body)

    # Webhooks

    async def _pump(self) -> None:
        """Hand over what is due, then sleep until something else is."""
        while True:
            now = self._clock()
            for world in self.worlds.values():
                for delivery in world.due(now):
                    self._outgoing.put_nowait((world, delivery))
            self._wake.clear()
            due = [at for world in self.worlds.values() if (at := world.next_due()) is not None]
            wait_s = max(0.0, min(due) - self._clock()) if due else None
            try:  # not wait_for: in Python 3.11 it can swallow a cancellation
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue  # The wait ended because something is due.

    async def _work(self) -> None:
        while True:
            world, delivery = await self._outgoing.get()
            await self._deliver(world, delivery)

    async def _deliver(self, world: World, delivery: Delivery) -> None:
        world.delivered(delivery, await self._post(delivery))
        self._wake.set()

    async def _post(self, delivery: Delivery) -> int | None:
        if self._client is None:
            raise RuntimeError("a sandbox delivers webhooks only while it runs")
        try:
            async with self._client.post(
                delivery.url,
                data=delivery.body,
                headers=delivery.headers,
                allow_redirects=False,
            ) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return None  # No answer: the world's own schedule tries again.

    @asynccontextmanager
    async def open(self, port: int) -> AsyncIterator[None]:
        """Listen on a port (0: any free one) and deliver webhooks until the block ends."""
        runner = web.ServerRunner(web.Server(self.handle), shutdown_timeout=1.0)
        await runner.setup()
        timeout = aiohttp.ClientTimeout(total=DELIVERY_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=DELIVERY_WORKERS)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as self._client:
            tasks = [asyncio.create_task(self._pump())]
            tasks += [asyncio.create_task(self._work()) for _ in range(DELIVERY_WORKERS)]
            try:
                await web.TCPSite(runner, HOST, port).start()
                self.url = f"http://{HOST}:{runner.addresses[0][1]}"
                for name, world in self.worlds.items():
                    world.reached_at(f"{self.url}/{name}")
                yield
            finally:
                await runner.cleanup()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")


def _hang_up(request: web.BaseRequest) -> web.StreamResponse:
    """Close the connection without a byte; the response below goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@asynccontextmanager
async def running(
    port: int = 0, *, api_key: str = API_KEY, seed: int | None = None
) -> AsyncIterator[Sandbox]:
    """A sandbox inside this process: `async with running() as sandbox: … sandbox.url`."""
    sandbox = Sandbox(api_key=api_key, prng=Random(seed))
    async with sandbox.open(port):
        yield sandbox


async def serve(
    port: int,
    *,
    api_key: str = API_KEY,
    seed: int | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until cancelled; `ready` is called with the URL once the port listens."""
    async with running(port, api_key=api_key, seed=seed) as sandbox:
        if ready is not None:
            ready(sandbox.url)
        await asyncio.Event().wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="amends.sim.serve", description="Provider look-alikes.")
    parser.add_argument("--port", type=int, default=9400)
    parser.add_argument("--api-key", default=API_KEY)
    parser.add_argument("--seed", type=int, default=None, help="for the same ids in every run")
    given = parser.parse_args()
    try:
        asyncio.run(
            serve(
                given.port,
                api_key=given.api_key,
                seed=given.seed,
                ready=lambda url: print(
                    "sandbox: " + ", ".join(f"{url}/{name}" for name in WORLDS),
                    f"control: {url}/control",
                    sep=", ",
                    flush=True,
                ),
            )
        )
    except KeyboardInterrupt:
        print("sandbox: stopped")


if __name__ == "__main__":
    main()
