"""One run of the demo, from the empty folder to what it came to."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random

import aiohttp
import msgspec

from amends.doors.demo import crash, everyday, evidence, exchange, means, others, trouble
from amends.doors.demo.cast import Cast
from amends.doors.demo.checks import Check, judge
from amends.doors.demo.parties import (
    ADYEN,
    GATEWAYS,
    PAYPAL,
    PROVIDER,
    Caller,
    Provider,
    Shop,
    Unexpected,
)
from amends.doors.demo.stage import Stage
from amends.doors.demo.told import Story, Teller
from amends.store.spec import StoreUnavailable

CALL_SECONDS = 30  # of one HTTP call; the longest that is meant is `Prefer: wait=5`
RETRIES = [0.5, 1, 2, 4, 8]  # seconds between the provider's attempts to deliver a webhook

Telling = Callable[[Cast], Awaitable[None]]

BEFORE: tuple[tuple[str, Telling], ...] = (
    ("A plain refund", everyday.plain),
    ("A quote, its taxes, and the same request twice", everyday.partial),
    ("A discount lost by a return", everyday.lost_discount),
    ("A card and a gift card", means.mixed),
    ("A lost answer", trouble.lost_answer),
    ("Webhooks that arrive three times", trouble.repeats),
    ("A webhook that overtakes the answer", trouble.webhook_first),
    ("Two refunds of 60 % at the same moment", everyday.race),
)
CRASH = "kill -9 in the middle of eight refunds"
AFTER: tuple[tuple[str, Telling], ...] = (
    ("A late failure, and the second attempt", trouble.late_failure),
    ("A late failure, and store credit", means.to_store_credit),
    ("A refund made in the provider's dashboard", trouble.dashboard),
    ("A large amount and a second person", everyday.review),
    ("Forged and stale messages", trouble.forged),
    ("Out of stock before the money is taken", everyday.unavailable),
    ("Yen and dinars", everyday.exponents),
    ("Sold in dollars, booked in euro", exchange.gain_and_loss),
    ("An HTTP 500 that did the work", trouble.stored_error),
    ("Adyen: received, refunded, and failed days later", others.failed_days_later),
    ("Adyen: a lost answer, where nothing can be looked up", others.same_bytes),
    ("PayPal: its tokens are revoked in the middle", others.revoked),
    ("PayPal: a forged message whose signature holds", others.same_crc),
    ("PayPal: one of two things is out of stock", others.rest_captured),
)


class Wish(msgspec.Struct, frozen=True):
    """What was asked for on the command line."""

    store: str = ""
    seed: int | None = None
    keep: bool = False


class Failure(msgspec.Struct, frozen=True):
    """Where a run ended before its end, and where the logs are."""

    story: str
    expected: str
    found: str
    logs: str


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run came to; `--json` prints it."""

    ok: bool
    checks: list[Check]
    stories: list[Story]
    seconds: float
    failure: Failure | None = None
    logs: str = ""  # kept if anything is not as it should be


Kept = Callable[[Outcome, Stage], None]


async def play(wish: Wish, teller: Teller, kept: Kept) -> Outcome:
    """Play everything. `kept` is called once the processes stay up; Ctrl-C ends it.

    Raises ValueError for a store that cannot be named so, and CancelledError on Ctrl-C or SIGTERM,
    after everything was stopped.
    """
    prng = Random(None if wish.store else wish.seed)
    stage = Stage(wish.store, prng)
    teller.cast(stage.sandbox_url, stage.server_url, stage.store_shown)
    # The orders of an earlier run in the same store must not meet these.
    tag = f"{prng.getrandbits(24):06X}" if not wish.store else secrets.token_hex(4).upper()
    outcome = None
    with _stopping():
        try:
            outcome = await _play(wish, teller, stage, tag)
            if wish.keep and outcome.ok:
                kept(outcome, stage)
                await _for_ever()
            return outcome
        finally:
            await stage.clear(keep_files=outcome is not None and not outcome.ok)


