"""Recording an order as its shop reports it, and newer versions of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from amends.core import fx, legs, sellers, signals, unused
from amends.core.decision import Ctx
from amends.core.facts import OrderReported, Recorded
from amends.core.left import left_over
from amends.core.news import adopt_early
from amends.core.order import (
    Charge,
    Discount,
    Line,
    Order,
    Payment,
    Promotion,
    Shipping,
    Tax,
    Tender,
    Tier,
    psp_ids,
    taken,
)
from amends.core.reasons import Reason, Refused
from amends.core.releases import tell_if_both
from amends.core.requests import (
    ChargeIn,
    DiscountIn,
    IfLost,
    LineIn,
    OrderIn,
    OrderKey,
    PromotionIn,
    ShippingIn,
    TaxIn,
    TenderIn,
)
from amends.core.sums import check_sums, taxes_of
from amends.core.tallies import tell_bought, tell_sights
from amends.core.work import Work
from amends.kernel.currency import known
from amends.kernel.ids import derived
from amends.kernel.money import allocate, proportion, share
from amends.kernel.time import Instant, parse_rfc3339


def order_id(source: OrderKey) -> str:
    """Our id follows from the shop's name for the order, so that two reports of one order meet."""
    return derived("ord", source.connection, source.order_id)


def payment_id(connection: str, psp_payment_id: str) -> str:
    """Our id of a provider's payment."""
    return derived("pay", connection, psp_payment_id)


def empty(report: OrderIn, ctx: Ctx, at: int) -> Order:
    """The order before anything is known of it but its name, currency and rate."""
    check_order(report)
    _check_connections(report, ctx)
    sellers.check(report, ctx)
    return Order(
        id=order_id(report.source),
        source=report.source,
        currency=report.currency,
        rate=fx.order_rate(report, ctx, at),
        version=0,
        entity=report.entity,
        last_at=at,
    )


def check_order(report: OrderIn) -> None:
    """What the shape of the body cannot say. Raises Refused."""
    if not known(report.currency):
        raise Refused(
            Reason.UNKNOWN_CURRENCY,
            f"{report.currency} is not an ISO 4217 currency.",
            pointer="/currency",
        )
    parts: tuple[tuple[str, Sequence[LineIn | ShippingIn | ChargeIn]], ...] = (
        ("lines", report.lines),
        ("shipping", report.shipping),
        ("charges", report.charges),
    )
    for name, items in parts:
        ids = [item.id for item in items]
        if len(set(ids)) != len(ids):
            _invalid(f"Two {name} have the same id.", f"/{name}")
    check_sums(report)
    unused.check(report)
    signals.check(report)
    for index, tender in enumerate(report.tenders):
        _check_tender(tender, f"/tenders/{index}")
        twice = [
            t
            for t in report.tenders[:index]
            if (t.kind, t.reference) == (tender.kind, tender.reference)
        ]
        if twice and tender.reference:
            _invalid("Two tenders have the same reference.", f"/tenders/{index}/reference")
    for name, text in (("placed_at", report.placed_at), ("expires_at", report.expires_at)):
        try:
            if text:
                parse_rfc3339(text)
        except (ValueError, OverflowError) as error:
            _invalid(f"{name} is not an RFC 3339 time with a zone: {error}.", f"/{name}")


def _check_connections(report: OrderIn, ctx: Ctx) -> None:
    for index, tender in enumerate(report.tenders):
        if tender.kind == "payment" and tender.connection not in ctx.terms:
            raise Refused(
                Reason.UNKNOWN_CONNECTION,
                f"No payment connection {tender.connection!r} is configured.",
                pointer=f"/tenders/{index}/connection",
            )


def _check_tender(tender: TenderIn, pointer: str) -> None:
    if tender.captured > tender.amount:
        _invalid("More was captured than the tender's amount.", f"{pointer}/captured")
    if tender.kind == "payment" and not (tender.psp_payment_id and tender.connection):
        _invalid("A payment names its connection and psp_payment_id.", pointer)
    if tender.kind == "payment" and tender.reference:
        _invalid("A payment is named by psp_payment_id.", f"{pointer}/reference")


def _invalid(detail: str, pointer: str) -> None:
    raise Refused(Reason.VALIDATION, detail, pointer=pointer)


