"""A real Vendure shop on this machine, with our plugin: what it is told to do, and what it tells.

Install it with `npm ci` in `tests/shops/vendure`; `make test` does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

from amends.gateways.spec import Request, Response

HERE = Path(__file__).parent / "vendure"
MODULES = HERE / "node_modules"
USER, PASSWORD = "superadmin", "shop-test"

_ERROR = "... on ErrorResult { errorCode message }"
_ORDER = """id code state active totalWithTax shippingWithTax currencyCode
  lines { id quantity orderPlacedQuantity proratedLinePriceWithTax productVariant { id sku } }
  payments { id state amount transactionId method
    refunds { id total state reason transactionId lines { orderLineId quantity } } }
  fulfillments { id state }"""


class ShopRefused(Exception):
    """The shop answered with an error of its own; the text is its sentence."""


@dataclass(frozen=True)
class Pay:
    """One payment at the checkout: by which method, under which id of the provider's, taken at once
    or only authorized; `amount` 0: all that is to pay."""

    transaction: str
    method: str = "card"
    authorize: bool = False
    amount: int = 0


@dataclass
class Mailbox:
    """Where webhooks arrive: what came, and the status that is answered."""

    url: str
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    status: int = 204
    news: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, wanted: Any, seconds: float = 15) -> tuple[dict[str, str], bytes]:
        """The newest message whose `data` is `wanted`; fails after so many seconds."""

        def found() -> tuple[dict[str, str], bytes] | None:
            return next((m for m in reversed(self.came) if wanted(json.loads(m[1])["data"])), None)

        with self.news:
            assert self.news.wait_for(lambda: found() is not None, seconds), "no such webhook came"
            message = found()
        assert message is not None
        return message


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A receiver of webhooks on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with box.news:
                if box.status < 300:
                    box.came.append((headers, body))
                    box.news.notify_all()
                status = box.status
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        box = Mailbox(f"http://127.0.0.1:{server.server_address[1]}/webhooks/shop-1")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield box
        server.shutdown()
        thread.join()


def send(request: Request) -> Response:
    """Sends what a gateway wrote."""
    sent = urllib.request.Request(
        request.url, request.body or None, dict(request.headers), method=request.method
    )
    try:
        with urllib.request.urlopen(sent, timeout=30) as got:
            return Response(got.status, {n.lower(): v for n, v in got.headers.items()}, got.read())
    except urllib.error.HTTPError as error:
        with error:
            headers = {name.lower(): value for name, value in error.headers.items()}
            return Response(error.code, headers, error.read())


class Api:
    """One of the shop's two GraphQL APIs, in a session of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = ""

    def __call__(self, query: str, **variables: Any) -> Any:
        """The one field that was asked for. Raises ShopRefused."""
        head = {"Content-Type": "application/json"}
        if self.token:
            head["Authorization"] = f"Bearer {self.token}"
        body = json.dumps({"query": query, "variables": variables}).encode()
        answer = send(Request("POST", self.url, tuple(head.items()), body))
        self.token = answer.headers.get("vendure-auth-token", self.token)
        told = json.loads(answer.body)
        if "errors" in told:
            raise ShopRefused(told["errors"][0]["message"])
        (found,) = told["data"].values()
        if isinstance(found, dict) and "errorCode" in found:
            raise ShopRefused(found["message"])
        return found


