"""`amends risk …`: from a merchant's own rows, from the database and from simulated shoppers."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from msgspec.structs import replace

from amends.core.history import Judged, Label
from amends.core.risk import NAMES, Features
from amends.engine.clock import SystemClock
from amends.engine.risk import Meta
from amends.engine.risk_rows import NEEDED, Example
from amends.engine.risk_shelf import scorer
from amends.kernel.time import DAY, parse_rfc3339, rfc3339
from amends.store.open import connect
from amends.store.spec import Batch
from tests.engine.risk_world import made_up

from .conftest import order_body
from .test_cli import Said, Shell, bare, orders_file, shell

__all__ = ["bare", "shell"]  # fixtures

SVG = "{http://www.w3.org/2000/svg}"


def csv_of(path: Path, examples: list[Example], names: tuple[str, ...] = NEEDED) -> Path:
    """Examples as a merchant would hand them in."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        for one in examples:
            row = dict(zip(NAMES, one.features, strict=True))
            writer.writerow(
                {
                    **row,
                    "at": rfc3339(one.at),
                    "customer": one.customer,
                    "abuse": int(bool(one.abuse)),
                }
            )
    return path


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return csv_of(tmp_path_factory.mktemp("rows") / "refunds.csv", made_up())


@pytest.fixture
def trained(shell: Shell, rows: Path) -> Iterator[Shell]:
    """With a model of a CSV in the folder `model`."""
    said = shell("risk", "train", "--from-csv", str(rows), "--json")
    assert said.code == 0, said.err
    yield shell


# -- train and evaluate --------------------------------------------------------------------------


def test_a_model_of_a_merchants_own_rows(trained: Shell, rows: Path) -> None:
    model = trained.folder / "model"
    first = (model / "model.txt").read_bytes(), (model / "model.json").read_bytes()
    said = trained("risk", "train", "--from-csv", str(rows), "--out", "again", "--json")
    assert (model / "model.txt").read_bytes() == (trained.folder / "again/model.txt").read_bytes()
    assert first[1] == (trained.folder / "again/model.json").read_bytes()
    told = said.json
    assert told["figures"]["model"]["auc"] > 0.7
    assert len(told["thresholds"]) == 6
    assert not told["simulated"]
    words = trained("risk", "train", "--from-csv", str(rows)).out
    assert "honest approved" in words
    assert told["hash"][:16] in words


def test_the_report_is_one_page_with_its_pictures(trained: Shell) -> None:
    page = (trained.folder / "model/report.html").read_text()
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=", page), "nothing from elsewhere"
    (picture,) = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    lines = list(ElementTree.fromstring(picture).iter(f"{SVG}polyline"))
    assert len(lines) == 3 * 4 + 2, "three scorers in four charts, and two even lines"
    width, height = map(float, re.findall(r'viewBox="0 0 (\S+) (\S+)"', picture)[0])
    for line in lines:
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 < x < width
            assert 0 < y < height
    for word in ("ROC", "Precision", "Calibration", "Cost", "late and selective", "logistic"):
        assert word in page


def test_a_model_is_tested_again(trained: Shell, rows: Path) -> None:
    said = trained("risk", "evaluate", "model", "--from-csv", str(rows), "--json")
    assert said.code == 0, said.err
    assert said.json["figures"]["model"]["auc"] > 0.7
    assert set(said.json["drift"]) == {*NAMES, "score"}
    assert "Drift" in (trained.folder / "report.html").read_text()
    assert "drift of" in trained("risk", "evaluate", "model", "--from-csv", str(rows)).out


def test_simulated_figures_say_so(shell: Shell) -> None:
    said = shell("risk", "train", "--simulated", "2600", "--seed", "1")
    assert said.code == 0, said.err
    assert "These figures are simulated" in said.out
    assert "These figures are simulated" in (shell.folder / "model/report.html").read_text()
    meta = msgspec.json.decode((shell.folder / "model/model.json").read_bytes(), type=Meta)
    assert meta.simulated
    assert 0.6 < meta.measures["auc"] < 0.97, "neither useless nor perfect"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from-csv", "none.csv"), "none.csv cannot be read"),
        (("--from-csv", "short.csv"), "no column units and account_age;"),
        (("--from-csv", "few.csv"), "at least 10 of either kind are needed"),
        (("--from-csv", "few.csv", "--simulated", "9"), "not both"),
        ((), "no judged refund with features"),
    ],
)
def test_what_cannot_be_learned_from_is_a_sentence(
    shell: Shell, words: tuple[str, ...], said: str
) -> None:
    names = tuple(name for name in NEEDED if name not in ("account_age", "units"))
    csv_of(shell.folder / "short.csv", made_up(50), names)
    csv_of(shell.folder / "few.csv", made_up(50))
    found = shell("risk", "train", *words)
    assert found.code == 1
    assert said in found.err.replace("\n", " ")
    assert not (shell.folder / "model").exists()


# -- a model that is not one ---------------------------------------------------------------------


