"""Policies, stops and reviews over REST, and what they do with bad input."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from amends.doors import policies as door
from amends.kernel.time import DAY, rfc3339

from .conftest import Opening, Shop

TEA = {"lines": [{"id": "1", "quantity": 1}]}
LARGE = {
    "id": "large",
    "when": "refund.amount > 3000",
    "outcome": "review",
    "reason": "large",
    "says": "We look at it.",
}
REST = {"id": "rest", "when": "true", "outcome": "approve"}
POLICY = {"name": "mine", "rows": [LARGE, REST]}


def with_row(**changes: Any) -> dict[str, Any]:
    return {"name": "mine", "rows": [LARGE | changes, REST]}


async def test_a_policy_is_published_and_decides(shop: Shop) -> None:
    assert (await shop.call("GET", "/v1/policies")).json() == {"items": []}
    assert (await shop.call("GET", "/v1/policies/current")).json()["name"] == "built-in"
    lead = ("policies:write",)
    body = {"policy": POLICY, "why": "larger ones are looked at"}
    made = await shop.call("POST", "/v1/policies", body, scopes=lead)
    assert (made.status_code, made.json()["version"], made.json()["in_force"]) == (201, 1, True)
    refund = await shop.refund({"order": await shop.order(), **TEA})
    assert (refund["state"], refund["decision"]["rule"]) == ("review", "large")
    decision = refund["decision"]
    assert (decision["code"], decision["says"]) == ("large", "We look at it.")
    why = (await shop.call("GET", f"/v1/refunds/{refund['id']}/explain")).json()
    assert why["sentence"] == decision["sentence"]
    assert "large (row large)" in why["sentence"]
    assert (why["condition"], why["policy_name"]) == ("refund.amount > 3000", "mine")
    assert why["rows"] == [
        {"row": "large", "verdict": "applies"},
        {"row": "rest", "verdict": "applies"},
    ]
    later = {"policy": with_row(when="true"), "effective_from": "2999-01-01T00:00:00Z"}
    assert not (await shop.call("POST", "/v1/policies", later)).json()["in_force"]
    listed = (await shop.call("GET", "/v1/policies")).json()["items"]
    assert [(v["version"], v["in_force"]) for v in listed] == [(2, False), (1, True)]
    for name in ("1", "current", made.json()["hash"]):
        read = (await shop.call("GET", f"/v1/policies/{name}", scopes=("read",))).json()
        assert (read["policy"], read["hash"]) == (POLICY, made.json()["hash"])
    assert await shop.code("GET", "/v1/policies/9") == "404 unknown_policy"
    past = {"policy": POLICY, "effective_from": "2020-01-01T00:00:00Z"}
    assert await shop.code("POST", "/v1/policies", past) == "422 validation"
    assert await shop.code("POST", "/v1/policies", body, scopes=("read",)) == "403 forbidden"
    assert await shop.code("GET", "/v1/refunds/rf_no/explain") == "404 unknown_refund"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unparsable": (with_row(when="refund.amount >"), "/rows/0/when"),
    "unknown field": (with_row(when="refund.amout > 1"), "/rows/0/when"),
    "unknown function": (with_row(when="exec('x') > 1"), "/rows/0/when"),
    "type": (with_row(when="refund.amount"), "/rows/0/when"),
    "loop": (with_row(when="lines.skus.all(a, lines.skus.all(b, true))"), "/rows/0/when"),
    "nested": (with_row(when="(" * 500 + "true" + ")" * 500), "/rows/0/when"),
    "long": (with_row(when="true || " * 1000 + "true"), "/rows/0/when"),
    "outcome": (with_row(outcome="perhaps"), "/rows/0/outcome"),
    "unknown option": (with_row(retrnless=True), "/rows/0"),
    "wrong option": (with_row(returnless=True), "/rows/0/returnless"),
    "guess declines": (with_row(when="risk.score_bp > 1", outcome="decline"), "/rows/0/outcome"),
    "last row": ({"name": "mine", "rows": [LARGE]}, "/rows/0/when"),
    "no rows": ({"name": "mine", "rows": []}, "/rows"),
    "twice": ({"name": "mine", "rows": [LARGE, LARGE, REST]}, "/rows/1/id"),
    "no cap": (with_row(outcome="approve", caps=["c"]), "/rows/0/caps"),
    "large": (
        {"name": "mine", "rows": [LARGE | {"id": f"r{n}", "says": "x" * 490} for n in range(190)]},
        "",
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_policy_is_told_with_every_place(shop: Shop, name: str) -> None:
    policy, pointer = BAD[name]
    for path in ("/v1/policies/check", "/v1/policies", "/v1/policies/replay"):
        answer = await shop.call("POST", path, {"policy": policy})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "bad_policy"), problem
        assert pointer in [fault["pointer"] for fault in problem["errors"]]
        assert all(fault["detail"] for fault in problem["errors"])
    answer = await shop.call("PUT", "/v1/policies/drafts/mine", {"policy": policy})
    assert answer.json()["code"] == "bad_policy"
    assert (await shop.call("GET", "/v1/policies")).json()["items"] == []


async def test_a_megabyte_of_rules_is_not_read(shop: Shop) -> None:
    for path in ("/v1/policies", "/v1/policies/check", "/v1/policies/replay"):
        body = json.dumps({"policy": with_row(says="x" * 1_100_000)}).encode()
        assert (await shop.call("POST", path, content=body)).status_code == 413
        close = json.dumps({"policy": with_row(when="x" * 1_000_000)}).encode()
        assert (await shop.call("POST", path, content=close)).json()["code"] == "bad_policy"


@pytest.mark.parametrize("name", ["current", "built-in", "1"])
async def test_a_draft_has_a_name_of_its_own(shop: Shop, name: str) -> None:
    """Looked up by that name there would be another policy."""
    rows = [{"id": "rest", "when": "true", "outcome": "review"}]
    body = {"policy": {"name": name, "rows": rows}}
    path = f"/v1/policies/drafts/{name}"
    assert await shop.code("PUT", path, body) == "422 bad_policy"
    assert (await shop.call("GET", "/v1/policies/drafts")).json()["items"] == []


async def test_drafts_are_kept_judged_beside_and_dropped(shop: Shop) -> None:
    body = {"policy": POLICY, "shadow": True}
    kept = (await shop.call("PUT", "/v1/policies/drafts/mine", body)).json()
    assert (kept["name"], kept["shadow"]) == ("mine", True)
    assert (await shop.call("GET", "/v1/policies/drafts")).json()["items"] == [kept]
    assert (await shop.call("GET", "/v1/policies/mine")).json()["policy"] == POLICY
    wrong = await shop.call("PUT", "/v1/policies/drafts/other", body)
    assert (wrong.status_code, wrong.json()["pointer"]) == (422, "/policy/name")
    refund = await shop.refund({"order": await shop.order(), **TEA})
    assert refund["state"] == "succeeded", "a draft decides nothing"
    found = (await shop.call("POST", "/v1/policies/replay", {"name": "mine"})).json()
    assert found["matrix"] == {"approve": {"review": {"count": 1, "amount": 3200}}}
    assert [case["refund"] for case in found["cases"]] == [refund["id"]]
    gone = await shop.call("DELETE", "/v1/policies/drafts/mine")
    assert (gone.status_code, gone.json()) == (200, kept)
    assert (await shop.call("DELETE", "/v1/policies/drafts/mine")).status_code == 404
    assert await shop.code("POST", "/v1/policies/replay", {"name": "mine"}) == "404 unknown_policy"
    assert await shop.code("POST", "/v1/policies/replay", {}) == "422 validation"
    old = {"policy": POLICY, "since": rfc3339(shop.engine.clock.now() - 91 * DAY)}
    assert await shop.code("POST", "/v1/policies/replay", old) == "422 validation"


async def test_one_replay_at_a_time(shop: Shop) -> None:
    async with door.replays._busy:
        answer = await shop.code("POST", "/v1/policies/replay", {"policy": POLICY})
        assert answer == "429 rate_limited"
    assert (await shop.call("POST", "/v1/policies/replay", {"policy": POLICY})).status_code == 200


async def test_refunds_are_stopped_and_go_on(shop: Shop) -> None:
    order = await shop.order()
    said = {"scope": "order", "key": order, "why": "the parcel is on its way back"}
    made = await shop.call("POST", "/v1/stops", said, scopes=("refunds:approve",))
    assert (made.status_code, made.json()["scope"]) == (201, "order")
    assert made.json()["why"] == said["why"]
    held = await shop.refund({"order": order, **TEA})
    assert (held["state"], held["decision"]["rule"]) == ("review", "refund-stop")
    assert "refunds are stopped here" in held["decision"]["sentence"]
    path = f"/v1/refunds/{held['id']}/approve"
    assert await shop.code("POST", path) == "409 refunds_stopped"
    other = await shop.refund({"order": await shop.order("1002", "pi_2"), **TEA})
    assert other["state"] == "succeeded"
    lift = f"/v1/stops/{made.json()['id']}/lift"
    needs = await shop.code("POST", lift, {"why": "x"}, scopes=("refunds:approve",))
    assert needs == "403 forbidden"
    lifted = await shop.call("POST", lift, {"why": "it arrived"}, scopes=("policies:write",))
    assert lifted.json()["lifted_by"] == "key:policies:write"
    assert await shop.code("POST", lift, {"why": "again"}) == "404 unknown_stop"
    assert (await shop.call("GET", "/v1/stops")).json()["items"] == []
    assert len((await shop.call("GET", "/v1/stops?state=all")).json()["items"]) == 1
    assert await shop.code("GET", "/v1/stops?state=some") == "422 validation"
    assert (await shop.call("POST", path)).status_code == 200
    named = ({"scope": "order", "key": "1001"}, {"scope": "connection", "key": "stripe-us"})
    unknown = [{**one, "why": "y"} for one in named]
    for bad in ({"scope": "all", "key": "x", "why": "y"}, {"scope": "order", "why": "y"}, *unknown):
        assert await shop.code("POST", "/v1/stops", bad) == "422 validation"


async def held(shop: Shop, number: int, amount: int = 3200) -> dict[str, Any]:
    order = await shop.order(str(number), f"pi_{number}")
    return await shop.refund({"order": order, "amount": amount}, scopes=("refunds:write",))


LOOK = {"policy": {"auto_approve_up_to": 1000}}


async def test_the_queue_and_its_cases(opening: Opening) -> None:
    async with opening(**LOOK) as shop:
        first, second = await held(shop, 1), await held(shop, 2)
        queue = (await shop.call("GET", "/v1/reviews")).json()["items"]
        assert [item["refund"] for item in queue] == [first["id"], second["id"]]
        path = f"/v1/refunds/{first['id']}/case"

        async def move(**said: Any) -> int:
            answer = await shop.call("POST", path, said, scopes=("refunds:approve",))
            return answer.status_code

        assert await move(what="assign", who="ada") == 200
        mine = (await shop.call("GET", "/v1/reviews?assignee=ada")).json()["items"]
        assert [item["refund"] for item in mine] == [first["id"]]
        until = rfc3339(shop.engine.clock.now() + DAY)
        assert await move(what="snooze", until=until) == 200
        left = (await shop.call("GET", "/v1/reviews")).json()["items"]
        assert [item["refund"] for item in left] == [second["id"]]
        every = (await shop.call("GET", "/v1/reviews?snoozed=any&limit=1")).json()
        assert every["next"]
        assert await move(what="escalate", role="admin", note="beyond me") == 200
        assert await move(what="attach", reference="ticket/4711") == 200
        assert await move(what="ask", note="please send a photo of Ms Doe's box") == 200
        trail = await shop.call("GET", f"/v1/refunds/{first['id']}/timeline")
        assert "Doe" not in trail.text and "beyond me" not in trail.text
        moves = [e["body"] for e in trail.json()["items"] if e["type"] == "refund.case"]
        assert [m["what"] for m in moves] == ["assign", "snooze", "escalate", "attach", "ask"]
        assert moves[-1]["note"] and moves[-1]["note_id"]
        for bad in (
            {"what": "snooze"},
            {"what": "snooze", "until": "2020-01-01T00:00:00Z"},
            {"what": "snooze", "until": "soon"},
            {"what": "attach"},
            {"what": "assign", "who": "Ms Doe"},  # it stands on the trail: an id, and no words
            {"what": "note"},
            {"what": "escalate"},
            {"what": "dance"},
        ):
            assert await move(**bad) == 422, bad
        approve = f"/v1/refunds/{first['id']}/approve"
        low = await shop.code("POST", approve, scopes=("refunds:approve",))
        assert low == "403 role_too_low"
        assert (await shop.call("POST", approve)).status_code == 200
        assert await move(what="note", note="too late") == 409
        closed = (await shop.call("GET", "/v1/reviews?state=closed")).json()["items"]
        assert [item["refund"] for item in closed] == [first["id"]]
        for bad_query in ("state=some", "snoozed=1", "due_before=soon", "cursor=zzz"):
            answer = await shop.code("GET", f"/v1/reviews?{bad_query}")
            assert answer in ("422 validation", "404 not_found"), bad_query


async def test_decisions_have_reasons_and_may_be_for_less(opening: Opening) -> None:
    async with opening(**LOOK) as shop:
        one, two, three = [await held(shop, n) for n in (1, 2, 3)]
        lead = ("refunds:approve",)
        path = f"/v1/refunds/{one['id']}"
        no = await shop.call(
            "POST", f"{path}/decline", {"reason": "abuse", "why": "Ms Doe again"}, scopes=lead
        )
        assert no.json()["state"] == "declined"
        trail = (await shop.call("GET", f"{path}/timeline")).json()["items"]
        assert (trail[-1]["body"]["reason"], "note" in trail[-1]["body"]) == ("abuse", True)
        assert "Doe" not in json.dumps(trail)
        assert await shop.code("POST", f"{path}/decline") == "409 wrong_state"
        assert await shop.code("POST", f"{path}/approve") == "409 wrong_state"
        bad = await shop.code("POST", f"/v1/refunds/{two['id']}/decline", {"reason": "dunno"})
        assert bad == "422 validation"
        more = {"amount": 3201}
        assert await shop.code("POST", f"/v1/refunds/{two['id']}/approve", more) == "422 validation"
        less = {"amount": 1200, "reason": "goodwill", "shown": two["shown"]}
        done = await shop.call("POST", f"/v1/refunds/{two['id']}/approve", less, key="k")
        assert done.json()["state"] == "declined"
        order = (await shop.call("GET", f"/v1/orders/{two['order']}")).json()
        assert [r["amount"] for r in order["refunds"]] == [3200, 1200]
        again = await shop.call("POST", f"/v1/refunds/{two['id']}/approve", less, key="k")
        assert again.content == done.content
        other = {**less, "amount": 1300}
        told = await shop.call("POST", f"/v1/refunds/{two['id']}/approve", other, key="k")
        assert (told.json()["code"], told.json()["field"]) == ("idempotency_mismatch", "amount")
        fine = {"reason": "verified", "shown": three["shown"]}
        yes = await shop.call("POST", f"/v1/refunds/{three['id']}/approve", fine, scopes=lead)
        assert yes.json()["decided_by"] == "key:refunds:approve"


async def test_many_are_decided_at_once_each_for_itself(opening: Opening) -> None:
    policy = {"auto_approve_up_to": 1000, "second_person": True}
    async with opening(policy=policy) as shop:
        good, no, changed = [await held(shop, n) for n in (1, 2, 3)]
        order = await shop.order("4", "pi_4")
        both = ("refunds:write", "refunds:approve")
        own = await shop.refund({"order": order, **TEA}, scopes=both)
        decided = await held(shop, 5)
        await shop.call("POST", f"/v1/refunds/{decided['id']}/decline")
        body = {
            "decisions": [
                {"refund": good["id"], "decision": "approve", "shown": good["shown"]},
                {"refund": no["id"], "decision": "decline", "reason": "abuse"},
                {"refund": changed["id"], "decision": "approve", "shown": "other"},
                {"refund": own["id"], "decision": "approve", "shown": own["shown"]},
                {"refund": decided["id"], "decision": "approve"},
                {"refund": "rf_no", "decision": "decline"},
            ]
        }
        first = await shop.call("POST", "/v1/reviews/bulk", body, key="b", scopes=both)
        items = first.json()["items"]
        assert [(i["status"], i["state"] or i["code"]) for i in items] == [
            (200, items[0]["state"]),
            (200, "declined"),
            (409, "shown_changed"),
            (403, "self_approval"),
            (409, "wrong_state"),
            (404, "unknown_refund"),
        ]
        assert items[0]["state"] in ("sending", "succeeded")
        await asyncio.gather(*shop.engine.deliverer._tasks)
        again = await shop.call("POST", "/v1/reviews/bulk", body, key="b", scopes=both)
        assert again.content == first.content
        fresh = await shop.call("POST", "/v1/reviews/bulk", body, key="c", scopes=both)
        assert [i["status"] for i in fresh.json()["items"]] == [409, 409, 409, 403, 409, 404]
        for bad in (
            {"decisions": []},
            {"decisions": body["decisions"][:1] * 2},
            {"decisions": [{"refund": good["id"], "decision": "approve", "reason": "abuse"}]},
            {"decisions": [{"refund": f"rf_{n}", "decision": "decline"} for n in range(101)]},
        ):
            assert await shop.code("POST", "/v1/reviews/bulk", bad, scopes=both) == "422 validation"
        answer = await shop.call("POST", "/v1/reviews/bulk", body, key=None, scopes=both)
        assert answer.json()["code"] == "idempotency_key_missing"
