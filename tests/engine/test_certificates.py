"""Messages signed by a certificate: where it comes from, how often it is fetched, what is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import certifi
import msgspec
import pytest
import pytest_asyncio

from amends.core.reasons import Reason, Refused
from amends.doors.problems import HEADERS, STATUS
from amends.engine import certificates
from amends.engine.certificates import (
    FETCH_SECONDS,
    FRESH,
    KEPT_MAX,
    NEW_A_MINUTE,
    CertificateAway,
    Certificates,
)
from amends.engine.config import ConnectionConfig
from amends.engine.http import FETCHED_MAX
from amends.engine.intake import receive
from amends.gateways.spec import Failure, Request, Response, Trust
from amends.kernel.time import MINUTE
from tests.engine.guarded import PAYPAL, Guarded, Party, guarded
from tests.engine.lab import HandClock
from tests.gateways.paypal_certificates import BETWEEN, ROOT, SIGNER, URL, sign
from tests.gateways.paypal_table import SETTINGS, event, refund
from tests.gateways.table import dumps

CONNECTION = ConnectionConfig(PAYPAL, SETTINGS, rate=0, concurrency=64, indeterminate_after=0)
CHAIN = SIGNER.pem + BETWEEN.pem
GOOD = Response(200, {}, CHAIN)
WEBHOOK = "8PT597110X687430L"
BASE = "http://127.0.0.1:9400/paypal"
LOCAL = f"{BASE}/v1/notifications/certs/CERT-1"
BUNDLE = certifi.contents().encode()
RAW = dumps(event("PAYMENT.CAPTURE.REFUNDED", refund(), "refund"))


class Shelf:
    """Certificates without an engine."""

    def __init__(self) -> None:
        self.party, self.clock = Party(), HandClock()
        self.party.certificates[URL] = GOOD
        self.kept = Certificates(self.party, self.clock)

    async def trust(self, url: str = URL, connection: ConnectionConfig = CONNECTION) -> Trust:
        found = await self.kept.trust(connection, url)
        assert found is not None
        return found

    async def refused(self, url: str = URL) -> str:
        with pytest.raises(CertificateAway) as caught:
            await self.kept.trust(CONNECTION, url)
        return str(caught.value)


async def test_one_fetch_for_all_who_ask_within_an_hour() -> None:
    shelf = Shelf()
    found = await asyncio.gather(*(shelf.trust() for _ in range(20)))
    shelf.clock.forward(FRESH)
    assert {item.chain for item in (*found, await shelf.trust())} == {CHAIN}
    assert len(shelf.party.fetched) == 1
    shelf.clock.forward(1)
    await shelf.trust()
    assert len(shelf.party.fetched) == 2
    assert shelf.kept.counted == {(PAYPAL, "fetched"): 2}


async def test_the_fetch_carries_nothing_and_goes_only_outside() -> None:
    shelf = Shelf()
    await shelf.trust()
    assert shelf.party.fetched == [Request("GET", URL, from_message=True)]
    assert shelf.party.timeouts == [FETCH_SECONDS]


async def test_a_look_alike_of_the_configuration_may_be_on_this_machine() -> None:
    shelf = Shelf()
    shelf.party.certificates[LOCAL] = GOOD
    settings = msgspec.structs.replace(SETTINGS, base_url=BASE)
    own = msgspec.structs.replace(CONNECTION, settings=settings)
    await shelf.trust(LOCAL, own)
    await shelf.trust(URL, own)
    assert [request.from_message for request in shelf.party.fetched] == [False, True]


def test_a_root_that_cannot_be_read_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ROOT.pem.replace(b"\nMII", b"\nAAA")
    bundle = b"# a comment\n".join((BETWEEN.pem, broken, ROOT.pem)).decode()
    monkeypatch.setattr(certifi, "contents", lambda: bundle)
    certificates._roots.cache_clear()
    try:
        assert certificates._roots().split(b"\n\n") == [BETWEEN.pem.strip(), ROOT.pem.strip()]
    finally:
        certificates._roots.cache_clear()


async def test_the_roots_are_certifi_s_or_the_connection_s_own() -> None:
    shelf = Shelf()
    roots = (await shelf.trust()).anchors.split(b"\n\n")
    assert len(roots) > 100
    assert set(roots) <= set(re.findall(b"-----BEGIN.+?-----END CERTIFICATE-----", BUNDLE, re.S))
    own = msgspec.structs.replace(CONNECTION, trust_anchors=ROOT.pem)
    assert (await shelf.trust(URL, own)).anchors == ROOT.pem


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Failure(False, "no connection: refused"), "no connection: refused"),
        (Failure(True, "no answer in time"), "no answer in time"),
        (Response(503, {}, b""), "HTTP 503"),
        (Response(429, {}, b""), "HTTP 429"),
        (Response(302, {"location": "https://evil.example"}, b""), "HTTP 302"),
        (Response(200, {}, b"<html>sign in to the network</html>"), "the answer is no certificate"),
        (Response(200, {}, b""), "the answer is no certificate"),
        (Response(200, {}, CHAIN + b" " * FETCHED_MAX), "the answer is no certificate"),
    ],
)
async def test_what_cannot_be_had_is_said_to_all_and_tried_again(
    answer: Response | Failure, said: str
) -> None:
    shelf = Shelf()
    shelf.party.certificates[URL] = answer
    assert set(await asyncio.gather(*(shelf.refused() for _ in range(5)))) == {said}
    assert len(shelf.party.fetched) == 1
    shelf.party.certificates[URL] = GOOD
    await shelf.trust()
    assert len(shelf.party.fetched) == 2


async def test_no_certificate_at_that_address() -> None:
    shelf = Shelf()
    assert await shelf.kept.trust(CONNECTION, f"{URL}-unknown") is None


async def test_an_old_copy_serves_while_no_newer_one_can_be_had() -> None:
    shelf = Shelf()
    await shelf.trust()
    shelf.party.certificates[URL] = Response(503, {}, b"")
    shelf.clock.forward(FRESH + 1)
    for _ in range(3):
        assert (await shelf.trust()).chain == CHAIN
    assert len(shelf.party.fetched) == 2, "and is not asked for with every message"
    shelf.clock.forward(MINUTE + 1)
    await shelf.trust()
    assert len(shelf.party.fetched) == 3


async def test_strangers_can_name_a_few_new_addresses_a_minute() -> None:
    shelf = Shelf()
    await shelf.trust()
    for n in range(50):
        shelf.party.certificates[f"{URL}{n}"] = Failure(False, "refused")
        await shelf.refused(f"{URL}{n}")
    assert len(shelf.party.fetched) == NEW_A_MINUTE
    assert "too many new addresses" in await shelf.refused(f"{URL}new")
    await shelf.trust()  # known
    other = msgspec.structs.replace(CONNECTION, name="paypal-us")
    shelf.party.certificates[f"{URL}us"] = GOOD
    await shelf.trust(f"{URL}us", other)
    shelf.clock.forward(MINUTE)
    assert await shelf.refused(f"{URL}1") == "refused"


async def test_only_so_many_are_kept() -> None:
    shelf = Shelf()
    for n in range(KEPT_MAX + 3):
        shelf.party.certificates[f"{URL}{n}"] = GOOD
        await shelf.trust(f"{URL}{n}")
        shelf.clock.forward(MINUTE // 2)
    assert len(shelf.kept._kept) == KEPT_MAX
    assert f"{URL}0" not in shelf.kept._kept


# --- webhooks -----------------------------------------------------------------------------------


def test_a_sender_is_told_to_come_again() -> None:
    assert STATUS[Reason.CERTIFICATE_AWAY] == 503
    assert ("retry-after", "60") in HEADERS[Reason.CERTIFICATE_AWAY]


@pytest_asyncio.fixture
async def house(db_url: str, tmp_path: Path) -> AsyncIterator[Guarded]:
    """A sandbox whose certificates lead to a root of its own."""
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    anchors = f"file:{tmp_path / 'root.pem'}"
    async with guarded(db_url, tmp_path, base_url=BASE, trust_anchors=anchors) as found:
        found.party.certificates[LOCAL] = GOOD
        yield found


async def refusal(house: Guarded, raw: bytes, headers: dict[str, str]) -> tuple[Reason, str]:
    with pytest.raises(Refused) as told:
        await receive(house.engine, PAYPAL, raw, headers)
    return told.value.refusal.reason, told.value.refusal.detail


async def test_a_genuine_message_is_a_reason_to_look(house: Guarded) -> None:
    order = await house.order()
    headers = sign(RAW, WEBHOOK, url=LOCAL)
    for again in (False, True):
        told = await receive(house.engine, PAYPAL, RAW, headers)
        assert told.duplicate is again
    await house.settle(5)
    looks = [request for request in house.party.requests if request.method == "GET"]
    assert looks
    assert len(house.party.fetched) == 1
    assert await house.states(order) == []


async def test_a_message_that_names_another_host_fetches_nothing(house: Guarded) -> None:
    for url in (URL, "https://evil.example/v1/notifications/certs/CERT-1", f"{LOCAL}?x=1", ""):
        reason, detail = await refusal(house, RAW, sign(RAW, WEBHOOK, url=url))
        assert reason == Reason.SIGNATURE_INVALID
        assert "no certificate that may be fetched" in detail
    assert house.party.fetched == []


async def test_a_forged_message_is_refused(house: Guarded) -> None:
    headers = sign(RAW, WEBHOOK, url=LOCAL)
    assert (await refusal(house, RAW + b" ", headers))[0] == Reason.SIGNATURE_INVALID
    other = sign(RAW, "ANOTHERWEBHOOK", url=LOCAL)
    assert (await refusal(house, RAW, other))[0] == Reason.SIGNATURE_INVALID


async def test_a_certificate_that_is_away_is_no_forgery(house: Guarded) -> None:
    headers = sign(RAW, WEBHOOK, url=LOCAL)
    house.party.certificates[LOCAL] = Failure(False, "no connection: refused")
    reason, detail = await refusal(house, RAW, headers)
    assert reason == Reason.CERTIFICATE_AWAY
    assert detail == (
        "The certificate of the message cannot be had now: no connection: refused. "
        "Send it again later."
    )
    house.party.certificates[LOCAL] = GOOD
    await receive(house.engine, PAYPAL, RAW, headers)


async def test_a_certificate_of_an_unknown_authority_is_refused(
    db_url: str, tmp_path: Path
) -> None:
    """Without `trust_anchors` the usual roots count, which know nothing of ours."""
    async with guarded(db_url, tmp_path, base_url=BASE) as house:
        house.party.certificates[LOCAL] = GOOD
        reason, detail = await refusal(house, RAW, sign(RAW, WEBHOOK, url=LOCAL))
    assert reason == Reason.SIGNATURE_INVALID
    assert "no trusted root" in detail
