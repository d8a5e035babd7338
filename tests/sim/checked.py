"""A small clean world, made by hand, for the checker's tests to break in one place at a time.

Order 1 was paid 12,000 and has a refund in every stage: `a` paid, `b` failed after it was paid, `c`
pending, `d` in review (asked for by a message), `e` made in the dashboard. Order 2 was authorized
and released. Hashes come from the engine's own `link` and `digest`, which the checker does not use.
"""

from __future__ import annotations

import json
from typing import Any

from amends.core.events import link
from amends.core.postings import Entry, Posting
from amends.kernel.canon import GENESIS, canonical
from amends.sim.checker import Ask, Journal, Snapshot

AT, DAY = 1_790_000_000_000_000, "2026-09-21"
RETURNED = ("sales_returns", "shipping_refunds", "charge_refunds", "fees_kept", "tax_payable")
STRIPE = "stripe-eu"
CLEARING = f"clearing:{STRIPE}"
ADA = "Ada Lovelace"

Doc = dict[str, Any]


def vat(amount: int) -> list[Doc]:
    return [{"name": "VAT", "amount": amount}]


def share(name: str, quantity: int, net: int, tax: int) -> Doc:
    return {"id": name, "quantity": quantity, "net": net, "taxes": vat(tax)}


class World:
    """A snapshot and a journal, and short ways to change both sides of one thing."""

    def __init__(self) -> None:
        self.orders = {"ord_1": _first(), "ord_2": _second()}
        self.rows: dict[str, list[Doc]] = {
            "events": [],
            "entries": [],
            "postings": [],
            "effects": [_effect("leg_c", AT + 10**9), _effect("", AT + 10**9, "fx_d_by")],
            "inbox": [_message("shop-1", "msg_1", "order.created"), _message("shop-1", "msg_2")],
            "idempotency": [{"principal": "key:shop", "key": "k-a", "body": b'{"id":"rf_a"}'}],
            "payment_refs": [_ref("pi_1", "ord_1"), _ref("pi_2", "ord_2")],
            "people": [{"id": "cus_1", "name": ADA}],
            "notes": [],
            "documents_due": [],
            "deliveries": [],
            "stock_moves": [],
            "periods": [],
        }
        self.partners: list[Doc] = []
        self.hear("evt_1", "re_e", "succeeded")
        self.movements = [
            _movement("pi_1", "re_a", 3000),
            _movement("pi_1", "re_b", 1000, "failed"),
            _movement("pi_1", "re_c", 500, "pending"),
            _movement("pi_1", "re_e", 200),
            _movement("pi_2", None, 2000, kind="void"),
        ]
        self.provider = [
            _at_provider("pi_1", "succeeded", 12_000, 12_000),
            _at_provider("pi_2", "canceled", 2000, 0),
        ]
        self.disputes: list[Doc] = []
        self.warnings: list[Doc] = []
        self.journal = _journal()
        self.story = {"ord_1": _trail_1(), "ord_2": _trail_2()}
        self.booked = {"ord_1": _entries_1(), "ord_2": _entries_2()}

    # -- changes -------------------------------------------------------------------------------

    def hear(self, name: str, psp_refund_id: str, status: str) -> None:
        """A message of the provider about a refund has reached us."""
        self.hear_of(name, {"object": "refund", "id": psp_refund_id, "status": status})

    def hear_of(self, name: str, thing: Doc) -> None:
        """A message of the provider has reached us."""
        raw = json.dumps({"id": name, "data": {"object": thing}}).encode()
        self.rows["inbox"].append(_message(STRIPE, name, "refund.updated") | {"raw": raw})

    def hear_item(self, event: str, name: str, amount: int, success: str = "true") -> None:
        """An item of Adyen's about a capture or cancellation of payment 1 has reached us."""
        item = {"eventCode": event, "pspReference": name, "originalReference": "pi_1"}
        item |= {"amount": {"value": amount, "currency": "EUR"}, "success": success}
        raw = json.dumps({"notificationItems": [{"NotificationRequestItem": item}]}).encode()
        self.rows["inbox"].append(_message(STRIPE, f"{event}-{name}", event) | {"raw": raw})

    def uncapture(self, amount: int) -> None:
        """A capture of payment 1 failed, and we were told and wrote it down."""
        self.provider[0] |= {"captured": 12_000 - amount, "uncaptured": amount}
        self.hear_item("CAPTURE_FAILED", "cap_1", amount)
        self.payment["uncaptured"] = amount
        told = {"payment": "pay_1", "psp_capture_id": "cap_1", "uncaptured": amount}
        self.story["ord_1"].append(("payment.updated", told, ()))

    def dispute(self, status: str, withdrawn: int) -> None:
        """The bank took what it did from payment 1, and we were told and wrote it down."""
        known = {"id": "dp_1", "status": status, "withdrawn": withdrawn}
        self.disputes = [known | {"psp_payment_id": "pi_1"}]
        self.orders["ord_1"]["disputes"] = [known | {"payment": "pay_1", "booked": withdrawn}]
        more = withdrawn - self.payment.get("disputed", 0)
        self.payment["disputed"] = withdrawn
        self.hear_of_dispute("evt_dp", status, withdrawn)
        told = {"dispute": "dp_1", "payment": "pay_1", "status": status, "withdrawn": withdrawn}
        sealed: tuple[int, ...] = ()
        if more:
            held = "dispute_losses" if status == "lost" else "disputed"
            kind = "dispute" if more > 0 else "dispute_returned"
            lines = ((held, more), ("clearing:stripe-eu", -more))
            self.booked["ord_1"].append((kind, "", "", "", lines))
            sealed = (len(self.booked["ord_1"]),)
        self.story["ord_1"].append(("dispute.updated", told, sealed))

    def tell(self, what: str, amount: int, payment: str = "pay_1") -> None:
        """A person was told of money that left twice."""
        told = {"what": what, "payment": payment, "leg": "leg_a", "amount": amount}
        self.story["ord_1"].append(("exception.raised", told, ()))

    def hear_of_dispute(self, name: str, status: str, withdrawn: int) -> None:
        lines = [{"amount": -withdrawn}] if withdrawn else []
        thing = {"object": "dispute", "id": "dp_1", "status": status, "amount": withdrawn}
        thing["balance_transactions"] = lines
        self.hear_of(name, thing)

    def warn(self) -> None:
        """The card's issuer warned of fraud, and we were told and wrote it down."""
        self.warnings = [{"id": "issfr_1", "psp_payment_id": "pi_1"}]
        self.orders["ord_1"]["alerts"] = ["issfr_1"]
        self.hear_of("evt_fr", {"object": "radar.early_fraud_warning", "id": "issfr_1"})

    def leg(self, name: str) -> Doc:
        return next(
            leg
            for order in self.orders.values()
            for refund in order["refunds"]
            for leg in refund["legs"]
            if leg["id"] == f"leg_{name}"
        )

    def refund(self, name: str) -> Doc:
        return next(
            refund
            for order in self.orders.values()
            for refund in order["refunds"]
            if refund["id"] == f"rf_{name}"
        )

    @property
    def payment(self) -> Doc:
        found: Doc = self.orders["ord_1"]["payments"][0]
        return found

    def movement(self, psp_refund_id: str | None) -> Doc:
        return next(m for m in self.movements if m["psp_refund_id"] == psp_refund_id)

    def moved(self, name: str, was: str, now: str, **body: Any) -> None:
        """One more step of a leg on the trail of order 1."""
        known = {"psp_refund_id": f"re_{name}", "psp_at": AT}
        told = {"leg": f"leg_{name}", "was": was, "now": now} | known | body
        self.story["ord_1"].append(("leg.moved", told, ()))

    def adopt(self, name: str, amount: int, net: int) -> None:
        """A refund that no leg here had made was found at the provider."""
        parts = {"lines": [share("L2", 0, net, amount - net)]}
        refund = _refund(name, "succeeded", parts, external=True)
        refund["legs"][0]["outside"] = True
        self.orders["ord_1"]["refunds"].append(refund)
        self.payment["external"] += amount
        self.movements.append(_movement("pi_1", f"re_{name}", amount))
        lines = [("sales_returns", net), ("tax_payable", amount - net), (CLEARING, -amount)]
        self.booked["ord_1"].append(("external", f"rf_{name}", f"leg_{name}", f"re_{name}", lines))
        found = {"refund": f"rf_{name}", "psp_refund_id": f"re_{name}", "amount": amount}
        self.story["ord_1"].append(("refund.adopted", found, ()))
        self.moved(name, "pending", "succeeded")
        self.seal_last()

    def seal_last(self) -> None:
        """The last step of order 1 booked its last entry."""
        kind, said, _ = self.story["ord_1"][-1]
        self.story["ord_1"][-1] = (kind, said, (len(self.booked["ord_1"]),))

    def told(self, key: str, kind: str, state: str = "done", **changed: Any) -> None:
        """Something of order 1 that is told to the ERP."""
        number = len(self.rows["deliveries"]) + 1
        row = {"order_id": "ord_1", "number": number, "connection": "erp", "key": key}
        self.rows["deliveries"].append(row | {"kind": kind, "state": state, "detail": ""} | changed)

    def in_dollars(self, numerator: int, denominator: int) -> None:
        """Order 1 was paid in another currency than the books'."""
        rate = {"base": "USD", "quote": "EUR", "numerator": numerator, "denominator": denominator}
        self.orders["ord_1"] |= {"currency": "USD", "rate": rate}
        self.story["ord_1"][0][1]["rate"] = [numerator, denominator, "config", ""]

    # -- the result ----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The rows that follow from the orders, the trail and the books as they are now."""
        for table in ("events", "entries", "postings", "credit_notes"):
            self.rows[table] = []
        for order_id in self.orders:
            self._seal(order_id)
        for table in ("payments", "refunds", "legs"):
            self.rows[table] = [row for o in self.orders.values() for row in _rows(o, table)]
        orders = list(self.orders.values())
        there = (self.movements, self.provider, self.disputes, self.warnings)
        return Snapshot(AT, orders, self.rows, *there, self.partners)

    def _seal(self, order_id: str) -> None:
        order = self.orders[order_id]
        hashes = []
        for number, item in enumerate(self.booked[order_id], 1):
            kind, refund, leg, psp, lines = item
            base, quote = order["currency"], order["rate"]["quote"]
            base = quote if kind in ("provider_fee", "restock") else base
            postings = tuple(Posting(*line) for line in _converted(lines, order["rate"]))
            entry = Entry(
                *(order_id, number, AT, kind, "main", base, quote, refund, leg, psp, postings)
            )
            hashes.append(entry.hash)
            self._book(entry)
            self._write(entry)
        order["entries"] = len(hashes)
        seq, previous = 0, GENESIS
        for seq, (type_, said, numbers) in enumerate(self.story[order_id], 1):
            body = {name: value for name, value in said.items() if name not in ("actor", "fact")}
            actor, fact = said.get("actor", "key:shop"), said.get("fact", f"fact-{seq}")
            sealed = tuple(hashes[number - 1] for number in numbers)
            event = link(*(order_id, seq, previous, AT, type_, actor, fact, "ctx", body, sealed))
            previous = event.hash
            row = {name: getattr(event, name) for name in event.__struct_fields__}
            row |= {"body": canonical(body).decode(), "entries": json.dumps(sealed)}
            self.rows["events"].append(row)
        order |= {"head_seq": seq, "head_hash": previous}

    def _write(self, entry: Entry) -> None:
        """The credit note of what gives revenue and tax back, and what reverses all before it."""
        gross = sum(p.amount for p in entry.postings if p.account in RETURNED)
        if entry.kind not in ("claim", "claim_lapsed", "external") or not gross:
            return
        notes = self.rows["credit_notes"]
        before = [f"CN-{n['number']:06}" for n in notes if n["refund_id"] == entry.refund]
        tax = sum(p.amount for p in entry.postings if p.account == "tax_payable")
        kind = "credit_note" if gross > 0 else "reversal"
        said = {"kind": kind, "refund": entry.refund, "entity": "main", "currency": entry.currency}
        said |= {"document_date": DAY, "gross": gross, "tax": tax, "net": gross - tax}
        said |= {"reverses": before} if gross < 0 else {}
        row = {"entity": "main", "series": "CN", "number": len(notes) + 1, "at": AT, "kind": kind}
        row |= {"order_id": entry.order, "entry": entry.number, "refund_id": entry.refund}
        notes.append(row | {"doc": json.dumps(said)})

    def _book(self, entry: Entry) -> None:
        self.rows["entries"].append(
            {
                "order_id": entry.order,
                "number": entry.number,
                "at": entry.at,
                "kind": entry.kind,
                "entity": entry.entity,
                "currency": entry.currency,
                "functional_currency": entry.functional_currency,
                "refund_id": entry.refund,
                "leg_id": entry.leg,
                "psp_refund_id": entry.psp_refund_id,
                "posted_on": entry.posted_on,
                "holder": entry.holder,
                "worth": "",
            }
        )
        self.rows["postings"] += [
            {
                "order_id": entry.order,
                "entry": entry.number,
                "line": line,
                "account": posting.account,
                "currency": entry.currency,
                "amount": posting.amount,
                "functional": posting.functional,
            }
            for line, posting in enumerate(entry.postings, 1)
        ]


