"""Logs hold no secret, whoever logs it and however deep it is buried."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable

import pytest
import structlog

from amends.doors import logs
from amends.engine.deliver import Deliverer
from amends.gateways.spec import Failure, Request, Response
from tests.engine.lab import Lab

SECRETS = ("sk_test_sandbox", "whsec_laboratory")
KEY = "sk_live_51Habcdefghijklmnopqrstuv"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What has been logged so far."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up(SECRETS)
    return stream.getvalue


def test_every_kind_of_value_is_scrubbed(written: Callable[[], str]) -> None:
    log = structlog.get_logger()
    log.warning(
        "refused",
        reason=f"wrong key {KEY}",
        header=f"Bearer {KEY}",
        nested={"keys": [KEY, ("whsec_laboratory", b"sk_test_sandbox")]},
        ours="amk_" + "x" * 43,
        error=ValueError(f"bad {KEY}"),
        card="4242424242424242",
        count=3,
    )
    text = written()
    for secret in (*SECRETS, KEY, "amk_x", "4242424242424242"):
        assert secret not in text
    line = json.loads(text)
    assert line["count"] == 3
    assert line["level"] == "warning"


def test_tracebacks_hold_neither_secrets_nor_locals(written: Callable[[], str]) -> None:
    def fail(credential: str) -> None:
        raise RuntimeError(f"no luck with {credential}")

    try:
        fail(KEY)
    except RuntimeError:
        structlog.get_logger().exception("failed")
    text = written()
    assert "RuntimeError" in text
    assert "credential" not in text.replace("credential: str", "")
    assert KEY not in text


class Leaky:
    """A network whose error says too much."""

    async def send(self, request: Request, timeout_seconds: float) -> Response | Failure:
        raise ConnectionError(f"cannot send {request.headers}")

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_defect_while_sending_is_logged_without_the_key(
    lab: Lab, written: Callable[[], str]
) -> None:
    order = await lab.order()
    deliverer: Deliverer = lab.nodes[0].engine.deliverer
    deliverer._transport = Leaky()
    await lab.nodes[0].refund(order.id)
    await lab.nodes[0].quiet()
    text = written()
    assert "delivery failed" in text
    for secret in SECRETS:
        assert secret not in text


async def test_a_lost_answer_is_logged_without_the_key(
    lab: Lab, written: Callable[[], str]
) -> None:
    order = await lab.order()
    lab.control("fault", kind="error_500", count=2)
    await lab.nodes[0].refund(order.id)
    await lab.settle()
    text = written()
    for secret in SECRETS:
        assert secret not in text