@contextmanager
def _stopping() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the play; later ones do not disturb the clearing up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    signals = (signal.SIGINT, signal.SIGTERM)
    asked: list[int] = []

    def stop() -> None:
        if not asked and task is not None:
            task.cancel()
        asked.append(1)

    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _for_ever() -> None:
    """Until Ctrl-C, which here is how it is meant to end."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return


async def _play(wish: Wish, teller: Teller, stage: Stage, tag: str) -> Outcome:
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            began, cast = await _set(teller, stage, session, tag)
            await _tell(cast, session)
            checks = await _check(cast, began, wish.keep)
    except (Unexpected, StoreUnavailable, aiohttp.ClientError, LookupError, OSError) as error:
        return _ended(teller, stage, error)
    teller.table(checks)
    return concluded(checks, teller, str(stage.folder))


def concluded(checks: list[Check], teller: Teller, folder: str) -> Outcome:
    """The stories went as told; whether the books agree decides."""
    ok = all(check.ok for check in checks)
    return Outcome(ok, checks, teller.stories, teller.seconds, logs="" if ok else folder)


def _ended(teller: Teller, stage: Stage, error: Exception) -> Outcome:
    """The run ends in the middle of a story."""
    expected, found = "an answer", f"{type(error).__name__}: {error}"
    if isinstance(error, Unexpected):
        expected, found = error.expected, error.found
    elif isinstance(error, StoreUnavailable):
        expected, found = "a database that answers", str(error)
    elif isinstance(error, LookupError):
        expected = "an answer of the promised shape"
    told = teller.story
    story = f"Story {told.number}, “{told.title}”," if told.number else "The set-up"
    failure = Failure(story, expected, found, str(stage.server_log))
    return Outcome(False, [], teller.stories, teller.seconds, failure, str(stage.folder))


async def _set(
    teller: Teller, stage: Stage, session: aiohttp.ClientSession, tag: str
) -> tuple[evidence.Before, Cast]:
    """Schema and keys, then both processes, and the provider told where we are."""
    with teller.waiting("the provider and the server start"):
        await asyncio.gather(stage.open_store(), stage.start_sandbox(session))
        began = await evidence.before(stage.store)
        await asyncio.gather(stage.make_keys(), stage.start_server(session))
    provider = Provider(session, stage.sandbox_url, stage.secrets.providers_key)
    told = {
        PROVIDER: stage.secrets.stripe_secret,
        ADYEN: stage.secrets.adyen_hmac,
        PAYPAL: stage.secrets.paypal_webhook,
    }
    for name, secret in told.items():
        at = {"gateway": GATEWAYS[name]}
        hook = {"op": "webhook", "url": f"{stage.server_url}/webhooks/{name}", "secret": secret}
        await provider.does(hook | at, {"op": "webhook_retries", "retry_after_s": RETRIES} | at)
    shop = Shop(session, stage.server_url, stage.secrets.shop_secret, tag, provider)
    keys, url = stage.keys, stage.server_url
    support = Caller(session, url, "support", keys.support)
    lead = Caller(session, url, "lead", keys.lead)
    books = Caller(session, url, "books", keys.books)
    return began, Cast(teller, stage, shop, provider, support, lead, books)


async def _tell(cast: Cast, session: aiohttp.ClientSession) -> None:
    """Every story. What was on the wire at the kill is told last: its leases take their time."""
    for number, (title, tell) in enumerate(BEFORE, 1):
        with cast.teller.tells(number, title):
            await tell(cast)
    crashed = len(BEFORE) + 1
    with cast.teller.tells(crashed, CRASH):
        await crash.killed(cast, session)
    for number, (title, tell) in enumerate(AFTER, crashed + 1):
        with cast.teller.tells(number, title):
            await tell(cast)
    with cast.teller.tells(crashed, f"{CRASH}: what became of them"):
        await crash.recovered(cast)


async def _check(cast: Cast, began: evidence.Before, keep: bool) -> list[Check]:
    """Both sides at rest, the server ended in order (unless it stays up), then compared."""
    with cast.teller.waiting("comparing the books"):
        await cast.provider.has_delivered()
        truth = await evidence.of_provider(cast.provider)
        ours = await evidence.of_books(cast.books, cast.support, cast.shop.sales)
        if not keep:
            await cast.stage.stop_server()
        orders = {sale.id for sale in cast.shop.sales}
        trail = await evidence.of_disk(
            cast.stage.store, cast.stage.config, began, cast.shop, cast.provider, orders
        )
    return judge(truth, ours, trail)
