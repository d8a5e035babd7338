"""Ids, canonical JSON, instants, and invariants that stay on."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.kernel import check
from amends.kernel.canon import GENESIS, canonical, chain, digest, digest_parsed
from amends.kernel.check import InvariantBroken, invariant
from amends.kernel.ids import derived, encode, tail
from amends.kernel.outcome import Accepted, Declined, NotSent, Outcome, Unknown
from amends.kernel.time import DAY, from_datetime, parse_rfc3339, rfc3339, to_datetime

RAW = st.binary(min_size=16, max_size=16)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


# -- ids ---------------------------------------------------------------------------------------


@given(one=RAW, other=RAW)
def test_an_id_keeps_the_order_of_its_bytes(one: bytes, other: bytes) -> None:
    first, second = encode("rf", one), encode("rf", other)
    assert (first < second, first == second) == (one < other, one == other)
    assert len(first) == len("rf_") + 26
    assert tail(first) == first[3:]


@given(st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_a_derived_id_follows_from_its_parts_alone(parts: list[str]) -> None:
    assert derived("pay", *parts) == derived("pay", *parts)
    assert derived("pay", *parts, "") != derived("pay", *parts)
    assert derived("pay", "".join(parts), "x") != derived("pay", "".join(parts) + "x")


def test_derived_ids_are_stable() -> None:
    """On disk of every installation: never change how they are made."""
    assert derived("pay", "stripe-eu", "pi_1") == "pay_2b91av4zyrh4q2x4k8qe6vqf4d"
    assert derived("a", "bc", "d") != derived("a", "b", "cd")


# -- canonical JSON ----------------------------------------------------------------------------


class Both(msgspec.Struct):
    b: int
    a: int


@given(JSON)
def test_one_value_has_one_form(value: Any) -> None:
    text = canonical(value)
    assert canonical(msgspec.json.decode(text)) == text
    assert digest(value) == digest(msgspec.json.decode(text))


@given(st.dictionaries(st.text(max_size=6), st.integers(0, 9), max_size=6))
def test_the_order_of_keys_does_not_count(value: dict[str, int]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_canonical_by_example() -> None:
    assert canonical({"b": [1, None, True], "a": "é"}) == '{"a":"é","b":[1,null,true]}'.encode()
    assert canonical(Both(2, 1)) == b'{"a":1,"b":2}'


@pytest.mark.parametrize("value", [1.0, {"a": 1.5}, [1, [2.0]], {"a": {"b": (0.1,)}}, float("nan")])
def test_a_float_from_outside_is_refused(value: Any) -> None:
    with pytest.raises(InvariantBroken, match="float"):
        digest_parsed(value)


@given(JSON)
def test_what_came_from_outside_hashes_like_ours(value: Any) -> None:
    assert digest_parsed(value) == digest(value)


def test_a_chain_depends_on_every_link() -> None:
    first = chain(GENESIS, b"one")
    assert chain(first, b"two") != chain(GENESIS, b"two")
    assert chain(first, b"two") != chain(first, b"tw0")
    assert len(first) == len(GENESIS) == 64


# -- time --------------------------------------------------------------------------------------

INSTANTS = st.integers(0, from_datetime(datetime(9999, 12, 31, tzinfo=UTC)))


@given(INSTANTS)
def test_an_instant_survives_the_doors(at: int) -> None:
    assert parse_rfc3339(rfc3339(at)) == at
    assert from_datetime(to_datetime(at)) == at


@given(INSTANTS, st.integers(-14 * 60, 14 * 60))
def test_a_zone_changes_nothing(at: int, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    if DAY < at < from_datetime(datetime(9999, 1, 1, tzinfo=UTC)):
        assert from_datetime(to_datetime(at).astimezone(zone)) == at


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-01:00"])
def test_a_year_that_utc_does_not_have_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match="years 1 to 9999"):
        parse_rfc3339(text)


def test_instants_by_example() -> None:
    at = parse_rfc3339("2026-11-01T10:00:00Z")
    assert at == 1_793_527_200_000_000
    assert parse_rfc3339("2026-11-01T12:00:00.000001+02:00") == at + 1
    assert rfc3339(at) == "2026-11-01T10:00:00.000000Z"


@pytest.mark.parametrize("text", ["2026-11-01T10:00:00", "2026-11-01", "yesterday", "", "12"])
def test_a_time_that_names_no_instant(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


# -- outcomes and invariants -------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Accepted(), Declined("no"), NotSent("x"), Unknown("y")])
def test_an_outcome_survives_the_disk(outcome: Outcome) -> None:
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome


def test_an_invariant_says_why() -> None:
    invariant(True, "fine")
    with pytest.raises(InvariantBroken, match="the sky is green"):
        invariant(False, "the sky is green")


def test_invariants_stay_on_without_asserts() -> None:
    code = (
        "from amends.kernel.check import InvariantBroken, invariant\n"
        "assert False, 'asserts are off'\n"
        "try:\n    invariant(False, 'x')\nexcept InvariantBroken:\n    raise SystemExit(7)\n"
    )
    source = str(Path(check.__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-O", "-c", code],
        env={**os.environ, "PYTHONPATH": source},
        check=False,
        capture_output=True,
    )
    assert done.returncode == 7, done.stderr.decode()
