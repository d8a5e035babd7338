"""Who plays: a shop that signs its webhooks, the provider (the sandbox), callers of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, TypeVar

import aiohttp
import msgspec
from standardwebhooks.webhooks import Webhook

Json = dict[str, Any]
T = TypeVar("T")

SHOP = "shop-1"
PROVIDER = "stripe-eu"
ADYEN, PAYPAL = "adyen-eu", "paypal-eu"
GATEWAYS = {PROVIDER: "stripe", ADYEN: "adyen", PAYPAL: "paypal"}
METHODS = {ADYEN: "visa", PAYPAL: "paypal"}  # as these two name what was paid with
PATIENCE = 30.0  # seconds until something that should happen counts as not happening
POLL = 0.02  # seconds between two looks


class Unexpected(Exception):
    """Something is not as the story says. Both are sentences or values for people."""

    def __init__(self, expected: object, found: object) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected, self.found = str(expected), str(found)


def expect(what: str, wanted: object, found: object) -> None:
    """`found` is as `wanted`, or the story ends."""
    if found != wanted:
        raise Unexpected(f"{what}: {wanted}", found)


async def until(
    what: str,
    look: Callable[[], Awaitable[T]],
    good: Callable[[T], bool],
    seconds: float = PATIENCE,
) -> T:
    """Look until it is good. Raises Unexpected with what was seen last."""
    ends = monotonic() + seconds
    while True:
        found = await look()
        if good(found):
            return found
        if monotonic() > ends:
            raise Unexpected(f"{what} within {seconds:.0f} s", _short(found))
        await asyncio.sleep(POLL)


def _short(found: object) -> str:
    text = msgspec.json.encode(found).decode() if isinstance(found, dict | list) else str(found)
    return text if len(text) < 1500 else f"{text[:1500]} …"


class Answer(msgspec.Struct, frozen=True):
    """What an HTTP call brought."""

    status: int
    raw: bytes
    headers: Mapping[str, str]

    @property
    def body(self) -> Json:
        found = msgspec.json.decode(self.raw)
        return found if isinstance(found, dict) else {"value": found}

    def good(self, *statuses: int) -> Json:
        """The body, if the status is one of these. Raises Unexpected."""
        if self.status not in statuses:
            wanted = " or ".join(str(status) for status in statuses)
            raise Unexpected(f"HTTP {wanted}", f"HTTP {self.status} {_short(self.body)}")
        return self.body


class Line(msgspec.Struct, frozen=True):
    """What was sold: `total` for all units, `tax` inside it."""

    title: str
    quantity: int
    total: int
    tax: int = 0


class Sale(msgspec.Struct, frozen=True):
    """An order: the shop's number of it, ours, and the provider's payment."""

    number: str
    id: str
    payment: str
    currency: str
    total: int


class Caller:
    """Somebody with an API key. `name` is the key's, as the trail shows it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, name: str, key: str) -> None:
        self._session, self._url, self.name = session, url, name
        self._headers = {"Authorization": f"Bearer {key}"}
        self._calls = 0
        self.accepted: set[str] = set()  # refunds whose request was answered 201

    async def get(self, path: str) -> Json:
        """A call that only reads. Raises Unexpected unless it answers 200."""
        async with self._session.get(self._url + path, headers=self._headers) as answer:
            found = Answer(answer.status, await answer.read(), answer.headers)
        return found.good(200)

    async def pages(self, path: str) -> list[Json]:
        """All items of a list. `path` has its query."""
        items: list[Json] = []
        cursor = ""
        while True:
            page = await self.get(f"{path}&limit=200{cursor}")
            items += page["items"]
            if not page["next"]:
                return items
            cursor = f"&cursor={page['next']}"

    async def post(self, path: str, body: Json, key: str = "", wait: int = 0) -> Answer:
        """A call that does something; its Idempotency-Key is fresh unless one is given."""
        self._calls += 1
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            "Idempotency-Key": key or f"{self.name}-{self._calls}-{monotonic()}",
        }
        if wait:
            headers["Prefer"] = f"wait={wait}"
        raw = msgspec.json.encode(body)
        async with self._session.post(self._url + path, data=raw, headers=headers) as answer:
            found = Answer(answer.status, await answer.read(), answer.headers)
        if found.status == 201 and path == "/v1/refunds":
            self.accepted.add(found.body["id"])
        return found

    async def refund(self, body: Json, wait: int = 5) -> Json:
        """Ask for a refund that is taken. Raises Unexpected if it is not."""
        return (await self.post("/v1/refunds", body, wait=wait)).good(201)

    async def order(self, sale: Sale) -> Json:
        return await self.get(f"/v1/orders/{sale.id}")

    async def payment(self, sale: Sale) -> Json:
        return await self.get(f"/v1/payments/{sale.payment}")

    async def timeline(self, refund: str) -> list[Json]:
        found: list[Json] = (await self.get(f"/v1/refunds/{refund}/timeline"))["items"]
        return found

    async def becomes(self, refund: str, state: str, seconds: float = PATIENCE) -> Json:
        """The refund once it is in that state."""
        return await until(
            f"refund {refund} {state}",
            lambda: self.get(f"/v1/refunds/{refund}"),
            lambda found: found["state"] == state,
            seconds,
        )

    async def only_refund(self, sale: Sale, state: str) -> Json:
        """The one refund of an order, once it is in that state."""

        def there(order: Json) -> bool:
            return len(order["refunds"]) == 1 and order["refunds"][0]["state"] == state

        order = await until(f"one refund, {state}", lambda: self.order(sale), there)
        found: Json = order["refunds"][0]
        return found


