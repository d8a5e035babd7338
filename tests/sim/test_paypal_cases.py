"""PayPal's look-alike: orders and cases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sim.paypal_bench import FULL, PayPalBench, amount, held_path, refund_path

# -- orders ------------------------------------------------------------------------------------


def test_an_order_lists_what_happened(paypal: PayPalBench) -> None:
    paypal.authorized(custom_id="order-1")
    made = [
        paypal.ask("POST", held_path("capture"), amount(part), status=201)["id"]
        for part in ("60.00", "30.00")
    ]
    given = [paypal.refund("10.00", capture)["id"] for capture in made]
    order = paypal.get("/v2/checkout/orders/OAUTH1")
    payments = order["purchase_units"][0]["payments"]
    assert order["status"] == "COMPLETED"
    assert [item["id"] for item in payments["authorizations"]] == ["AUTH1"]
    assert [item["id"] for item in payments["captures"]] == made
    assert [item["id"] for item in payments["refunds"]] == given
    taken = paypal.get(f"/v2/payments/captures/{made[0]}")
    related = taken["supplementary_data"]["related_ids"]
    assert related == {"order_id": "OAUTH1", "authorization_id": "AUTH1"}


def test_an_order_may_show_a_refund_late(paypal: PayPalBench) -> None:
    paypal.captured()
    paypal.control("settings", list_delay_s=30)
    given = paypal.refund("1.00")
    order = paypal.get("/v2/checkout/orders/OCAP1")
    assert "refunds" not in order["purchase_units"][0]["payments"]
    assert paypal.get(f"/v2/payments/refunds/{given['id']}")["id"] == given["id"]
    paypal.now += 30
    order = paypal.get("/v2/checkout/orders/OCAP1")
    assert order["purchase_units"][0]["payments"]["refunds"][0]["id"] == given["id"]


@pytest.mark.parametrize(
    ("intent", "kind"), [("CAPTURE", "captures"), ("AUTHORIZE", "authorizations")]
)
def test_an_order_from_its_making_to_its_money(paypal: PayPalBench, intent: str, kind: str) -> None:
    unit = amount("12.34") | {"custom_id": "order-9"}
    body = {"intent": intent, "purchase_units": [unit]}
    made = paypal.ask("POST", "/v2/checkout/orders", body, key="o", status=201)
    assert paypal.ask("POST", "/v2/checkout/orders", body, key="o")["id"] == made["id"]
    path = f"/v2/checkout/orders/{made['id']}"
    step = f"{path}/{'capture' if intent == 'CAPTURE' else 'authorize'}"
    other = f"{path}/{'authorize' if intent == 'CAPTURE' else 'capture'}"
    assert paypal.issue("POST", step) == "ORDER_NOT_APPROVED"
    paypal.control("approve", order=made["id"])
    wrong = "ACTION_DOES_NOT_MATCH_INTENT" if intent == "CAPTURE" else "TRANSACTION_REFUSED"
    assert paypal.issue("POST", other) == wrong
    done = paypal.ask("POST", step, key="o", status=201, headers=FULL)
    payment = done["purchase_units"][0]["payments"][kind][0]
    assert payment["amount"]["value"] == "12.34"
    assert paypal.issue("POST", step) == (
        "ORDER_ALREADY_CAPTURED" if intent == "CAPTURE" else "ORDER_ALREADY_AUTHORIZED"
    )
    assert paypal.row()["psp_payment_id"] == payment["id"]
    paypal.now += 6 * 3600
    assert paypal.ask("POST", "/v2/checkout/orders", body, key="o", status=201)["id"] != made["id"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"intent": "CAPTURE"},
        {"intent": "SALE", "purchase_units": [amount("1.00")]},
        {"intent": "CAPTURE", "purchase_units": []},
        {"intent": "CAPTURE", "purchase_units": [{}]},
    ],
)
def test_an_order_that_is_none(paypal: PayPalBench, body: Any) -> None:
    assert paypal.send("POST", "/v2/checkout/orders", body).status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/payments/captures/NONE"),
        ("POST", "/v2/payments/captures/NONE/refund"),
        ("GET", "/v2/payments/refunds/NONE"),
        ("GET", "/v2/payments/authorizations/NONE"),
        ("POST", "/v2/payments/authorizations/NONE/void"),
        ("POST", "/v2/payments/authorizations/NONE/capture"),
        ("POST", "/v2/payments/authorizations/NONE/reauthorize"),
        ("GET", "/v2/checkout/orders/NONE"),
        ("POST", "/v2/checkout/orders/NONE/capture"),
        ("POST", "/v2/checkout/orders/NONE/authorize"),
        ("GET", "/v1/customer/disputes/NONE"),
        ("GET", "/v1/notifications/certs/CERT-NONE"),
    ],
)
def test_what_is_not_there(paypal: PayPalBench, method: str, path: str) -> None:
    assert paypal.issue(method, path, status=404) == "INVALID_RESOURCE_ID"


def test_what_has_no_route(paypal: PayPalBench) -> None:
    assert paypal.ask("GET", "/v2/payments/refunds", status=404)["name"] == "RESOURCE_NOT_FOUND"
    assert paypal.send("DELETE", "/v2/payments/captures/CAP1").status == 404


# -- cases -------------------------------------------------------------------------------------


def form(sent: Any = None, files: int = 0) -> tuple[bytes, dict[str, str]]:
    """A body of several parts, and its head."""
    parts = []
    if sent is not None:
        head = 'Content-Disposition: form-data; name="input"\r\nContent-Type: application/json'
        parts.append(f"--b\r\n{head}\r\n\r\n{json.dumps(sent)}\r\n")
    for number in range(files):
        head = f'Content-Disposition: form-data; name="file{number}"; filename="a.txt"'
        parts.append(f"--b\r\n{head}\r\n\r\nparcel\r\n")
    return "".join([*parts, "--b--\r\n"]).encode(), {
        "content-type": "multipart/form-data; boundary=b"
    }


def opened(paypal: PayPalBench, **more: Any) -> str:
    """The path of a case about a payment of 100.00."""
    paypal.captured()
    made = paypal.control("open_dispute", payment="CAP1", **more)
    return f"/v1/customer/disputes/{made['dispute']}"


def rels(case: dict[str, Any]) -> list[str]:
    return [link["rel"] for link in case["links"]]


def test_edge_11_an_open_case_takes_all_or_nothing(paypal: PayPalBench) -> None:
    opened(paypal)
    assert paypal.issue("POST", refund_path(), amount("1.00")) == "TRANSACTION_DISPUTED"
    paypal.refund("100.00")
    (case,) = paypal.get("/v1/customer/disputes")["items"]
    assert case["status"] == "RESOLVED"
    assert [m.amount for m in paypal.world.movements()] == [10_000]


def test_edge_11_what_was_charged_back_is_not_refunded(paypal: PayPalBench) -> None:
    opened(paypal, stage="CHARGEBACK", channel="EXTERNAL")
    issue = paypal.issue("POST", refund_path(), amount("100.00"))
    assert issue == "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"


def test_edge_12_accepting_a_claim_refunds_by_itself(paypal: PayPalBench) -> None:
    path = opened(paypal)
    assert rels(paypal.get(path)) == ["self", "accept_claim", "provide_evidence"]
    body, head = form({"note": "You are right.", "accept_claim_type": "REFUND"})
    done = paypal.ask("POST", f"{path}/accept-claim", body, headers=head)
    assert set(done) == {"links"}
    case = paypal.get(path)
    assert (case["status"], rels(case)) == ("RESOLVED", ["self"])
    assert case["dispute_outcome"]["outcome_code"] == "RESOLVED_BUYER_FAVOUR"
    assert case["dispute_outcome"]["amount_refunded"]["value"] == "100.00"
    assert [(m.amount, m.key) for m in paypal.world.movements()] == [(10_000, None)]
    assert paypal.issue("POST", refund_path(), {}) == "CAPTURE_FULLY_REFUNDED"
    issue = paypal.issue("POST", f"{path}/accept-claim", body, headers=head)
    assert issue == "ACTION_NOT_ALLOWED_IN_CURRENT_DISPUTE_STATE"
    assert len(paypal.world.movements()) == 1


@pytest.mark.parametrize(
    ("sent", "status", "issue"),
    [
        ({"accept_claim_type": "PARTIAL_REFUND"}, 400, "MISSING_REQUIRED_PARAMETER"),
        ({"accept_claim_type": "REFUND_WITH_RETURN"}, 400, "INVALID_PARAMETER_SYNTAX"),
        ({"note": ""}, 400, "INVALID_STRING_LENGTH"),
        (
            {"accept_claim_type": "PARTIAL_REFUND", "refund_amount": amount("100.01")["amount"]},
            422,
            "REFUND_AMOUNT_EXCEEDED",
        ),
        (
            {"accept_claim_type": "PARTIAL_REFUND", "refund_amount": amount("1", "USD")["amount"]},
            422,
            "CURRENCY_MISMATCH",
        ),
    ],
)
def test_a_claim_that_cannot_be_accepted_so(
    paypal: PayPalBench, sent: Any, status: int, issue: str
) -> None:
    path = opened(paypal)
    body, head = form(sent)
    assert paypal.issue("POST", f"{path}/accept-claim", body, headers=head, status=status) == issue
    assert paypal.world.movements() == []


def test_a_claim_is_accepted_in_part(paypal: PayPalBench) -> None:
    path = opened(paypal)
    asked = amount("30.00")["amount"]
    body, head = form({"accept_claim_type": "PARTIAL_REFUND", "refund_amount": asked})
    paypal.ask("POST", f"{path}/accept-claim", body, headers=head)
    assert paypal.row()["refunded"] == 3000


def test_evidence_sends_a_case_to_review(paypal: PayPalBench) -> None:
    path = opened(paypal)
    paypal.listen()
    proof = {"evidence_type": "PROOF_OF_FULFILLMENT", "notes": "It was delivered."}
    body, head = form({"evidences": [proof]}, files=1)
    paypal.ask("POST", f"{path}/provide-evidence", body, headers=head)
    case = paypal.get(path)
    assert (case["status"], rels(case)) == ("UNDER_REVIEW", ["self"])
    assert case["evidences"][0]["source"] == "SUBMITTED_BY_SELLER"
    assert paypal.types() == ["CUSTOMER.DISPUTE.UPDATED"]
    issue = paypal.issue("POST", f"{path}/provide-evidence", body, headers=head)
    assert issue == "ACTION_NOT_ALLOWED_IN_CURRENT_DISPUTE_STATE"


@pytest.mark.parametrize("sent", [{}, {"evidences": []}, {"evidences": [{"evidence_type": "X"}]}])
def test_evidence_that_is_none(paypal: PayPalBench, sent: Any) -> None:
    path = opened(paypal)
    body, head = form(sent)
    assert paypal.send("POST", f"{path}/provide-evidence", body, headers=head).status == 400
    assert paypal.send("POST", f"{path}/provide-evidence", sent).status == 415


@pytest.mark.parametrize(
    ("outcome", "code", "taken"),
    [
        ("won", "RESOLVED_SELLER_FAVOUR", 0),
        ("lost", "RESOLVED_BUYER_FAVOUR", 10_000),
        ("payout", "RESOLVED_WITH_PAYOUT", 0),
        ("canceled", "CANCELED_BY_BUYER", 0),
    ],
)
def test_a_case_ends(paypal: PayPalBench, outcome: str, code: str, taken: int) -> None:
    path = opened(paypal)
    paypal.listen()
    paypal.control("update_dispute", payment="CAP1", status="UNDER_REVIEW")
    paypal.control("close_dispute", payment="CAP1", status=outcome)
    assert paypal.get(path)["dispute_outcome"]["outcome_code"] == code
    assert paypal.row()["refunded"] == taken
    reversed_by = ["PAYMENT.CAPTURE.REVERSED"] if taken else []
    resolved = ["CUSTOMER.DISPUTE.UPDATED", *reversed_by, "CUSTOMER.DISPUTE.RESOLVED"]
    assert paypal.types() == resolved
    assert paypal.world.disputes()[0]["status"] == code


def test_cases_are_listed_in_pages(paypal: PayPalBench) -> None:
    paypal.control("payments", count=5, prefix="P", each={"amount": 100})
    for number in range(1, 6):
        paypal.control("open_dispute", payment=f"P{number}")
        paypal.now += 60
    path = "/v1/customer/disputes?page_size=2&dispute_state=REQUIRED_ACTION"
    seen: list[str] = []
    while path:
        page = paypal.get(path)
        seen += [item["dispute_id"] for item in page["items"]]
        following = [link["href"] for link in page["links"] if link["rel"] == "next"]
        path = following[0].removeprefix(paypal.world.site.url) if following else ""
    assert len(seen) == len(set(seen)) == 5
    one = paypal.get("/v1/customer/disputes?disputed_transaction_id=P3")["items"]
    assert [item["dispute_id"] for item in one] == [seen[2]]
    assert "items" not in paypal.get("/v1/customer/disputes?dispute_state=RESOLVED")


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0",
        "page_size=51",
        "page_size=x",
        "next_page_token=x",
        "update_time_after=yesterday",
        "update_time_after=2020-01-01T00:00:00Z",
        "update_time_before=2026-09-21T14:13:20",
        "start_time=2026-09-21T14:13:20Z&disputed_transaction_id=CAP1",
    ],
)
def test_a_search_that_is_refused(paypal: PayPalBench, query: str) -> None:
    assert paypal.send("GET", f"/v1/customer/disputes?{query}").status == 400


def test_a_reversal_that_no_list_shows(paypal: PayPalBench) -> None:
    paypal.captured()
    paypal.control("reverse", payment="CAP1", listed=False)
    order = paypal.get("/v2/checkout/orders/OCAP1")["purchase_units"][0]["payments"]
    assert order["captures"][0]["status"] == "REFUNDED"
    assert "refunds" not in order
