"""Lists and expansion: how Stripe pages through objects and puts one object into another."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from amends.sim.stripe.books import Books, Shelf, Shown, T
from amends.sim.stripe.errors import Refusal, bad_parameter, missing
from amends.sim.stripe.objects import Event, Json, Payment
from amends.sim.stripe.params import Reader

EXPAND_DEPTH = 4
# What each kind of object lets expand, and what kind that is. Customers, payment methods and
# reviews are not kept here, so their ids stay ids.
EXPANDABLE: dict[str, dict[str, str]] = {
    "refunds": {
        "charge": "charges",
        "payment_intent": "payment_intents",
        "balance_transaction": "balance_transactions",
        "failure_balance_transaction": "balance_transactions",
        "customer": "customer",
        "source_transfer_reversal": "reversal",
        "transfer_reversal": "reversal",
    },
    "charges": {
        "balance_transaction": "balance_transactions",
        "payment_intent": "payment_intents",
        "refunds": "refunds",
        "customer": "customer",
        "review": "review",
        "transfer": "transfer",
    },
    "payment_intents": {
        "latest_charge": "charges",
        "customer": "customer",
        "payment_method": "payment_method",
        "review": "review",
    },
    "disputes": {"charge": "charges", "payment_intent": "payment_intents"},
    "balance_transactions": {"source": "charges"},
    "radar/early_fraud_warnings": {"charge": "charges", "payment_intent": "payment_intents"},
}


class Page(msgspec.Struct, kw_only=True):
    """One page of a list, newest object first."""

    object: str = "list"
    data: list[Any]
    has_more: bool
    url: str


def page(
    shelf: Shelf[T],
    url: str,
    reader: Reader,
    wanted: Callable[[T], bool] = lambda _: True,
    among: list[T] | None = None,
) -> Page:
    """The page that `limit`, `starting_after`, `ending_before` and `created` ask for.

    `among` are the only candidates when the filter names a payment, so that no whole shelf is
    walked.
    """
    limit, created = reader.limit(), reader.created()
    after, before = reader.text("starting_after"), reader.text("ending_before")
    if after is not None and before is not None:
        raise bad_parameter("Give only one of starting_after and ending_before.", "ending_before")
    low = -1 if before is None else _place(shelf, before, "ending_before")
    high = len(shelf.items) if after is None else _place(shelf, after, "starting_after")
    found = []
    for item in _walk(shelf, low, high, among, forward=before is not None):
        if (created is None or created[0] <= item.created <= created[1]) and wanted(item):
            found.append(item)
            if len(found) > limit:
                break
    data = found[:limit]
    if before is not None:
        data.reverse()
    return Page(data=data, has_more=len(found) > limit, url=url)


def _place(shelf: Shelf[T], object_id: str, param: str) -> int:
    place = shelf.place.get(object_id)
    if place is None:
        raise missing(shelf.noun, object_id, param)
    return place


def _walk(
    shelf: Shelf[T], low: int, high: int, among: list[T] | None, *, forward: bool
) -> Iterable[T]:
    """Candidates strictly between two places, oldest first when walking forward."""
    if among is None:
        places = range(low + 1, high) if forward else range(high - 1, low, -1)
        return (shelf.items[place] for place in places)
    ordered = among if forward else reversed(among)
    return (item for item in ordered if low < shelf.place[item.id] < high)


def payment_of(books: Books, reader: Reader) -> Payment | None:
    """The payment that the filters `payment_intent` and `charge` name.

    Raises Refusal if unknown.
    """
    intent_id, charge_id = reader.text("payment_intent"), reader.text("charge")
    if intent_id is not None:
        payment = books.by_intent.get(intent_id)
        if payment is None:
            raise missing("payment_intent", intent_id, "payment_intent")
        return payment
    if charge_id is None:
        return None
    payment = books.by_charge.get(charge_id)
    if payment is None:
        raise missing("charge", charge_id, "charge")
    return payment


def shown(books: Books, subject: Any, expand: tuple[str, ...]) -> bytes:
    """The JSON of an object with its expansions, whose paths were checked before."""
    if not expand:
        return msgspec.json.encode(subject)
    tree = _plain(subject)
    for path in expand:
        _expand(books, tree, path.split("."))
    return msgspec.json.encode(tree)


def check_expand(noun: str, paths: tuple[str, ...], *, of_list: bool) -> None:
    """Raises Refusal for a path that leads nowhere; done before any work."""
    for path in paths:
        names = path.split(".")
        if of_list and names.pop(0) != "data":
            raise _cannot(path)
        if not 0 < len(names) <= EXPAND_DEPTH:
            raise bad_parameter(
                f"Expansions are 1 to {EXPAND_DEPTH} levels deep ({path}).", "expand"
            )
        kind = noun
        for name in names:
            if name == "data" and kind == "refunds":
                continue
            if name not in EXPANDABLE.get(kind, {}):
                raise _cannot(path)
            kind = EXPANDABLE[kind][name]


def _expand(books: Books, node: Json, names: list[str]) -> None:
    name, rest = names[0], names[1:]
    if name == "data" and node.get("object") == "list":
        for item in node["data"]:
            _expand(books, item, rest)
        return
    child = _child(books, node, name)
    if child is None:
        return
    node[name] = child
    if rest:
        _expand(books, child, rest)


def _child(books: Books, node: Json, name: str) -> Json | None:
    """The object to put in place of an id; None where there is nothing to expand."""
    if name == "refunds" and isinstance(node.get("id"), str):
        refunds = books.by_charge[node["id"]].refunds[::-1]
        url = f"/v1/charges/{node['id']}/refunds"
        return _plain(Page(data=refunds[:10], has_more=len(refunds) > 10, url=url))
    value = node.get(name)
    if isinstance(value, dict):
        return value
    found = find_any(books, value) if isinstance(value, str) else None
    return None if found is None else _plain(found)


def _cannot(path: str) -> Refusal:
    return bad_parameter(f"This property cannot be expanded ({path}).", "expand")


def _plain(subject: Any) -> Json:
    plain: Json = msgspec.json.decode(msgspec.json.encode(subject))
    return plain


def find_any(books: Books, object_id: str) -> Shown | None:
    """Any object by its id, or None."""
    shelves: tuple[Shelf[Any], ...] = (
        books.charges,
        books.intents,
        books.refunds,
        books.transactions,
        books.disputes,
    )
    for shelf in shelves:
        found: Shown | None = shelf.get(object_id)
        if found is not None:
            return found
    return None


def wanted_events(reader: Reader) -> Callable[[Event], bool]:
    """The filter of `type` (which may end in `.*`) and `types`."""
    one, several = reader.text("type"), reader.strings("types")
    if one is not None and several:
        raise bad_parameter("Give only one of type and types.", "types")
    if one is not None and one.endswith(".*"):
        return lambda event: event.type.startswith(one[:-1])
    names = frozenset(several if one is None else (one,))
    return lambda event: not names or event.type in names
