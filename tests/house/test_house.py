"""The house inspects itself: the rules of rules.py on the files of this repository."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.house import rules
from tests.house.rules import Module

ROOT = Path(__file__).resolve().parents[2]

# Lists of exceptions. They only shrink: an entry that is not needed any more fails the test.
# path -> lines today
LONG_FILES: dict[str, int] = {}
# path::function -> lines today
LONG_FUNCTIONS: dict[str, int] = {}
# module on a money floor -> why a ratio there is not money
RATIOS: dict[str, str] = {}
# module nothing imports -> what starts it
STARTED_OTHERWISE: dict[str, str] = {}

MONEY = ("amends.core", "amends.kernel.money")
PURE = ("amends.kernel", "amends.core", "amends.gateways")


@cache
def files() -> tuple[str, ...]:
    """Paths of the repository: committed, or about to be. Without git, everything but leavings."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [path for path in listed.stdout.split("\0") if path]
    else:
        leavings = {".venv", "build", "dist", "node_modules", "__pycache__"}
        relative = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        found = [
            path.as_posix()
            for path in relative
            if not any(part in leavings or part.endswith("_cache") for part in path.parts)
        ]
    return tuple(sorted(path for path in found if (ROOT / path).is_file()))


@cache
def texts() -> dict[str, str]:
    """Every file that is text."""
    found: dict[str, str] = {}
    for path in files():
        raw = (ROOT / path).read_bytes()
        if b"\0" not in raw:
            found[path] = raw.decode()
    return found


@cache
def modules() -> tuple[Module, ...]:
    """The package, module by module."""
    return tuple(
        Module(dotted(path.removeprefix("src/")), path, text)
        for path, text in texts().items()
        if path.startswith("src/amends/") and path.endswith(".py")
    )


def dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def floors(*packages: str) -> list[Module]:
    return [m for m in modules() if any(rules.within(m.name, package) for package in packages)]


def module(name: str) -> Module:
    """The module, or skip: a rule about a module holds from the day the module is there."""
    for candidate in modules():
        if candidate.name == name:
            return candidate
    pytest.skip(f"{name} does not exist yet")


def migrations(name: str) -> bool:
    return rules.within(name, "amends.store.migrations")


def test_the_inspection_sees_the_house() -> None:
    # A listing gone wrong would make every other test here pass on nothing.
    names = {m.name for m in modules()}
    wanted = {f"amends.{floor}" for floor in ("kernel", "core", "gateways", "store", "engine")}
    assert wanted <= names
    assert {"pyproject.toml", "Makefile", "LICENSE", "locks/dev.txt"} <= set(texts())


@pytest.mark.parametrize(
    ("rule", "scope"),
    [
        (rules.imports_in_functions, ("amends",)),
        (rules.missing_docstring, ("amends",)),
        (rules.swallowed, ("amends",)),
        (rules.blocking_sleep, ("amends",)),
        (rules.floor_imports, PURE),
        (rules.world, PURE),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_every_module(rule: Callable[[Module], Iterator[str]], scope: tuple[str, ...]) -> None:
    assert [finding for m in floors(*scope) for finding in rule(m)] == []


def test_money_is_an_integer() -> None:
    found = {m.name: list(rules.float_money(m)) for m in floors(*MONEY)}
    assert [f for name, findings in found.items() if name not in RATIOS for f in findings] == []
    assert [name for name in RATIOS if not found.get(name)] == [], "no longer needed on the list"


def test_functions_are_short() -> None:
    own = [Module("", path, text) for path, text in texts().items() if path.endswith(".py")]
    sizes = {name: size for m in own for name, size in rules.function_sizes(m)}
    assert rules.over(sizes, rules.FUNCTION_LINES_MAX, LONG_FUNCTIONS) == []


def test_files_are_short() -> None:
    sizes = {p: text.count("\n") for p, text in texts().items() if p.endswith(".py")}
    assert rules.over(sizes, rules.FILE_LINES_MAX, LONG_FILES) == []


def test_no_module_is_dead() -> None:
    project = tomllib.loads(texts()["pyproject.toml"])["project"]
    doors = {target.partition(":")[0] for target in project["scripts"].values()}
    for door in doors:
        module(door)
    doors |= {m.name for m in modules() if m.name.endswith(".__main__") or migrations(m.name)}
    dead = rules.dead_modules(list(modules()), doors | set(STARTED_OTHERWISE))
    assert dead == []
    without = rules.dead_modules(list(modules()), doors)
    stale = [
        name
        for name in STARTED_OTHERWISE
        if not any(dotted(f[4:].partition(":")[0]) == name for f in without)
    ]
    assert stale == [], "no longer needed on the list"


def test_nothing_is_left_over() -> None:
    assert [f for path, text in texts().items() for f in rules.leftovers(path, text)] == []


def test_no_file_names_a_registry_or_a_machine() -> None:
    assert [f for path, text in texts().items() for f in rules.machine_traces(path, text)] == []


def test_locks_pin_and_hash_everything() -> None:
    locks = {p: t for p, t in texts().items() if p.startswith("locks/") and p.endswith(".txt")}
    assert {"locks/dev.txt", "locks/runtime.txt", "locks/tools.txt"} <= set(locks)
    assert [f for path, text in locks.items() for f in rules.lock_findings(path, text)] == []


@pytest.mark.parametrize("extras", [("runtime", ("postgres",)), ("dev", ("postgres", "dev"))])
def test_locks_hold_what_the_project_asks_for(extras: tuple[str, tuple[str, ...]]) -> None:
    lock, wanted = extras
    project = tomllib.loads(texts()["pyproject.toml"])
    asked = project["build-system"]["requires"] + project["project"]["dependencies"]
    for extra in wanted:
        asked += project["project"]["optional-dependencies"][extra]
    pinned = rules.pinned_names(texts()[f"locks/{lock}.txt"])
    assert [name for name in map(rules.required_name, asked) if name not in pinned] == []


def documents() -> str:
    """What users read: the pages of docs/ and the README, without the decision records."""
    return "\n".join(
        text
        for path, text in texts().items()
        if path == "README.md" or (path.startswith("docs/") and not path.startswith("docs/adr/"))
    )


def test_every_reason_is_documented() -> None:
    codes = rules.enum_codes(module("amends.core.reasons"), "Reason")
    assert codes, "amends.core.reasons has no enum Reason"
    assert rules.undocumented_reasons(codes, texts().get("docs/reasons.md", "")) == []


def test_every_exception_is_documented() -> None:
    names = sorted({name for m in floors("amends.core") for name in rules.raised(m)})
    assert names, "nothing in amends.core raises an exception"
    assert rules.undocumented_raised(names, texts().get("docs/exceptions.md", "")) == []


def test_every_setting_is_documented() -> None:
    names = rules.settings(module("amends.engine.config"))
    assert rules.undocumented_settings(names, documents()) == []


def test_every_command_is_documented() -> None:
    module("amends.doors.cli")
    names = sorted({name for m in floors("amends.doors") for name in rules.commands(m)})
    assert names, "no command found in amends.doors"
    assert rules.undocumented_commands(names, documents()) == []