def spoil(folder: Path, how: str) -> None:
    text, meta = folder / "model.txt", folder / "model.json"
    if how == "cut short":
        text.write_text(text.read_text()[:-5000])
    elif how == "no document":
        meta.unlink()
    elif how == "not json":
        meta.write_text("{")
    else:
        document = json.loads(meta.read_text())
        document["features"][3] = "phase_of_the_moon"
        meta.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cut short", "it may be cut"),
        ("no document", "is no folder of a model"),
        ("not json", "cannot be read"),
        ("other features", "Model of other features: it lacks failed_before and it wants phase"),
    ],
)
def test_a_bad_model_is_a_sentence(trained: Shell, rows: Path, how: str, said: str) -> None:
    spoil(trained.folder / "model", how)
    for words in (("evaluate", "model", "--from-csv", str(rows)), ("promote", "model")):
        found = trained("risk", *words)
        assert found.code == 1
        assert said in found.err.replace("\n", " ")
    assert trained("risk", "list", "--json").json == []


# -- promote, list, explain ----------------------------------------------------------------------


def settings(shell: Shell) -> dict[str, str]:
    async def read() -> dict[str, str]:
        store = connect(f"sqlite:///{shell.folder}/amends.db")
        await store.open()
        try:
            return await store.settings()
        finally:
            await store.close()

    return asyncio.run(read())


def test_a_model_is_promoted_and_listed(trained: Shell) -> None:
    made = trained("risk", "promote", "model", "--json")
    assert made.code == 0, made.err
    known = made.json["model"]
    assert settings(trained) == {"board": "2", "model.champion": known}
    assert trained("risk", "promote", "model").code == 0
    assert settings(trained)["board"] == "2", "nothing has changed"
    trained("risk", "promote", known, "--challenger")
    assert settings(trained)["model.challenger"] == known
    (one,) = trained("risk", "list", "--json").json
    assert (one["hash"], one["role"], one["simulated"]) == (known, "champion", False)
    assert known[:16] in trained("risk", "list").out
    assert "scorecard" in trained("risk", "promote", "none").out
    assert settings(trained)["model.champion"] == ""
    assert trained("risk", "list", "--json").json[0]["role"] == "challenger"
    assert trained("audit", "verify").code == 0
    none = trained("risk", "promote", "0" * 64)
    assert (none.code, "amends risk list" in none.err) == (1, True)


def test_who_judges_follows_the_settings(trained: Shell) -> None:
    async def judge() -> tuple[str, str | None]:
        store = connect(f"sqlite:///{trained.folder}/amends.db")
        await store.open()
        try:
            found = await scorer(store, SystemClock())
        finally:
            await store.close()
        features = Features(*made_up(1)[0].features)
        beside = found.beside(features)
        return found.score(features).model, beside.model if beside else None

    assert asyncio.run(judge()) == ("scorecard-2", None)
    known = trained("risk", "promote", "model", "--json").json["model"]
    assert asyncio.run(judge()) == (f"lightgbm-1:{known[:16]}", None)
    trained("risk", "promote", "none")
    trained("risk", "promote", known, "--challenger")
    assert asyncio.run(judge()) == ("scorecard-2", f"lightgbm-1:{known[:16]}")


def judge_all(shell: Shell, examples: list[Example], order: str, refund: str) -> None:
    """Judgements of these, the first of which is that of a real refund, and their labels."""
    batch = Batch()
    for n, one in enumerate(examples):
        names = (order, refund) if n == 0 else (f"ord_{one.customer}", f"rf_{n}")
        text = json.dumps(one.features)
        verdict = ("policy", "rule", "approve", 100, "scorecard-2", one.amount)
        batch.judged.append(Judged(*names, one.at, *verdict, "[]", text, "[]", "", False))
        if one.abuse:
            batch.labels.append(Label(*names, one.at + DAY, "dispute", True))

    async def write() -> None:
        store = connect(f"sqlite:///{shell.folder}/amends.db")
        await store.open()
        try:
            async with store.turn() as turn:
                await turn.write(batch)
        finally:
            await store.close()

    asyncio.run(write())


def a_refund(shell: Shell) -> Said:
    shell("import", str(orders_file(shell.folder, order_body())))
    return shell("refund", "shop-1/1001", "--lines", "1:1", "--key", "t-1", "--json")


def test_the_database_is_learned_from(shell: Shell) -> None:
    made = a_refund(shell).json
    now = SystemClock().now()
    examples = made_up(3500, days=200)
    late = now - examples[-1].at - DAY
    moved = [replace(one, at=one.at + late) for one in examples]
    judge_all(shell, moved, made["order"], made["id"])
    said = shell("risk", "train", "--json")
    assert said.code == 0, said.err
    assert said.json["figures"]["model"]["auc"] > 0.65
    meta = msgspec.json.decode((shell.folder / "model/model.json").read_bytes(), type=Meta)
    assert meta.counts["fit_abuse"] > 20


def test_a_refund_is_explained(trained: Shell) -> None:
    made = a_refund(trained).json
    before = trained("risk", "explain", made["id"]).out
    assert "Its features were not kept" not in before
    assert f"{made['id']}: approve" in before
    at = parse_rfc3339(made["created_at"])
    (one,) = [replace(e, at=at) for e in made_up(1)]
    judge_all(trained, [one], made["order"], made["id"])
    by_card = trained("risk", "explain", made["id"]).out
    assert "scorecard-2" in by_card
    assert "By scorecard: model missing" in by_card
    trained("risk", "promote", "model")
    told = trained("risk", "explain", made["id"], "--json").json
    assert told["now"]["model"].startswith("lightgbm-1:")
    assert told["now"]["reasons"]
    assert told["features"]["amount"] == one.amount
    nobody = trained("risk", "explain", "rf_none")
    assert (nobody.code, nobody.out) == (1, "")