def report_order(work: Work, fact: OrderReported) -> None:
    """Take over a newer version; an older or equal one is a repeat and changes nothing."""
    report = fact.order
    order = work.order
    if report.version <= order.version:
        return
    check_order(report)
    _check_connections(report, work.ctx)
    sellers.check(report, work.ctx)
    if report.currency != order.currency:
        raise Refused(Reason.ORDER_CONFLICT, "An order cannot change its currency.")
    if report.entity != order.entity:
        raise Refused(Reason.ORDER_CONFLICT, "An order cannot change its legal entity.")
    before = {payment.id: payment.captured for payment in order.payments}
    payments, tenders = _payments(order, report, work.now)
    new = order.version == 0
    work.change(
        version=report.version,
        placed_at=parse_rfc3339(report.placed_at) if report.placed_at else order.placed_at,
        customer=report.customer.id if report.customer else order.customer,
        country=report.customer.country if report.customer else order.country,
        invoice=report.invoice or order.invoice,
        **_signals(order, report),
        expires_at=parse_rfc3339(report.expires_at) if report.expires_at else 0,
        lines=tuple(_line(line, report.prices_include_tax) for line in report.lines),
        shipping=tuple(_shipping(s, report.prices_include_tax) for s in report.shipping),
        charges=tuple(_charge(c, report.prices_include_tax) for c in report.charges),
        **_promotions(work, report),
        payments=payments,
        tenders=tenders,
    )
    if new:
        tell_bought(work)
    elif work.order.signals != order.signals:
        tell_sights(work)
    _check_not_below(work.order)
    unused.check_not_both(order, work.order)
    work.event(
        "order.recorded" if new else "order.updated",
        version=report.version,
        connection=order.source.connection,
        order_id=order.source.order_id,
        currency=order.currency,
        rate=[order.rate.numerator, order.rate.denominator, order.rate.source, order.rate.day],
        customer=work.order.customer,
        payments=[[p.connection, p.psp_payment_id, p.authorized, p.captured] for p in payments],
    )
    for payment in payments:
        if payment.reread:  # it may wait for the capture that was just reported
            legs.kick(work, payment.id)
        if payment.captured > before.get(payment.id, 0):
            tell_if_both(work, payment.id)
        adopt_early(work, payment.id)


def _signals(order: Order, report: OrderIn) -> dict[str, Any]:
    """What the report says beside the money; what it does not say stays as it was known."""
    same = report.customer is None or report.customer.id == order.customer
    known = order.customer_since if same else 0
    told, delivery = report.signals, report.delivery
    return {
        "customer_since": signals.since_of(report) or known,
        "signals": signals.signals_of(told) if told else order.signals,
        "delivery": signals.delivery_of(delivery) if delivery else order.delivery,
    }


def _check_not_below(order: Order) -> None:
    """The new version must still hold what was refunded of it."""
    groups = (order.lines, order.shipping, order.charges)
    known_parts = [{item.id for item in items} for items in groups]
    for refund in (refund for refund in order.refunds if refund.stage != "declined"):
        given = refund.breakdown
        for parts, ids in zip(
            (given.lines, given.shipping, given.charges), known_parts, strict=True
        ):
            for part in parts:
                if part.id not in ids:
                    raise Refused(Reason.ORDER_CONFLICT, f"Line {part.id!r} has a refund; keep it.")
    for name, left in ((name, left) for items in left_over(order) for name, left in items.items()):
        if left.short:
            raise Refused(
                Reason.ORDER_CONFLICT, f"Line {name!r} is now less than what was refunded of it."
            )


def _promotions(work: Work, report: OrderIn) -> dict[str, Any]:
    """Promotions and the terms of their prices. What becomes of a lost one is settled here: by the
    shop, or by the policy in force when the order was first recorded with it."""
    before = {promotion.id: promotion.if_lost for promotion in work.order.promotions}
    policy = work.ctx.policy
    found = tuple(
        _promotion(p, before.get(p.id, policy.amounts.promotion_lost)) for p in report.promotions
    )
    return {
        "promotions": found,
        "net_prices": bool(found) and not report.prices_include_tax,
        "policy": (work.order.policy or policy.version) if found else "",
    }


def _promotion(said: PromotionIn, otherwise: IfLost) -> Promotion:
    return Promotion(
        said.id,
        said.kind,
        said.at_least,
        tuple(Tier(tier.at_least, tier.off_bp, tier.off) for tier in said.tiers),
        said.buy,
        said.get,
        said.off_bp,
        said.lines,
        said.if_lost or otherwise,
    )


