"""Subscribers: whoever asked to be told what happens here, by Standard Webhooks (spec 1.0.0).

One request for each event: the body as it was stored with the change, signed with every secret of
the connection, newest first, so that either side of a rotation finds one it knows. The id is the
same over all tries. Any 2xx is an answer; 410 means that nobody listens there any more.

An ERP, a shop or a warehouse that we have no gateway for is told the same way, where the connection
asks for it by name (`published.TOLD`): `data` is the telling. That is not dropped after some tries:
it stays in its place, and those of one order come in order. 409 and 422 refuse one for good, with
the sentence in the body; a person is asked.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from amends.core.outlets import Happened, Telling, kind_of
from amends.core.published import TOLD, VERSION, unheard
from amends.gateways.signatures import webhook_key, webhook_signature, webhook_signed
from amends.gateways.spec import Capabilities, Failure, Request, Response, Settings, Talk
from amends.gateways.wire import retry_after
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import DAY, SECOND, Instant, parse_duration, rfc3339

__all__ = ["CAPABILITIES", "disable_after", "schedule", "talk", "trouble"]

CAPABILITIES = Capabilities(
    name="webhook",
    provider=False,
    settings=("url",),
    optional=("allow_private", "disable_after", "schedule"),
    lists=("events",),
    takes=("event", *TOLD),
)

# Standard Webhooks' recommendation, after the first try at once.
SCHEDULE = "5s 5m 30m 2h 5h 10h 14h 20h 24h"
DISABLE_AFTER = "5d"
_KEY_BYTES = range(24, 65)  # the specification: between 192 and 512 bits
_TRIES_MAX = 50
_REFUSALS = (409, 422)  # of what is no event
_SENTENCE_MAX = 500  # bytes of what a refusal says
_PAUSE_MAX = DAY  # a pause that a stranger asks for is no longer


def talk(telling: Telling, settings: Settings, now: Instant) -> Talk:
    """One request, and what its answer means; see `spec.Outlet`."""
    event = isinstance(telling, Happened)
    if not event and kind_of(telling) not in TOLD:
        return Declined("not_an_event", "No subscriber is told this.")
    if not telling.key.isascii() or not telling.key.isprintable() or not telling.key:
        return Declined("unwritable", f"{telling.key!r} is no id that a header could carry.")
    try:
        body = telling.body.encode() if isinstance(telling, Happened) else _told(telling)
    except UnicodeEncodeError:
        return Declined("unwritable", "The event holds half a character, which no UTF-8 can say.")
    stamp = str(now // SECOND)
    signed = webhook_signed(telling.key, stamp, body)
    signatures = [f"v1,{webhook_signature(key, signed)}" for key in _keys(settings)]
    result = yield Request(
        "POST",
        settings.values["url"],
        (
            ("Content-Type", "application/json"),
            ("webhook-id", telling.key),
            ("webhook-timestamp", stamp),
            ("webhook-signature", " ".join(signatures)),
        ),
        body,
        public=not _private(settings),
    )
    return _outcome(result, event)


def _told(telling: Telling) -> bytes:
    """The body of what is no event of the trail."""
    name, at = TOLD[kind_of(telling)], rfc3339(telling.at)
    whole = {"type": name, "timestamp": at, "version": VERSION, "data": telling}
    return msgspec.json.encode(whole)


def _outcome(result: Response | Failure, event: bool) -> Outcome:
    """What it knows of the event is not ours to ask: without a 2xx it is told again."""
    if isinstance(result, Failure):
        return Unknown(result.reason) if result.sent else NotSent(result.reason)
    status = result.status
    if status in range(200, 300):
        return Accepted()
    if status == 410:
        return Declined("gone", "The endpoint answered 410: nobody listens there any more.")
    if not event and status in _REFUSALS:
        said = result.body[:_SENTENCE_MAX].decode("utf-8", "replace").strip()
        return Declined(f"answered_{status}", said or f"The endpoint answered {status}.")
    pause = min(retry_after(result), _PAUSE_MAX)
    if status in (429, 503) and pause:
        return NotSent(f"answered {status}", retry_after=pause)
    return Unknown(f"answered {status}")


def _keys(settings: Settings) -> list[bytes]:
    return [key for secret in settings.webhook_secrets if (key := webhook_key(secret))]


def _private(settings: Settings) -> bool:
    return settings.values.get("allow_private") == "true"


def schedule(settings: Settings) -> tuple[int, ...]:
    """The pauses between tries, in microseconds; after the last the event is given up. Raises
    ValueError with what is wrong."""
    pauses = tuple(map(parse_duration, settings.values.get("schedule", SCHEDULE).split()))
    if not 0 < len(pauses) <= _TRIES_MAX:
        raise ValueError(f"schedule has 1 to {_TRIES_MAX} pauses")
    return pauses


def disable_after(settings: Settings) -> int:
    """How long nothing may arrive before the endpoint is disabled. Raises ValueError."""
    return parse_duration(settings.values.get("disable_after", DISABLE_AFTER))


def trouble(settings: Settings) -> str:
    """What is wrong with the settings, as what to do about it; "" if nothing is. Never raises."""
    if problem := _wrong_address(settings):
        return problem
    if not settings.webhook_secrets:
        return "webhook_secrets is needed: what is not signed nobody should believe"
    if any(len(webhook_key(secret)) not in _KEY_BYTES for secret in settings.webhook_secrets):
        return "a webhook secret is whsec_ and the base64 of 24 to 64 random bytes"
    if strange := unheard(settings.lists.get("events", ())):
        return f'events: nothing is called {strange[0]!r}; write "refund.*" or a name of the list'
    try:
        schedule(settings)
    except ValueError as error:
        return f"schedule: {error}"
    try:
        disable_after(settings)
    except ValueError as error:
        return f"disable_after: {error}"
    return ""


def _wrong_address(settings: Settings) -> str:
    allow = settings.values.get("allow_private", "false")
    if allow not in ("true", "false"):
        return "allow_private is true or false"
    url = settings.values["url"]
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"url: {url!r} is not an address"
    if not host or "@" in parts.netloc or parts.fragment or not url.isprintable() or " " in url:
        return f"url: {url!r} must name a host, and no user and no fragment"
    if parts.scheme == "http" and allow == "false":
        return "url must be https; plain http only together with allow_private = true"
    return "" if parts.scheme in ("http", "https") else f"url: {url!r} must be https"
