"""Many credit notes at once, in a Tryton on PostgreSQL.

It takes minutes, so it runs only when it is asked for: AMENDS_ERP_NOTES=200 is how many of them,
AMENDS_ERP_WRITERS=1 how many write at once (the service lets one).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from amends.core.outlets import CreditNote
from amends.kernel.outcome import Accepted, NotSent, Outcome, Unknown
from tests.erp import server
from tests.erp.server import Tryton
from tests.erp.talking import find, note, part, settings, tell

MANY = int(os.environ.get("AMENDS_ERP_NOTES", "0"))
WRITERS = int(os.environ.get("AMENDS_ERP_WRITERS", "4"))
TRIES = 200


@pytest.fixture(scope="session")
def asked_for() -> None:
    if not MANY:
        pytest.skip("takes minutes: AMENDS_ERP_NOTES=200 runs it")


@pytest.fixture
def busy(asked_for: None, postgres_url: str) -> Iterator[Tryton]:
    """A server on PostgreSQL, where a lock that is not had at once is refused with 503."""
    if why := server.missing():
        pytest.skip(why)
    with server.running(postgres_url) as erp:
        yield erp


@pytest.mark.slow
def test_no_number_is_given_twice_left_out_or_lost(busy: Tryton) -> None:
    """Several writers at once, as there never are: whatever is refused is told again."""
    its = settings(busy)
    told = [note(part(1000 + at, ("VAT", "0.20", 200 + at % 3))) for at in range(MANY)]
    seen: Counter[str] = Counter()

    def until_done(one: CreditNote) -> Outcome:
        for _ in range(TRIES):
            outcome = tell(one, its)
            seen[type(outcome).__name__] += 1
            if not isinstance(outcome, NotSent | Unknown):
                return outcome
        return outcome

    with ThreadPoolExecutor(WRITERS) as writers:
        outcomes = list(writers.map(until_done, told))
    assert {type(one) for one in outcomes} == {Accepted}, (seen, outcomes)
    domain = [["type", "=", "out"], ["total_amount", "<", {"__class__": "Decimal", "decimal": "0"}]]
    made = find(its, "account.invoice", domain, "number", "state", "reference")
    assert sorted(one["reference"] for one in made) == sorted(one.key for one in told)
    assert {one["state"] for one in made} == {"posted"}
    numbers = sorted(int(one["number"]) for one in made)
    assert numbers == list(range(numbers[0], numbers[0] + MANY))
    print(f"{MANY} by {WRITERS}: {dict(seen)}")  # with -s: how often it was refused