def _converted(lines: list[Any], rate: Doc) -> list[tuple[str, int, int]]:
    """Each side rounded once; its first line takes what is left of that by the others. Lines that
    say what they are worth are left as they are."""
    if any(len(line) == 3 for line in lines):
        return [line for line in lines if len(line) == 3]
    shares = [0] * len(lines)
    for sign in (1, -1):
        first, *others = [i for i, (_, n) in enumerate(lines) if n * sign > 0]
        whole = 2 * sum(lines[i][1] for i in (first, *others)) * sign * rate["numerator"]
        for i in others:
            shares[i] = sign * (lines[i][1] * sign * rate["numerator"] // rate["denominator"])
        rounded = (whole + rate["denominator"]) // (2 * rate["denominator"])
        shares[first] = sign * rounded - sum(shares[i] for i in others)
    return [(account, n, share) for (account, n), share in zip(lines, shares, strict=True)]


# -- what is in it -------------------------------------------------------------------------------


def _payment(number: int, authorized: int, captured: int, **columns: int) -> Doc:
    names = {"connection": STRIPE, "psp_payment_id": f"pi_{number}", "id": f"pay_{number}"}
    taken = {"authorized": authorized, "captured": captured, "captured_peak": captured}
    return names | taken | columns


def _refund(name: str, state: str, parts: Doc, stage: str = "active", **more: Any) -> Doc:
    shares = [*parts.get("lines", []), *parts.get("shipping", [])]
    amount = sum(s["net"] + sum(t["amount"] for t in s["taxes"]) for s in shares)
    amount += parts.get("unallocated", 0)
    leg = {"id": f"leg_{name}", "kind": "refund", "payment": "pay_1", "amount": amount}
    leg |= {"state": state, "psp_refund_id": "" if state == "planned" else f"re_{name}"}
    refund = {"id": f"rf_{name}", "amount": amount, "stage": stage, "breakdown": parts}
    return refund | {"legs": [leg], "requested_by": "key:shop"} | more


def _first() -> Doc:
    dashboard = _refund("e", "succeeded", {"lines": [share("L2", 0, 167, 33)]}, external=True)
    dashboard["legs"][0]["outside"] = True
    by_shop = {"stage": "review", "requested_by": "connection:shop-1"}
    return {
        "id": "ord_1",
        "source": {"connection": "shop-1", "order_id": "1"},
        "currency": "EUR",
        "rate": {"base": "EUR", "quote": "EUR", "numerator": 1, "denominator": 1},
        "lines": [
            {"id": "L1", "quantity": 2, "total": 6000, "taxes": vat(1000)},
            {"id": "L2", "quantity": 1, "total": 5000, "taxes": vat(833)},
        ],
        "shipping": [{"id": "S", "total": 1000, "taxes": vat(167)}],
        "payments": [
            _payment(1, 12_000, 12_000, pending_ours=900, refunded_ours=3000, external=200)
        ],
        "refunds": [
            _refund("a", "succeeded", {"lines": [share("L1", 1, 2500, 500)]}, claimed=3000),
            _refund("b", "failed", {"shipping": [share("S", 0, 833, 167)]}, claimed=1000),
            _refund("c", "pending", {"lines": [share("L2", 0, 417, 83)]}, claimed=500),
            _refund("d", "planned", {"lines": [share("L2", 0, 333, 67)]}, **by_shop),
            dashboard,
        ],
    }


def _second() -> Doc:
    released = _refund("v", "succeeded", {"lines": [share("L", 1, 2000, 0)]})
    released["legs"][0] |= {"kind": "void", "payment": "pay_2", "psp_refund_id": ""}
    return {
        "id": "ord_2",
        "source": {"connection": "shop-1", "order_id": "2"},
        "currency": "EUR",
        "rate": {"base": "EUR", "quote": "EUR", "numerator": 1, "denominator": 1},
        "lines": [{"id": "L", "quantity": 1, "total": 2000}],
        "payments": [_payment(2, 2000, 0, voided=2000)],
        "refunds": [released],
    }


def _journal() -> Journal:
    first = {
        "lines": [
            {"id": "L1", "quantity": 2, "total": 5000, "taxes": vat(1000)},
            {"id": "L2", "quantity": 1, "total": 4167, "taxes": vat(833)},
        ],
        "shipping": [{"id": "S", "total": 833, "taxes": vat(167)}],
        "prices_include_tax": False,
    }
    asks = [
        Ask(name, AT, "1", {}, key=f"k-{name}", status=201, answer={"id": f"rf_{name}"})
        for name in "abc"
    ]
    asks[0].should_succeed = True
    asks += [
        Ask("d", AT, "1", {}, door="message", message="msg_2", status=200),
        Ask("v", AT, "2", {}, status=201, answer={"id": "rf_v"}, should_succeed=True),
    ]
    return Journal(
        reports={"1": first, "2": {"lines": [{"id": "L", "quantity": 1, "total": 2000}]}},
        asks=asks,
        messages=["msg_1", "msg_2"],
        events=["evt_1"],
        orders_acked=["1", "2"],
        dashboard=["re_e"],
        bounced=["re_b"],
        personal=[ADA],
    )


Step = tuple[str, Doc, tuple[int, ...]]


def _paid(name: str, amount: int, now: str, booked: tuple[int, int]) -> list[Step]:
    leg = {"leg": f"leg_{name}"}
    sending = {"refund": f"rf_{name}", "kind": "refund", "key": f"leg_{name}-1", "amount": amount}
    there = {"connection": STRIPE, "psp_payment_id": "pi_1"}
    moved = {"was": "sending", "now": now, "psp_refund_id": f"re_{name}", "psp_at": AT}
    claim, payout = booked
    return [
        ("refund.requested", _asked(name, amount), (claim,)),
        ("leg.sending", leg | sending | there, ()),
        ("leg.moved", leg | moved, (payout,) if payout else ()),
    ]


def _asked(name: str, amount: int) -> Doc:
    return {"refund": f"rf_{name}", "reason": "return", "amount": amount}


def _trail_1() -> list[Step]:
    back = {"leg": "leg_b", "was": "succeeded", "now": "failed", "psp_refund_id": "re_b"}
    found = {"refund": "rf_e", "psp_refund_id": "re_e", "amount": 200}
    seen = {"leg": "leg_e", "was": "pending", "now": "succeeded", "psp_refund_id": "re_e"}
    return [
        ("order.recorded", {"version": 1, "rate": [1, 1, "same", ""]}, ()),
        *_paid("a", 3000, "succeeded", (1, 2)),
        *_paid("b", 1000, "succeeded", (3, 4)),
        ("leg.moved", back | {"psp_at": AT}, (5,)),
        *_paid("c", 500, "pending", (6, 0)),
        ("refund.requested", _asked("d", 400) | {"actor": "connection:shop-1"}, ()),
        ("refund.adopted", found, ()),
        ("leg.moved", seen | {"psp_at": AT}, (7,)),
    ]


def _trail_2() -> list[Step]:
    leg = {"leg": "leg_v", "refund": "rf_v", "kind": "void", "key": "leg_v-1", "amount": 2000}
    return [
        ("order.recorded", {"version": 1, "rate": [1, 1, "same", ""]}, ()),
        ("refund.requested", _asked("v", 2000), ()),
        ("leg.sending", leg | {"connection": STRIPE, "psp_payment_id": "pi_2"}, ()),
        ("leg.moved", {"leg": "leg_v", "was": "sending", "now": "succeeded"}, (1,)),
    ]


Booking = tuple[Any, str, str, str, list[tuple[str, int]]]


def out(name: str, amount: int, kind: str = "payout") -> Booking:
    lines = [("refunds_payable", amount), (CLEARING, -amount)]
    return (kind, f"rf_{name}", f"leg_{name}", f"re_{name}", lines)


def claim(name: str, net: int, tax: int, account: str = "sales_returns") -> Booking:
    lines = [(account, net), ("tax_payable", tax), ("refunds_payable", -net - tax)]
    return ("claim", f"rf_{name}", "", "", lines)


def _entries_1() -> list[Booking]:
    adopted = [("sales_returns", 167), ("tax_payable", 33), (CLEARING, -200)]
    return [
        claim("a", 2500, 500),
        out("a", 3000),
        claim("b", 833, 167, "shipping_refunds"),
        out("b", 1000),
        out("b", -1000, "payout_failed"),
        claim("c", 417, 83),
        ("external", "rf_e", "leg_e", "re_e", adopted),
    ]


def _entries_2() -> list[Booking]:
    lines = [("memo_released", 2000), ("memo_authorizations", -2000)]
    return [("void", "rf_v", "leg_v", "", lines)]


# -- rows ----------------------------------------------------------------------------------------

MONEY = ("pending_ours", "refunded_ours", "credited_ours", "external", "disputed")


def _rows(order: Doc, table: str) -> list[Doc]:
    key = {"order_id": order["id"]}
    if table == "payments":
        zero = dict.fromkeys((*MONEY, "uncaptured", "voiding", "voided"), 0)
        return [key | zero | payment for payment in order["payments"]]
    if table == "legs":
        return [key | leg for refund in order["refunds"] for leg in refund["legs"]]
    return [key | _refund_row(refund) for refund in order["refunds"]]


def _refund_row(refund: Doc) -> Doc:
    paid = sum(leg["amount"] for leg in refund["legs"] if leg["state"] == "succeeded")
    names = {name: refund[name] for name in ("id", "amount", "requested_by")}
    active = refund["stage"] == "active"
    state = refund["legs"][0]["state"] if active else refund["stage"]
    return names | {"amount_succeeded": paid, "state": state}


def _effect(leg: str, ready_at: int, name: str = "") -> Doc:
    names = {"order_id": "ord_1", "id": name or f"fx_{leg}", "leg_id": leg}
    return names | {"payment_id": "pay_1" if leg else "", "ready_at": ready_at, "doc": "{}"}


def _message(connection: str, name: str, kind: str = "refund.requested") -> Doc:
    where = {"connection": connection, "message": name, "order_id": "ord_1", "state": "done"}
    return where | {"type": kind, "raw": b"{}", "refs": "[]"}


def _ref(psp_payment_id: str, order: str) -> Doc:
    return {"connection": STRIPE, "psp_payment_id": psp_payment_id, "order_id": order}


def _movement(
    payment: str, name: str | None, amount: int, status: str = "succeeded", kind: str = "refund"
) -> Doc:
    made = {"gateway": "stripe", "psp_payment_id": payment, "psp_refund_id": name, "kind": kind}
    return made | {"amount": amount, "currency": "eur", "status": status, "key": None, "at": ""}


def _at_provider(name: str, status: str, authorized: int, captured: int) -> Doc:
    known = {"psp_payment_id": name, "status": status, "authorized": authorized}
    return known | {"captured": captured, "capturable": 0}