def installed() -> str:
    """The path of node. Skips the test where the shop cannot run."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node, which is not on this machine")
    if not (MODULES / "@vendure" / "core").is_dir():
        pytest.skip("needs Vendure: npm ci in tests/shops/vendure")
    return node


def environment() -> dict[str, str]:
    """The plugin lies outside the folder its parts are installed in; nothing is told to Vendure."""
    return {**os.environ, "NODE_PATH": str(MODULES), "VENDURE_DISABLE_TELEMETRY": "true"}


def filled_database(node: str) -> Path:
    """The database of a new shop with its goods, made once per version of it."""
    content = (HERE / "server.js").read_bytes() + (HERE / "package-lock.json").read_bytes()
    made = MODULES / ".shop" / f"{sha256(content).hexdigest()[:16]}.sqlite"
    if not made.exists():
        work = made.with_suffix(f".{os.getpid()}")
        work.mkdir(parents=True)
        try:
            subprocess.run(
                [node, "server.js", str(work)],
                cwd=HERE,
                env=environment(),
                check=True,
                stdout=subprocess.DEVNULL,
            )
            (work / "shop.sqlite").rename(made)
        finally:
            shutil.rmtree(work)
    return made


class VendureShop:
    """A shop in a folder of its own. It sells MUG-01 (24.95 net, 19 %) and BOOK-01 (9.99 net, 7 %),
    sends parcels for 4.95, and takes the payment methods `card` and `wallet`."""

    def __init__(self, folder: Path, webhook_url: str = "", secrets: Sequence[str] = ()) -> None:
        self.folder = folder
        self.log = folder / "shop.log"
        self.node = installed()
        if not (folder / "shop.sqlite").exists():
            shutil.copy(filled_database(self.node), folder / "shop.sqlite")
        with create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.webhook_url, self.secrets = webhook_url, tuple(secrets)
        self.process: subprocess.Popen[str] | None = None
        self.admin = Api(f"{self.url}/admin-api")

    # -- the process ---------------------------------------------------------------------------

    def start(self) -> VendureShop:
        """Opens the shop, as it was left."""
        told = (self.webhook_url, *self.secrets) if self.webhook_url else ()
        self.process = subprocess.Popen(
            [self.node, "server.js", str(self.folder), str(self.port), *told],
            cwd=HERE,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        opened = threading.Event()
        threading.Thread(target=self._log, args=(self.process, opened), daemon=True).start()
        if not opened.wait(60) or self.process.poll() is not None:
            self.stop(signal.SIGKILL)
            raise AssertionError(f"the shop did not open: {self.log.read_text()}")
        self.admin.token = ""
        self.admin(
            "mutation ($u: String!, $p: String!) { login(username: $u, password: $p)"
            f" {{ ... on CurrentUser {{ id }} {_ERROR} }} }}",
            u=USER,
            p=PASSWORD,
        )
        return self

    def _log(self, process: subprocess.Popen[str], opened: threading.Event) -> None:
        """Keeps what the process says, until it ends."""
        assert process.stdout is not None
        with self.log.open("a") as log, process.stdout as lines:
            for line in lines:
                log.write(line)
                log.flush()
                if line == "open\n":
                    opened.set()
        opened.set()

    def stop(self, how: int = signal.SIGTERM) -> None:
        """Ends the process, or kills it with SIGKILL."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            process.wait(timeout=30)
            assert process.stdin is not None
            process.stdin.close()

    # -- customers -----------------------------------------------------------------------------

    def buy(
        self, goods: Mapping[str, int], pay: Sequence[Pay], coupon: str = "", country: str = "DE"
    ) -> Any:
        """A customer orders so many units by SKU; the order as `order` gives it."""
        shop = Api(f"{self.url}/shop-api")
        for sku, units in goods.items():
            self._shopped(
                shop,
                "addItemToOrder(productVariantId: $a, quantity: $b)",
                "ID!",
                self.variant(sku)["id"],
                ("Int!", units),
            )
        if coupon:
            self._shopped(shop, "applyCouponCode(couponCode: $a)", "String!", coupon)
        customer = {"firstName": "Ada", "lastName": "Example", "emailAddress": "ada@example.com"}
        self._shopped(shop, "setCustomerForOrder(input: $a)", "CreateCustomerInput!", customer)
        address = {"streetLine1": "1 Test Street", "countryCode": country}
        self._shopped(shop, "setOrderShippingAddress(input: $a)", "CreateAddressInput!", address)
        (method,) = shop("{ eligibleShippingMethods { id } }")
        self._shopped(shop, "setOrderShippingMethod(shippingMethodId: $a)", "[ID!]!", method["id"])
        self._shopped(shop, "transitionOrderToState(state: $a)", "String!", "ArrangingPayment")
        code = ""
        for one in pay:
            facts = {"transactionId": one.transaction, "authorize": one.authorize}
            facts |= {"amount": one.amount} if one.amount else {}
            given = {"method": one.method, "metadata": facts}
            made = self._shopped(shop, "addPaymentToOrder(input: $a)", "PaymentInput!", given)
            code = made["code"]
        return self.order(code)

    def _shopped(
        self, shop: Api, call: str, kind: str, value: Any, more: tuple[str, Any] | None = None
    ) -> Any:
        head = f"$a: {kind}" + (f", $b: {more[0]}" if more else "")
        variables = {"a": value, **({"b": more[1]} if more else {})}
        query = f"mutation ({head}) {{ {call} {{ ... on Order {{ code state }} {_ERROR} }} }}"
        return shop(query, **variables)

    # -- the people of the shop ----------------------------------------------------------------

    def order(self, code: str) -> Any:
        """The order as the Admin API has it."""
        query = (
            "query ($c: String!) { orders(options: {filter: {code: {eq: $c}}}) { items { %s } } }"
        )
        (found,) = self.admin(query % _ORDER, c=code)["items"]
        return found

    def lines(self, code: str, units: Mapping[str, int]) -> list[dict[str, Any]]:
        """So many units by SKU, as the API takes them."""
        ids = {line["productVariant"]["sku"]: line["id"] for line in self.order(code)["lines"]}
        return [{"orderLineId": ids[sku], "quantity": n} for sku, n in units.items()]

    def fulfil(self, code: str, units: Mapping[str, int], delivered: bool = True) -> None:
        """Sends so many units by SKU, and has them delivered."""
        how = [{"name": "method", "value": "parcel"}, {"name": "trackingCode", "value": "1"}]
        given = {
            "lines": self.lines(code, units),
            "handler": {"code": "manual-fulfillment", "arguments": how},
        }
        made = self.admin(
            "mutation ($i: FulfillOrderInput!) { addFulfillmentToOrder(input: $i)"
            f" {{ ... on Fulfillment {{ id }} {_ERROR} }} }}",
            i=given,
        )
        for state in ("Shipped", "Delivered")[: 1 + delivered]:
            self.admin(
                "mutation ($i: ID!, $s: String!) { transitionFulfillmentToState(id: $i, state: $s)"
                f" {{ ... on Fulfillment {{ id }} {_ERROR} }} }}",
                i=made["id"],
                s=state,
            )

    def cancel(
        self, code: str, units: Mapping[str, int] | None = None, reason: str = "not available"
    ) -> Any:
        """Cancels so many units by SKU, or the whole order with its shipping."""
        given = {"orderId": self.order(code)["id"], "reason": reason, "cancelShipping": not units}
        given |= {"lines": self.lines(code, units)} if units else {}
        return self.admin(
            "mutation ($i: CancelOrderInput!) { cancelOrder(input: $i)"
            f" {{ ... on Order {{ {_ORDER} }} {_ERROR} }} }}",
            i=given,
        )

    def refund(
        self, code: str, amount: int, reason: str = "the shop's own", payment: int = 0
    ) -> Any:
        """Refunds there: the payment handler is asked to pay."""
        given = {"paymentId": self.order(code)["payments"][payment]["id"], "amount": amount}
        given |= {"reason": reason, "lines": [], "shipping": 0, "adjustment": 0}
        return self.admin(
            "mutation ($i: RefundOrderInput!) { refundOrder(input: $i)"
            f" {{ ... on Refund {{ id state total transactionId }} {_ERROR} }} }}",
            i=given,
        )

    def settle(self, code: str, payment: int = 0) -> Any:
        """Captures an authorized payment."""
        return self.admin(
            "mutation ($i: ID!) { settlePayment(id: $i)"
            f" {{ ... on Payment {{ id state }} {_ERROR} }} }}",
            i=self.order(code)["payments"][payment]["id"],
        )

    def coupon(self, code: str, percent: int) -> None:
        """Gives so much off whole orders with this code."""
        off = [{"name": "discount", "value": str(percent)}]
        action = {"code": "order_percentage_discount", "arguments": off}
        given: dict[str, Any] = {
            "enabled": True,
            "couponCode": code,
            "conditions": [],
            "actions": [action],
        }
        given["translations"] = [{"languageCode": "en", "name": code}]
        self.admin(
            "mutation ($i: CreatePromotionInput!) { createPromotion(input: $i)"
            f" {{ ... on Promotion {{ id }} {_ERROR} }} }}",
            i=given,
        )

    def variant(self, sku: str) -> Any:
        """The product's variant with this SKU."""
        query = "query ($s: String!) { productVariants(options: {filter: {sku: {eq: $s}}})"
        query += " { items { id stockLevels { stockOnHand stockAllocated } } } }"
        (found,) = self.admin(query, s=sku)["items"]
        return found

    def stock(self, sku: str) -> tuple[int, int]:
        """Units on hand, and how many of them are allocated to orders."""
        (level,) = self.variant(sku)["stockLevels"]
        return level["stockOnHand"], level["stockAllocated"]

    def refunds(self, code: str) -> list[Any]:
        """All refunds of an order, over its payments."""
        return [r for payment in self.order(code)["payments"] for r in payment["refunds"]]

    def paid_by_handler(self) -> list[Any]:
        """What the payment handler was asked to pay or void so far."""
        path = self.folder / "handler.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def vendure_shop(folder: Path, webhook_url: str, secrets: Sequence[str]) -> Iterator[VendureShop]:
    """An open shop that tells `webhook_url`, until the block ends."""
    shop = VendureShop(folder, webhook_url, secrets).start()
    try:
        yield shop
    finally:
        shop.stop()