def _taxes(taxes: tuple[TaxIn, ...], of: tuple[TaxIn, ...] = ()) -> tuple[Tax, ...]:
    """Taxes are told apart by name; where an item has two rates of one name, they are in it. `of`:
    the item's, if these are of a discount on it."""
    rates = {(tax.name, tax.rate) for tax in of or taxes}
    names = [name for name, _ in rates]
    found: dict[str, Tax] = {}
    for tax in taxes:
        name = tax.name if names.count(tax.name) < 2 else f"{tax.name} {tax.rate}".strip()
        more = found[name].amount if name in found else 0
        found[name] = Tax(name, tax.amount + more, tax.rate)
    return tuple(found.values())


def _gross(item: LineIn | ShippingIn | ChargeIn, included: bool) -> int:
    return item.total if included else item.total + taxes_of(item)


def _discounts(item: LineIn | ShippingIn, included: bool) -> tuple[Discount, ...]:
    return tuple(_discount(part, item, included) for part in item.discounts if part.of)


def _discount(said: DiscountIn, item: LineIn | ShippingIn, included: bool) -> Discount:
    """With the taxes that would be charged on it: as told, else in proportion to its item's."""
    taxes = _taxes(said.taxes, item.taxes)
    net = item.total - (taxes_of(item) if included else 0)
    if not taxes and net > 0:
        own = _taxes(item.taxes)
        if included:
            split = allocate(said.amount, [net, *(tax.amount for tax in own)])[1:]
        else:
            split = tuple(proportion(tax.amount, said.amount, net) for tax in own)
        taxes = tuple(Tax(tax.name, amount) for tax, amount in zip(own, split, strict=True))
    gross = said.amount if included else said.amount + sum(tax.amount for tax in taxes)
    return Discount(gross, said.of, taxes)


def _line(line: LineIn, included: bool) -> Line:
    return Line(
        line.id,
        line.quantity,
        _gross(line, included),
        _taxes(line.taxes),
        line.sku,
        line.title,
        line.discount,
        line.fulfilled,
        _discounts(line, included),
        line.seller or "",
        unused.kept(line),
        line.cost or 0,
        line.category,
        line.access,
    )


def _shipping(charge: ShippingIn, included: bool) -> Shipping:
    return Shipping(
        charge.id,
        _gross(charge, included),
        _taxes(charge.taxes),
        charge.title,
        _discounts(charge, included),
        _standard(charge, included),
        charge.seller or "",
    )


def _standard(charge: ShippingIn, included: bool) -> int | None:
    """What standard delivery would have cost, gross: its tax in proportion to the charge's own."""
    if charge.standard is None or charge.standard >= charge.total:
        return None
    return share(_gross(charge, included), charge.standard, charge.total)


def _charge(charge: ChargeIn, included: bool) -> Charge:
    gross = _gross(charge, included)
    return Charge(
        charge.id, gross, _taxes(charge.taxes), charge.title, charge.kind, charge.refundable
    )


def _payments(
    order: Order, report: OrderIn, now: Instant
) -> tuple[tuple[Payment, ...], tuple[Tender, ...]]:
    """Payments never shrink by a shop's word: the provider's news may be ahead of it. Of gift cards
    and store credit nobody else tells: its last word counts, and what it names no more is none."""
    placed_at = parse_rfc3339(report.placed_at) if report.placed_at else now
    credits = _credits(order, report)
    named = {credit.id for credit in credits.values()}
    known_now = {
        p.id: p if p.is_money or p.id in named else _restated(p, 0) for p in order.payments
    }
    tenders: list[Tender] = []
    for place, tender in enumerate(report.tenders):
        if tender.kind != "payment":
            credit = credits[place]
            known_now[credit.id] = credit
            tenders.append(Tender(tender.kind, tender.amount, credit.id))
            continue
        before = _same(known_now.values(), tender)
        identifier = before.id if before else payment_id(tender.connection, tender.psp_payment_id)
        tenders.append(Tender("payment", tender.amount, identifier))
        payment = sellers.said(order, _payment(identifier, tender, before), tender)
        if payment.captured_peak and not payment.captured_at:
            payment = replace(payment, captured_at=placed_at)
        known_now[identifier] = payment
    return tuple(known_now.values()), tuple(tenders)


