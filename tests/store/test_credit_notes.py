"""Numbers without gaps, whoever gives them and wherever it stops; both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from amends.core.documents import Document, DocumentPart, DocumentTax, DueDocument
from amends.engine.proof import prove
from amends.store import ledger, rows
from amends.store.spec import Batch, Store
from tests.store.conftest import Another
from tests.store.examples import NOW
from tests.store.sql import rows_of, run, write

PART = DocumentPart("line", "1", "Tea", 1, 2667, (DocumentTax("VAT", "0.20", 533),))
NOTE = Document(
    *("credit_note", "ord_1", 1, "rf_1", "main", "shop-1", "1001", "INV-7", "2026-11-01"),
    *("2026-11-02", "return", "EUR", 2667, 533, 3200, True, (PART,)),
)


def due(n: int, at: int = NOW, **changes: Any) -> DueDocument:
    named = {"order": f"ord_{n:04}", "refund": f"rf_{n}", **changes}
    return DueDocument(at, replace(NOTE, **named))


async def wait(store: Store, *documents: DueDocument) -> None:
    batch = Batch()
    batch.documents += documents
    await write(store, batch)


async def numbers(store: Store, **filters: str) -> list[tuple[str, str]]:
    page = await store.credit_notes(filters, "", 10_000)
    return [(item["name"], item["order"]) for item in page.items]


async def test_numbers_follow_the_order_in_which_they_wait(store: Store) -> None:
    assert await store.number_documents("CN", NOW, 10) == 0
    await wait(store, due(3, NOW + 2), due(2, NOW + 1), due(1, NOW + 3))
    assert [d.document.order[-1] for d in await store.documents_due(10)] == ["2", "3", "1"]
    (first,) = await store.documents_due(1)
    assert [d.document.order[-1] for d in await store.documents_due(10, first)] == ["3", "1"]
    assert await store.number_documents("CN", NOW + 9, 2) == 2
    assert await store.number_documents("CN", NOW + 9, 2) == 1
    assert await numbers(store) == [
        ("CN-000001", "ord_0002"),
        ("CN-000002", "ord_0003"),
        ("CN-000003", "ord_0001"),
    ]
    assert await store.documents_due(10) == []
    (item,) = (await store.credit_notes({"order": "ord_0002"}, "", 5)).items
    assert (item["at"], item["net"], item["tax"], item["gross"]) == (NOW + 9, 2667, 533, 3200)
    assert (item["invoice"], item["of"], item["source_order"]) == ("INV-7", "2026-11-01", "1001")
    assert item["parts"][0]["taxes"] == ({"name": "VAT", "rate": "0.20", "amount": 533},)


async def test_each_entity_and_series_counts_by_itself(store: Store) -> None:
    await wait(store, due(1), due(2, entity="other"), due(3))
    await store.number_documents("CN", NOW, 10)
    await wait(store, due(4), due(5, entity="other"))
    await store.number_documents("CN-2027", NOW, 10)
    found = [(i["entity"], i["name"]) for i in (await store.credit_notes({}, "", 10)).items]
    assert found == [
        *(("main", "CN-000001"), ("main", "CN-000002"), ("main", "CN-2027-000001")),
        *(("other", "CN-000001"), ("other", "CN-2027-000001")),
    ]
    assert await numbers(store, entity="other", series="CN") == [("CN-000001", "ord_0002")]
    with pytest.raises(ValueError, match="no filter colour"):
        await store.credit_notes({"colour": "red"}, "", 5)


async def test_issued_never_before_the_number_before(store: Store) -> None:
    """The clock of another process may be behind."""
    for n, at in ((1, NOW + 50), (2, NOW), (3, NOW + 60)):
        await wait(store, due(n))
        await store.number_documents("CN", at, 10)
    items = (await store.credit_notes({}, "", 10)).items
    assert [item["at"] for item in items] == [NOW + 50, NOW + 50, NOW + 60]


async def test_a_reversal_names_what_it_reverses(store: Store) -> None:
    lapsed = {"kind": "reversal", "net": -2667, "tax": -533, "gross": -3200}
    await wait(store, due(1), due(2), due(1, NOW + 1, entry=2, **lapsed))
    await store.number_documents("CN", NOW, 10)
    await wait(store, due(2, NOW + 2, entry=2, **lapsed))
    await store.number_documents("CN", NOW, 10)
    items = (await store.credit_notes({}, "", 10)).items
    assert [(i["name"], i["reverses"]) for i in items if i["kind"] == "reversal"] == [
        ("CN-000003", ("CN-000001",)),
        ("CN-000004", ("CN-000002",)),
    ]


async def test_two_workers_race_without_a_gap(store: Store, another: Another) -> None:
    other = await another()
    await wait(store, *(due(n) for n in range(200)))
    done = await asyncio.gather(
        *(s.number_documents("CN", NOW, 7) for _ in range(20) for s in (store, other))
    )
    assert sum(done) == 200
    made = (await store.credit_notes({}, "", 10_000)).items
    assert [item["number"] for item in made] == list(range(1, 201))
    assert [item["order"] for item in made] == [f"ord_{n:04}" for n in range(200)]
    assert (await prove(store)).ok


@pytest.mark.parametrize("at", ["insert", "delete"])
async def test_a_crash_while_numbering_leaves_no_gap(
    store: Store, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    await wait(store, *(due(n) for n in range(5)))

    def broken(*_: Any) -> Any:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(*((rows, "credit_note") if at == "insert" else (ledger, "delete")), broken)
        await store.number_documents("CN", NOW, 10)
    assert await rows_of(store, "credit_notes") == []
    assert len(await store.documents_due(10)) == 5
    await store.number_documents("CN", NOW, 10)
    assert [name for name, _ in await numbers(store)] == [f"CN-00000{n}" for n in range(1, 6)]


async def test_pages_and_gaps(store: Store) -> None:
    await wait(store, *(due(n) for n in range(5)))
    await store.number_documents("CN", NOW, 10)
    first = await store.credit_notes({}, "", 3)
    rest = await store.credit_notes({}, first.next, 3)
    assert [i["number"] for i in (*first.items, *rest.items)] == [1, 2, 3, 4, 5]
    assert rest.next == ""
    assert await store.number_gaps() == []
    gap = "INSERT INTO credit_notes VALUES ('main','CN',9,'o',1,'rf','credit_note',1,'{}')"
    await run(store, gap)
    assert await store.number_gaps() == [("main", "CN", 6, 9)]
    report = await prove(store)
    said = "Series CN of main has 6 documents, and its last is 9."
    assert [finding.what for finding in report.findings] == [said]


async def test_a_reversal_names_the_credit_notes_that_it_reverses(store: Store) -> None:
    """What was reversed before is not reversed again; a part of one leaves the rest of it open."""
    back = {"kind": "reversal", "net": -2667, "tax": -533, "gross": -3200}
    part, rest = {**back, "gross": -200}, {**back, "gross": -6200}
    kinds: list[dict[str, Any]] = [{}, back, {}, back, {}, {}, part, rest]
    for number, changes in enumerate(kinds, 1):
        await wait(store, due(1, NOW + number, entry=number, **changes))
        if number % 3 == 0:  # some are numbered together with others, some after them
            await store.number_documents("CN", NOW + 9, 10)
    await store.number_documents("CN", NOW + 9, 10)
    items = (await store.credit_notes({}, "", 10)).items
    assert [tuple(item["reverses"]) for item in items if item["kind"] == "reversal"] == [
        ("CN-000001",),
        ("CN-000003",),
        ("CN-000006",),
        ("CN-000005", "CN-000006"),
    ]
