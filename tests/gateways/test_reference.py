"""Nothing in the reference material is left out by oversight."""

from __future__ import annotations

import json
from pathlib import Path

from tests.gateways import reference
from tests.gateways.test_hearing import TABLES as HEARING
from tests.gateways.test_providers import TABLES as MONEY


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _counted(folder: Path, key: str, names: dict[str, int]) -> dict[str, int]:
    return {name: len(json.loads((folder / name).read_text())[key]) for name in names}


def test_every_file_of_signature_vectors_is_judged(shared: Path) -> None:
    judged = [name for table in HEARING.values() for name in table.vectors]
    assert sorted(judged) == sorted(reference.VECTORS)
    folder = shared / "psp/vectors"
    assert _names(folder) == {*judged, *reference.OF_SHOPS}
    assert _counted(folder, "cases", reference.VECTORS) == reference.VECTORS


def test_every_file_of_messages_is_read(shared: Path) -> None:
    read = [name for table in HEARING.values() for name in table.payloads]
    assert sorted(read) == sorted(reference.PAYLOADS)
    folder = shared / "psp/payloads"
    assert _names(folder) == {*read, *reference.OF_SHOPS}
    assert _counted(folder, "events", reference.PAYLOADS) == reference.PAYLOADS


def test_every_openapi_file_checks_requests_or_is_said_not_to(shared: Path) -> None:
    asked = {name for t in MONEY.values() for version in t.openapi for name in version}
    others = {*reference.SHAPES, *reference.NOTHING_ASKED, "README.md"}
    assert not asked & others
    assert _names(shared / "psp/openapi") == asked | others
