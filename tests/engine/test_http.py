"""The one HTTP client: whatever the wire does, "certainly nothing was executed" is said only when
no byte of the request can have arrived (I4); secrets never reach a log."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from amends.core.effects import RefundIntent
from amends.engine import http
from amends.engine.http import HttpTransport
from amends.gateways import stripe
from amends.gateways.spec import Failure, Request, Response
from amends.kernel.outcome import NotSent, Unknown
from tests.engine import faulty

SECRET = "sk_live_51Habcdefghijklmnopqrstuv"
TIMEOUT_S = 0.5
INTENT = RefundIntent(
    connection="stripe-eu",
    psp_payment_id="pi_1",
    currency="EUR",
    key="leg_1-1",
    amount=500,
    order="ord_1",
    refund="rf_1",
    leg="leg_1",
    epoch=1,
    reason="return",
)


@pytest_asyncio.fixture
async def client() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


def post(url: str) -> Request:
    headers = (("Authorization", f"Bearer {SECRET}"), ("Idempotency-Key", "leg_1-1"))
    return Request("POST", f"{url}/v1/refunds", headers, b"amount=500")


def is_unknown(result: Response | Failure) -> bool:
    return isinstance(result, Failure) and isinstance(stripe.parse(INTENT, result), Unknown)


def is_not_sent(result: Response | Failure) -> bool:
    return isinstance(result, Failure) and isinstance(stripe.parse(INTENT, result), NotSent)


async def test_a_good_answer(client: HttpTransport) -> None:
    async with faulty.serving(faulty.ok) as party:
        result = await client.send(post(party.url), TIMEOUT_S)
    assert isinstance(result, Response)
    assert (result.status, result.body) == (200, faulty.BODY)
    (request,) = party.requests
    assert request.endswith(b"\r\n\r\namount=500")
    assert f"Bearer {SECRET}".encode() in request


async def test_an_answer_in_many_pieces_is_whole(client: HttpTransport) -> None:
    async with faulty.serving(faulty.in_pieces) as party:
        result = await client.send(post(party.url), 5)
    assert isinstance(result, Response), result
    assert len(result.body) == 300_000


@pytest.mark.parametrize(
    "answer",
    [
        faulty.reset_at_once,
        faulty.drop_reply,
        faulty.close_reply,
        faulty.half_reply,
        faulty.half_head,
        faulty.no_http,
        faulty.blackhole,
        faulty.slow_body,
        faulty.too_long,
    ],
    ids=lambda answer: answer.__name__,
)
async def test_after_the_first_byte_nobody_knows(
    client: HttpTransport, answer: faulty.Answer
) -> None:
    async with faulty.serving(answer) as party:
        result = await client.send(post(party.url), TIMEOUT_S)
    assert is_unknown(result), result


async def test_nobody_listens(client: HttpTransport) -> None:
    assert is_not_sent(await client.send(post(faulty.nobody()), TIMEOUT_S))


async def test_the_handshake_never_ends(client: HttpTransport) -> None:
    async with faulty.deaf() as url:
        assert is_not_sent(await client.send(post(url), TIMEOUT_S))


async def test_a_name_nobody_has(client: HttpTransport) -> None:
    assert is_not_sent(await client.send(post("http://psp.invalid"), 5))


async def test_a_certificate_nobody_trusts(client: HttpTransport, tmp_path: Path) -> None:
    async with faulty.serving(faulty.ok, faulty.untrusted(tmp_path)) as party:
        result = await client.send(post(party.url), 5)
    assert is_not_sent(result), result
    assert party.requests == []


async def test_tls_to_a_party_without_tls(client: HttpTransport) -> None:
    async with faulty.serving(faulty.no_http) as party:
        result = await client.send(post(party.url.replace("http:", "https:")), TIMEOUT_S)
    assert is_not_sent(result), result


@pytest.mark.parametrize("url", ["http://", "ftp://127.0.0.1", "psp.test", "http://[::1"])
async def test_not_an_address(client: HttpTransport, url: str) -> None:
    assert is_not_sent(await client.send(post(url), TIMEOUT_S))


async def test_a_redirect_is_an_answer_and_not_followed(client: HttpTransport) -> None:
    async with faulty.serving(faulty.redirect) as party:
        result = await client.send(post(party.url), TIMEOUT_S)
        await asyncio.sleep(0)
    assert isinstance(result, Response)
    assert result.status == 307
    assert len(party.requests) == 1
    assert isinstance(stripe.parse(INTENT, result), Unknown)


async def test_a_kept_connection_that_was_closed_is_not_used_blindly(
    client: HttpTransport,
) -> None:
    """A POST is never repeated by the client itself: only the engine may, with its key."""
    async with faulty.serving(faulty.close_reply) as party:
        for _ in range(3):
            assert is_unknown(await client.send(post(party.url), TIMEOUT_S))
        assert len(party.requests) == 3


async def test_no_failure_names_a_secret(client: HttpTransport) -> None:
    for url in (faulty.nobody(), "http://psp.invalid", "http://["):
        result = await client.send(post(url), TIMEOUT_S)
        assert isinstance(result, Failure)
        assert SECRET not in result.reason


# --- addresses that came in a message -----------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:{port}/x",
        "https://[::1]:{port}/x",
        "https://localhost:{port}/x",
        "https://0.0.0.0:{port}/x",
        "https://[::ffff:127.0.0.1]:{port}/x",
        "http://127.0.0.1:{port}/x",
        "https://user@127.0.0.1:{port}/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest",
        "https://[fe80::1]/x",
        "https://[fd00::1]/x",
        "https://[::1",
    ],
)
async def test_an_address_from_a_message_leads_nowhere_near_us(
    client: HttpTransport, url: str
) -> None:
    async with faulty.serving(faulty.ok) as party:
        port = party.url.rpartition(":")[2]
        request = Request("GET", url.replace("{port}", port), from_message=True)
        result = await client.send(request, TIMEOUT_S)
        assert isinstance(result, Failure)
        assert not result.sent
    assert party.requests == []
    assert party.connections == 0


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("64:ff9b::5db8:d70e", True),  # the first of these, through NAT64
        ("64:ff9b::a00:1", False),
        ("64:ff9b:1::a00:1", False),  # NAT64 of a network's own (RFC 8215)
        ("::10.0.0.1", False),  # "compatible" (RFC 4291, 2.5.5.1)
        ("::ffff:0:10.0.0.1", False),  # "translated" (RFC 2765)
        ("2002:a00:1::1", False),
        ("fec0::1", False),  # site-local (RFC 3879)
        ("ff0e::1", False),
    ],
)
def test_no_way_of_writing_an_address_hides_our_own_network(address: str, public: bool) -> None:
    assert http._is_public(address) is public


@pytest.mark.parametrize(
    "url",
    ["http://psp.invalid", "ftp://psp.invalid", "https://a:b@psp.invalid", "https://[::1", ""],
)
async def test_an_address_from_a_message_is_plain_https(client: HttpTransport, url: str) -> None:
    result = await client.send(Request("GET", url, from_message=True), TIMEOUT_S)
    assert result == Failure(False, "an address from a message that is not plain https")


async def test_what_a_message_leads_to_is_short(
    client: HttpTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same party, once as configured and once as named by a message."""
    monkeypatch.setattr(http, "_public_socket", lambda info: socket.socket(*info[:3]))
    monkeypatch.setattr(http, "_may_be_fetched", lambda url: True)
    async with faulty.serving(faulty.in_pieces) as party:
        configured = await client.send(Request("GET", party.url), 5)
        named = await client.send(Request("GET", party.url, from_message=True), 5)
    assert isinstance(configured, Response)
    assert named == Failure(True, "the answer is too long")
    assert b"Authorization" not in b"".join(party.requests)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_a_subscriber_is_not_reached_inside(
    client: HttpTransport, scheme: str, host: str
) -> None:
    """Its address was configured, and leads nowhere near us unless the settings allow that."""
    async with faulty.serving(faulty.ok) as party:
        url = f"{scheme}://{host}:{party.url.rpartition(':')[2]}/x"
        result = await client.send(Request("POST", url, body=b"{}", public=True), TIMEOUT_S)
        assert isinstance(result, Failure)
        assert not result.sent
    assert party.connections == 0


async def test_of_a_long_answer_of_a_subscriber_the_head_counts(
    client: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the event: telling it again for what it went on to say would tell it twice."""
    monkeypatch.setattr(http, "_public_socket", lambda info: socket.socket(*info[:3]))
    async with faulty.serving(faulty.in_pieces) as party:
        result = await client.send(Request("POST", party.url, body=b"{}", public=True), 5)
    assert isinstance(result, Response)
    assert (result.status, result.body) == (200, b"")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%1", False),
        ("fd12::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::101:101", True),
        ("2002:0a00:0001::", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert http._is_public(address) is public