class Provider:
    """The sandbox's control API: the provider's staff, its faults, and its own truth."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self._session, self.url = session, url
        self._headers = {"Authorization": f"Bearer {key}"}
        self.never_sent: set[str] = set()  # events whose webhooks were lost on purpose

    async def does(self, *commands: Json) -> None:
        """Control commands, all or none of the rest. Raises Unexpected."""
        async with self._session.post(f"{self.url}/control", json=list(commands)) as answer:
            Answer(answer.status, await answer.read(), answer.headers).good(200)

    async def shows(self, what: str) -> Json:
        """`refunds`, `payments` or `status` of its own truth."""
        async with self._session.get(f"{self.url}/control/{what}") as answer:
            return Answer(answer.status, await answer.read(), answer.headers).good(200)

    async def movements(self, *sales: Sale) -> list[Json]:
        """The movements of money it made on these payments."""
        wanted = {sale.payment for sale in sales}
        items = (await self.shows("refunds"))["items"]
        return [item for item in items if item["psp_payment_id"] in wanted]

    async def events(self) -> list[str]:
        """The ids of all events it ever announced."""
        found: list[str] = []
        after = ""
        while True:
            url = f"{self.url}/stripe/v1/events?limit=100{after}"
            async with self._session.get(url, headers=self._headers) as answer:
                page = Answer(answer.status, await answer.read(), answer.headers).good(200)
            found += [event["id"] for event in page["data"]]
            if not page["has_more"]:
                return found
            after = f"&starting_after={found[-1]}"

    async def falls_silent(self) -> set[str]:
        """From now on every webhook is lost. Gives the events known so far."""
        known = set(await self.events())
        await self.does({"op": "webhook_fault", "kind": "lose"})
        return known

    async def speaks_again(self, before: set[str]) -> None:
        """Webhooks arrive again; what was lost meanwhile is noted."""
        await self.does({"op": "clear_webhook_faults"})
        self.never_sent |= set(await self.events()) - before

    async def has_delivered(self) -> None:
        """Wait until no webhook is on its way."""
        await until(
            "no webhook on its way",
            lambda: self.shows("status"),
            lambda found: found["webhooks_pending"] == 0,
        )


class Shop:
    """A shop that sells, and tells by Standard Webhooks signed with the reference library."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, secret: str, tag: str, provider: Provider
    ) -> None:
        self._session, self._hooks = session, f"{url}/webhooks"
        self._signer, self._tag, self._provider = Webhook(secret), tag, provider
        self._messages = self._orders = 0
        self.sales: list[Sale] = []
        self.acknowledged: set[str] = set()

    async def sells(
        self,
        reader: Caller,
        currency: str,
        lines: Sequence[Line],
        paid: bool = True,
        at: str = PROVIDER,
    ) -> Sale:
        """An order the customer paid (or, `paid` False, only authorized): the provider `at` has the
        money, the shop's order.created arrives."""
        body = await self.rings_up(currency, lines, paid, at)
        (await self.tells("order.created", body)).good(200)
        number, payment = body["source"]["order_id"], body["tenders"][0]["psp_payment_id"]
        ours = (await reader.get(f"/v1/payments/{payment}"))["order"]
        return self.keeps(number, ours, body)

    async def rings_up(
        self, currency: str, lines: Sequence[Line], paid: bool = True, at: str = PROVIDER
    ) -> Json:
        """The payment at the provider, and the order as the shop would report it."""
        self._orders += 1
        number = f"{self._tag}-{self._orders:02}"
        payment = _payment_id(number.replace("-", ""), at)
        total = sum(line.total for line in lines)
        await self._provider.does(
            {
                "op": "payment",
                "gateway": GATEWAYS[at],
                "id": payment,
                "amount": total,
                "currency": currency.lower(),
                "capture": "automatic" if paid else "manual",
            }
        )
        return order_body(number, payment, currency, lines, paid, at)

    def keeps(self, number: str, ours: str, body: Json) -> Sale:
        tender = body["tenders"][0]
        sale = Sale(number, ours, tender["psp_payment_id"], body["currency"], tender["amount"])
        self.sales.append(sale)
        return sale

    def message(self, kind: str, data: Json, age: timedelta = timedelta(0)) -> tuple[bytes, Json]:
        """A signed message: body and headers."""
        self._messages += 1
        name, at = f"msg_{self._tag}_{self._messages}", datetime.now(UTC) - age
        body = msgspec.json.encode({"type": kind, "timestamp": at.isoformat(), "data": data})
        return body, {
            "webhook-id": name,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._signer.sign(name, at, body.decode()),
            "content-type": "application/json",
        }

    async def posts(self, connection: str, raw: bytes, headers: Mapping[str, str]) -> Answer:
        """Somebody's message, as it is, to the address of a connection."""
        url = f"{self._hooks}/{connection}"
        async with self._session.post(url, data=raw, headers=headers) as answer:
            return Answer(answer.status, await answer.read(), answer.headers)

    async def delivers(self, raw: bytes, headers: Json) -> Answer:
        """Post a message; what is answered 2xx must be on disk."""
        found = await self.posts(SHOP, raw, headers)
        if found.status == 200:
            self.acknowledged.add(headers["webhook-id"])
        return found

    async def tells(self, kind: str, data: Json) -> Answer:
        return await self.delivers(*self.message(kind, data))


def _payment_id(number: str, at: str) -> str:
    """A payment's name as that provider would give it."""
    return {PROVIDER: f"pi_{number}", ADYEN: number.rjust(16, "8"), PAYPAL: number.ljust(17, "0")}[
        at
    ]


def order_body(
    number: str, payment: str, currency: str, lines: Sequence[Line], paid: bool, at: str
) -> Json:
    """An order as `POST /v1/orders` and `order.created` take it."""
    total = sum(line.total for line in lines)
    return {
        "source": {"connection": SHOP, "order_id": number},
        "placed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "currency": currency,
        "prices_include_tax": True,
        "customer": {"id": f"c-{number}", "email": "customer@example.com", "country": "DE"},
        "lines": [
            {
                "id": str(index),
                "sku": line.title.upper().replace(" ", "-"),
                "title": line.title,
                "quantity": line.quantity,
                "total": line.total,
                "taxes": [{"name": "VAT", "amount": line.tax}] if line.tax else [],
            }
            for index, line in enumerate(lines, 1)
        ],
        "tenders": [
            {
                "kind": "payment",
                "connection": at,
                "psp_payment_id": payment,
                "amount": total,
                "captured": total if paid else 0,
                "method": METHODS.get(at, ""),
            }
        ],
    }
