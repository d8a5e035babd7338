"""Every rule of the house finds what it is there for, and lets the good form pass."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.house import rules
from tests.house.rules import Module

ROOT = Path(__file__).resolve().parents[2]


def a_module(text: str, name: str = "amends.core.sample") -> Module:
    return Module(name, f"src/{name.replace('.', '/')}.py", text)


RULES: list[tuple[Callable[[Module], Iterator[str]], str, str]] = [
    # rule, a bad snippet, a good one
    (
        rules.imports_in_functions,
        "def f():\n    import os",
        "import os\ndef f():\n    return os.sep",
    ),
    (
        rules.imports_in_functions,
        "class A:\n async def f(self):\n  from os import sep",
        "import os",
    ),
    (rules.missing_docstring, "x = 1", '"""Says why."""'),
    (rules.missing_docstring, '"""   """', '"""Says why."""'),
    (rules.float_money, "a = b / 2", "a = b // 2"),
    (rules.float_money, "a /= 2", "a //= 2"),
    (rules.float_money, "a = float(b)", "a = int(b)"),
    (rules.float_money, "a = 0.2 * b", "a = 2 * b"),
    (rules.swallowed, "try:\n x()\nexcept:\n raise", "try:\n x()\nexcept OSError:\n pass"),
    (
        rules.swallowed,
        "try:\n x()\nexcept Exception:\n pass",
        "try:\n x()\nexcept Exception:\n log()",
    ),
    (rules.swallowed, "try:\n x()\nexcept (OSError, BaseException) as e:\n ...", "x = 1"),
    (rules.swallowed, "for i in y:\n try:\n  x()\n except Exception:\n  continue", "x = 1"),
    (rules.swallowed, "with contextlib.suppress(Exception): x()", "with suppress(KeyError): x()"),
    (rules.blocking_sleep, "import time\ntime.sleep(1)", "import asyncio\nasyncio.sleep(1)"),
    (rules.blocking_sleep, "from time import sleep", "from time import struct_time"),
    (rules.blocking_sleep, "import time as t\nwait = t.sleep", "sleep = 1"),
    (rules.world, "from datetime import datetime\ndatetime.now()", "def f(now): return now"),
    (rules.world, "import datetime as dt\ndt.datetime.now(dt.UTC)", "import datetime"),
    (
        rules.world,
        "import datetime\ndatetime.date.today()",
        "import datetime\ndatetime.date(1, 1, 1)",
    ),
    (rules.world, "import time\nx = time.time()", "import time"),
    (rules.world, "import random", "import hmac"),
    (rules.world, "from random import random", "import hmac"),
    (rules.world, "from uuid import uuid4\nclass A:\n f = field(uuid4)", "from uuid import UUID"),
    (rules.world, "import uuid_utils\nuuid_utils.uuid7()", "import uuid_utils"),
    (rules.world, "import os\nos.urandom(8)", "import os\nos.fspath('a')"),
    (rules.world, "import os\nkey = os.environ['KEY']", "import os"),
    (rules.floor_imports, "import aiohttp", "import msgspec"),
    (rules.floor_imports, "import sqlalchemy.ext.asyncio", "import json, hashlib"),
    (rules.floor_imports, "from amends.store import rows", "from amends.kernel.money import Money"),
    (rules.floor_imports, "from amends import engine", "from amends.core.order import Order"),
    (rules.floor_imports, "import socket", "from urllib.parse import quote"),
    (rules.floor_imports, "from urllib import request", "from urllib import parse"),
    (rules.floor_imports, "import urllib.request", "import collections.abc"),
    (rules.floor_imports, "import cryptography", "import hmac"),
    (rules.floor_imports, "from . import order", "from amends.core import order"),
    (rules.floor_imports, "def f():\n import asyncio", "from typing import Protocol"),
]


@pytest.mark.parametrize(("rule", "bad", "good"), RULES)
def test_a_rule_finds_the_bad_and_passes_the_good(
    rule: Callable[[Module], Iterator[str]], bad: str, good: str
) -> None:
    assert list(rule(a_module(bad)))
    assert list(rule(a_module(good))) == []


def test_gateways_may_check_signatures_and_the_kernel_may_not() -> None:
    text = "from cryptography.hazmat.primitives import hashes"
    assert list(rules.floor_imports(a_module(text, "amends.gateways.adyen"))) == []
    assert list(rules.floor_imports(a_module(text, "amends.kernel.canon")))


def test_a_function_is_measured_from_its_name_to_its_end() -> None:
    text = "class A:\n  @mark\n  def f(self):\n    def g():\n      pass\n    return g\n"
    sizes = dict(rules.function_sizes(a_module(text)))
    assert sizes == {"src/amends/core/sample.py::A.f": 4, "src/amends/core/sample.py::A.f.g": 2}


@pytest.mark.parametrize(
    ("size", "allowed", "passes"),
    [
        (70, None, True),
        (71, None, False),
        (90, 90, True),
        (91, 90, False),  # grew
        (89, 90, False),  # shrank, and the list must follow
        (70, 90, False),  # short enough: off the list
    ],
)
def test_the_list_of_exceptions_only_shrinks(size: int, allowed: int | None, passes: bool) -> None:
    exceptions = {} if allowed is None else {"a": allowed}
    assert (rules.over({"a": size}, 70, exceptions) == []) is passes


def test_an_exception_for_what_is_gone_is_found() -> None:
    assert rules.over({}, 70, {"gone": 80})


def test_dead_modules_are_found_even_in_pairs() -> None:
    sources = {
        "amends.doors.cli": "from amends.engine import turn\nSERVER = 'amends.doors.rest:app'",
        "amends.doors.rest": "",
        "amends.engine.turn": "",
        "amends.engine.lonely": "",
        "amends.store.one": "import amends.store.two",
        "amends.store.two": "from amends.store import one",
    }
    dead = rules.dead_modules([a_module(t, n) for n, t in sources.items()], {"amends.doors.cli"})
    assert [finding.partition(":")[0] for finding in dead] == [
        "src/amends/engine/lonely.py",
        "src/amends/store/one.py",
        "src/amends/store/two.py",
    ]


@pytest.mark.parametrize(
    ("path", "text", "bad"),
    [
        ("a.md", "TO" + "DO: later", True),
        ("a.py", "x = 1  # FIX" + "ME", True),
        ("a.py", '"""Says\n\nHA' + 'CK."""', True),
        ("a.py", "NONE = 'XX" + "X'  # ISO 4217", False),
        ("a.md", "methods", False),
    ],
)
def test_leftovers_are_found(path: str, text: str, bad: bool) -> None:
    assert bool(list(rules.leftovers(path, text))) is bad


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("see pyp" + "i.org/x", True),
        ("registry.npm" + "js.org", True),
        ("cd /wo" + "rk/main", True),
        ("'/ro" + "ot/x'", True),
        ("home/wo" + "rk/main", False),
        ("$HOME/wo" + "rk/main", False),
    ],
)
def test_traces_of_a_machine_are_found(text: str, bad: bool) -> None:
    assert bool(list(rules.machine_traces("a.md", text))) is bad


HASH = "    --hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        (f"a==1 \\\n{HASH} \\\n{HASH}\n    # via b\n", False),
        (f'a==1 ; python_version < "3.13" \\\n{HASH}\n', False),
        ("a==1\n", True),
        ("a==1 \\\n    # via b\n", True),
        (f"a>=1 \\\n{HASH}\n", True),
        (f"--index-url x\na==1 \\\n{HASH}\n", True),
        (f"a @ file:///x \\\n{HASH}\n", True),
        ("# from https" + f"://host/\na==1 \\\n{HASH}\n", True),
        ("", True),
    ],
)
def test_a_loose_lock_is_found(text: str, bad: bool) -> None:
    assert bool(list(rules.lock_findings("locks/a.txt", text))) is bad


def test_requirement_names_are_compared_as_indexes_do() -> None:
    assert rules.required_name("SQLAlchemy[asyncio]>=2.1") == "sqlalchemy"
    assert rules.required_name("uvloop>=0.23; sys_platform != 'win32'") == "uvloop"
    assert rules.pinned_names("uuid_utils==1 \\\n    # via amends==2") == {"uuid-utils"}


def test_reasons_without_a_line_are_found() -> None:
    text = (
        "class Reason(Enum):\n    NOT_FOUND = 'unknown_order'\n    LATE = auto()\n"
        "    PAIR = 'pair', 409\n    _hidden = 1\n    def f(self): ...\n"
    )
    codes = rules.enum_codes(a_module(text), "Reason")
    assert codes == ["unknown_order", "late", "pair"]
    assert rules.undocumented_reasons(codes, "| `late` | `pair` | unknown_order |") == [
        "no line for the reason `unknown_order`"
    ]


def test_exceptions_without_a_row_are_found() -> None:
    text = (
        "AWAY = 'away'\n"
        "def one(w):\n    w.event('exception.raised', what='lost', leg=1)\n    f(w, 'paid')\n"
        "def f(w, why):\n    w.event('exception.raised', what=why)\n"
        "def g(w):\n    told = {'what': AWAY}\n    w.event('exception.raised', **told)\n"
        "def h(w):\n    for at, what in due(w):\n        w.event('exception.raised', what=what)\n"
        "def due(w) -> tuple[int, ...]:\n    return ((1, 'late'), (2, 'later'))\n"
        "def other(w):\n    w.event('leg.news', what='nothing')\n"
    )
    names = rules.raised(a_module(text))
    assert names == ["away", "late", "later", "lost", "paid"]
    unclear = "def f(w):\n    w.event('exception.raised', what=w.why())\n"
    assert rules.raised(a_module(unclear)) == ["?"]
    page = "| `away` | … |\n| `late` | … |\n| `later` | … |\n| `paid` | … |\n| `gone` | … |\n"
    assert rules.undocumented_raised(names, page) == [
        "no row for the exception `lost`",
        "nobody raises `gone`",
    ]


def test_settings_without_a_word_are_found() -> None:
    text = (
        "class Server(Struct):\n    port: int = 80\n    base_url: str\n    store: Store\n"
        "    log_level: str\n    _cache: int\n    KINDS: ClassVar[int]\n"
    )
    names = rules.settings(a_module(text))
    assert names == ["base_url", "log_level", "port", "store"]
    page = "[store]\nport = 8080\nSet `connections.NAME.base_url`. The log_level is ours."
    assert rules.undocumented_settings(names, page) == ["no word about the setting log_level"]


def test_commands_without_a_word_are_found() -> None:
    text = (
        "@app.command()\ndef serve(): ...\n@app.command('export')\ndef x(): ...\n"
        "@app.command(name='verify')\ndef y(): ...\n@app.command()\ndef dry_run_(): ...\n"
        "app.add_typer(ledger.app, name='ledger')\napp.command()(init)\napp.command('go')(init)\n"
    )
    names = rules.commands(a_module(text))
    assert names == ["dry-run", "export", "go", "init", "ledger", "serve", "verify"]
    page = "`amends serve --port 1`, `amends ledger export`, amends init, amends dry-run-all, `go`"
    assert rules.undocumented_commands(names, page) == [
        "no word about the command dry-run",
        "no word about the command go",
        "no word about the command verify",
    ]


def looks_alike() -> list[str]:
    """The paths of what may know nothing of what it checks, as the contracts name it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (found,) = [c for c in contracts["contracts"] if c["id"] == "sim-knows-nothing"]
    return [name.replace(".", "/") for name in found["source_modules"]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("core/bad", "from amends import engine"),
        ("gateways/bad", "import amends.store"),
        ("store/bad", "import amends.gateways"),
        ("sim/checker/bad", "import amends.core"),
        ("sim/stripe/bad", "import amends.store"),
        ("sim/bad", "import amends.doors"),
        ("engine/bad", "import amends.sim"),
        ("kernel/bad", "import asyncio"),
        ("gateways/bad", "import aiohttp"),
        ("bad", ""),  # a module on no floor
    ],
)
def test_the_import_contracts_can_fail(name: str, text: str, tmp_path: Path) -> None:
    # The floors alone: what the modules import today must not decide what this test sees.
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    floors = ("kernel", "core", "gateways", "store", "engine", "sim", "doors")
    for folder in ("", *floors):
        package = tmp_path / "amends" / folder
        package.mkdir()
        (package / "__init__.py").touch()
    for part in looks_alike():
        path = tmp_path / part
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        if (ROOT / "src" / part).is_dir():
            path.mkdir()
            (path / "__init__.py").touch()
        else:
            path.with_suffix(".py").touch()
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]

    def lint() -> subprocess.CompletedProcess[str]:
        environment = {"PYTHONPATH": str(tmp_path), "PATH": "", "PYTHONUTF8": "1"}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False
        )

    if name == "bad":
        assert lint().returncode == 0, "the contracts hold on empty floors"
    (tmp_path / "amends" / f"{name}.py").write_text(f"{text}\n")
    broken = lint()
    assert broken.returncode == 1
    assert "BROKEN" in broken.stdout or "exhaustive" in broken.stdout + broken.stderr