def _credits(order: Order, report: OrderIn) -> dict[int, Payment]:
    """The gift cards and store credit of a report, by their place among its tenders. They are those
    known before by their reference, else by their amount, else by what they gave back and their
    order: a report that names them in another order names no others."""
    told = {i: t for i, t in enumerate(report.tenders) if t.kind != "payment"}
    known = [payment for payment in order.payments if payment.kind != "payment"]
    known.sort(key=taken, reverse=True)
    found: dict[int, Payment] = {}
    for alike in (_same_card, _same_amount, _enough, _same_kind):
        for place, tender in told.items():
            free = (p for p in known if p not in found.values() and alike(p, tender))
            if place not in found and (before := next(free, None)):
                found[place] = before
    names = {payment.id for payment in known}
    for place, tender in told.items():
        before = found.get(place) or _new_credit(order, tender, names)
        names.add(before.id)
        name = before.psp_payment_id or tender.reference
        amount = tender.captured or tender.amount
        found[place] = _restated(replace(before, psp_payment_id=name), amount)
    return found


def _restated(credit: Payment, amount: int) -> Payment:
    """With what it paid as it is told now. Raises Refused if that is less than it gave back."""
    if amount < (back := taken(credit)):
        raise Refused(
            Reason.ORDER_CONFLICT,
            f"Tender {credit.psp_payment_id or credit.id!r} gave {back} back; keep it, with no "
            "less than that.",
        )
    return replace(credit, authorized=amount, captured=amount, captured_peak=amount)


def _same_card(known: Payment, tender: TenderIn) -> bool:
    return known.kind == tender.kind and known.psp_payment_id == tender.reference != ""


def _same_amount(known: Payment, tender: TenderIn) -> bool:
    amount = tender.captured or tender.amount
    return _same_kind(known, tender) and known.captured == amount


def _enough(known: Payment, tender: TenderIn) -> bool:
    return _same_kind(known, tender) and (tender.captured or tender.amount) >= taken(known)


def _same_kind(known: Payment, tender: TenderIn) -> bool:
    """Whether it may be it: two references are two cards."""
    return known.kind == tender.kind and not (known.psp_payment_id and tender.reference)


def _new_credit(order: Order, tender: TenderIn, names: Collection[str]) -> Payment:
    """All of it was taken when the order was placed. Without a reference it is the first, second, …
    of its kind in the order."""
    place, name = 0, derived("pay", order.id, tender.kind, tender.reference)
    while not tender.reference and name in names:
        place += 1
        name = derived("pay", order.id, tender.kind, "", str(place))
    return Payment(name, "", tender.reference, 0, 0, 0, kind=tender.kind)


def _same(payments: Iterable[Payment], tender: TenderIn) -> Payment | None:
    """The payment a tender is about. Shops name it by its authorization first and later by a
    capture of it: counted as two it could be given back twice."""
    here = [payment for payment in payments if payment.connection == tender.connection]
    name, of = tender.psp_payment_id, tender.psp.authorization
    exact = (payment for payment in here if payment.psp_payment_id == name)
    known = (p for p in here if name in psp_ids(p) - {p.psp_order} or p.psp_payment_id == of)
    return next(exact, None) or next(known, None)


def _payment(identifier: str, tender: TenderIn, before: Payment | None) -> Payment:
    psp = tender.psp
    if before is None:
        return Payment(
            id=identifier,
            connection=tender.connection,
            psp_payment_id=tender.psp_payment_id,
            authorized=tender.amount,
            captured=tender.captured,
            captured_peak=tender.captured,
            method=tender.method,
            charge=psp.charge,
            psp_order=psp.order,
            # Before a capture there is nothing else it could be called by.
            authorization=psp.authorization or ("" if tender.captured else tender.psp_payment_id),
            captures=tuple((c.id, c.amount) for c in psp.captures),
        )
    known = dict(before.captures)
    named = [(c.id, c.amount) for c in psp.captures]
    captured, authorized = tender.captured, max(before.authorized, tender.amount)
    if tender.psp_payment_id not in psp_ids(before):  # one more capture, and what it took
        named.append((tender.psp_payment_id, tender.captured))
        captured = min(sum({**known, **dict(named)}.values()), authorized)
    more = tuple((name, amount) for name, amount in named if name not in known and amount)
    captured = max(before.captured, captured)
    return replace(
        before,
        authorized=authorized,
        captured=captured,
        captured_peak=max(before.captured_peak, captured),
        method=before.method or tender.method,
        charge=before.charge or psp.charge,
        psp_order=before.psp_order or psp.order,
        authorization=before.authorization or psp.authorization,
        captures=(*before.captures, *more),
    )


def first_version(recorded: Recorded, ctx: Ctx) -> Order:
    """The empty order an OrderReported starts from."""
    fact = recorded.fact
    if not isinstance(fact, OrderReported):
        raise Refused(Reason.UNKNOWN_ORDER)
    return empty(fact.order, ctx, max(ctx.now, recorded.at))
