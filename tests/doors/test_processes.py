"""`amends serve` as a process: beside the sandbox, beside commands, and to its end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from amends.engine.config import parse

from .conftest import order_body
from .process import DEADLINE_S, SETTINGS, amends, environment, running

TEA = {"lines": [{"id": "1", "quantity": 1}]}


@pytest.fixture
def sandbox_url(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    with running(folder, "sandbox", "--port", "0") as sandbox:
        yield sandbox.line().split()[1].removesuffix("/stripe,")
        assert sandbox.stop(signal.SIGINT) == 0


@pytest.fixture
def folder(tmp_path: Path, sandbox_url: str) -> Path:
    """Settings and an empty database."""
    (tmp_path / "amends.toml").write_text(SETTINGS.replace("{url}", sandbox_url))
    assert amends(tmp_path, "init").returncode == 0
    control = {"op": "payment", "id": "pi_1", "amount": 10200, "currency": "eur"}
    httpx.post(f"{sandbox_url}/control", json=control).raise_for_status()
    return tmp_path


def test_what_the_sandbox_prints_would_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = "http://127.0.0.1:9/webhooks"
    with running(tmp_path, "sandbox", "--port", "0", "--webhooks", hooks) as sandbox:
        assert sandbox.line().startswith("sandbox: http://127.0.0.1:")
        assert sandbox.stop(signal.SIGINT) == 0
        told = sandbox.rest()
    assert f"Webhooks go to {hooks}/stripe-eu, /adyen-eu and /paypal-eu." in told
    for line in told:
        for name, secret in re.findall(r"(\w+)=(\S+)", line) if "export" in line else ():
            monkeypatch.setenv(name, secret)
    first = told.index("In amends.toml:") + 1
    text = "\n".join(told[first : next(n for n, t in enumerate(told) if "Webhooks go" in t)])
    found = parse(tomllib.loads(text), tmp_path / "amends.toml").connections
    assert sorted(found) == ["adyen-eu", "paypal-eu", "stripe-eu"]
    assert found["paypal-eu"].trust_anchors == (tmp_path / "paypal-root.pem").read_bytes().strip()


def test_a_server_without_a_provider_says_so(tmp_path: Path) -> None:
    assert amends(tmp_path, "init").returncode == 0
    with running(tmp_path, "serve", "--port", "0") as server:
        assert server.line().startswith("amends serves http://")
        assert "no provider" in server.line()
        assert server.stop() == 0


def key(folder: Path, scopes: str = "admin") -> dict[str, str]:
    made = amends(folder, "key", "create", "--name", "test", "--scopes", scopes, "--json")
    assert made.returncode == 0, made.stderr
    return {"Authorization": f"Bearer {json.loads(made.stdout)['key']}"}


def until(condition: Any) -> None:
    """Wait for it, with a deadline."""
    ends = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < ends, "it never came true"


def test_a_server_refunds_and_ends_in_order(folder: Path, sandbox_url: str) -> None:
    headers = key(folder)
    with running(folder, "serve", "--port", "0") as server:
        url = server.line().rpartition(" ")[2]
        with httpx.Client(base_url=url, headers=headers, timeout=DEADLINE_S) as client:
            order = client.post("/v1/orders", json=order_body()).json()["id"]
            more = {"Idempotency-Key": "k", "Prefer": "wait=30"}
            made = client.post("/v1/refunds", json={"order": order, **TEA}, headers=more)
            assert (made.status_code, made.json()["state"]) == (201, "succeeded")
            # What a command beside the server decides, the server sends.
            said = amends(folder, "refund", "shop-1/1001", "--amount", "500", "--json")
            assert said.returncode == 0, said.stderr
            other = f"/v1/refunds/{json.loads(said.stdout)['id']}"
            until(lambda: client.get(other).json()["state"] == "succeeded")
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.errors().splitlines()]
        assert lines[-1]["event"] == "stopped"
        assert "sk_test_sandbox" not in server.errors()
    moved = httpx.get(f"{sandbox_url}/control/refunds").json()["items"]
    assert sorted(item["amount"] for item in moved) == [500, 3200]
    assert amends(folder, "audit", "verify").returncode == 0


def test_a_second_server_is_refused(folder: Path) -> None:
    with running(folder, "serve", "--port", "0") as server:
        url = server.line().rpartition(" ")[2]
        second = amends(folder, "serve", "--port", "0")
        assert second.returncode == 1
        assert "one server" in second.stderr
        assert "Traceback" not in second.stderr
        taken = amends(folder, "serve", "--port", url.rpartition(":")[2])
        assert taken.returncode == 1
        assert "cannot be listened on" in taken.stderr
        assert server.stop(signal.SIGINT) == 0


def test_waiting_requests_are_answered_when_it_stops(folder: Path, sandbox_url: str) -> None:
    headers = key(folder)
    slow = {"op": "fault", "kind": "latency", "seconds": 3, "count": 1}
    with (
        running(folder, "serve", "--port", "0") as server,
        httpx.Client(base_url=server.line().rpartition(" ")[2], timeout=DEADLINE_S) as client,
        ThreadPoolExecutor() as aside,
    ):
        order = client.post("/v1/orders", json=order_body(), headers=headers).json()["id"]
        httpx.post(f"{sandbox_url}/control", json=slow).raise_for_status()
        more = {**headers, "Idempotency-Key": "k", "Prefer": "wait=30"}
        body = {"order": order, **TEA}
        asked = aside.submit(client.post, "/v1/refunds", json=body, headers=more)
        until(lambda: client.get("/v1/refunds", headers=headers).json()["items"])
        assert server.stop() == 0
        answer = asked.result(DEADLINE_S)
        assert (answer.status_code, answer.json()["state"]) == (201, "sending")
    with running(folder, "serve", "--port", "0") as server:
        url = server.line().rpartition(" ")[2]
        path = f"{url}/v1/refunds/{answer.json()['id']}"
        # The provider's answer was still taken in before the first server ended.
        assert httpx.get(path, headers=headers).json()["state"] == "succeeded"
        assert server.stop() == 0


def test_webhooks_of_the_sandbox_are_taken(folder: Path, sandbox_url: str) -> None:
    headers = key(folder)
    with running(folder, "serve", "--port", "0") as server:
        url = server.line().rpartition(" ")[2]
        hook = {"op": "webhook", "url": f"{url}/webhooks/stripe-eu", "secret": "whsec_of_stripe"}
        dashboard = {"op": "dashboard_refund", "payment": "pi_1", "amount": 700}
        with httpx.Client(base_url=url, headers=headers, timeout=DEADLINE_S) as client:
            client.post("/v1/orders", json=order_body()).raise_for_status()
            httpx.post(f"{sandbox_url}/control", json=[hook, dashboard]).raise_for_status()
            until(lambda: client.get("/v1/payments/pi_1").json()["external"] == 700)
        assert server.stop() == 0


@pytest.mark.parametrize("name", ["STRIPE_KEY", "SHOP_SECRET"])
def test_a_missing_secret_names_its_setting(folder: Path, name: str) -> None:
    said = amends(folder, "serve", "--port", "0", **{name: ""})
    assert (said.returncode, said.stdout) == (1, "")
    assert name in said.stderr
    assert "[connections." in said.stderr


# Which order contradicts itself (more tax than total, more captured than promised, a line twice)
# and which currency an order is in is not for a schema to say: such a request is well-formed, and
# refused with 422. So is what a condition of a policy says, and which instants are past.
SCHEMATHESIS = """
[[operations]]
include-name-regex = "(POST|PUT) /v1/(orders|quotes|refunds|policies|reviews|stops)"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]
"""


def test_the_api_is_what_its_document_says(folder: Path) -> None:
    headers = key(folder)
    (folder / "schemathesis.toml").write_text(SCHEMATHESIS)
    with running(folder, "serve", "--port", "0") as server:
        url = server.line().rpartition(" ")[2]
        said = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
                *("--header", f"Authorization: {headers['Authorization']}"),
                *("--phases", "examples,coverage,fuzzing", "--max-examples", "10"),
                *("--generation-deterministic", "--no-color"),
            ],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=5 * DEADLINE_S,
            check=False,
        )
        assert said.returncode == 0, said.stdout
        assert server.stop() == 0
