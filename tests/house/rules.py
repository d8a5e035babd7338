"""The rules of the house, as functions from source text to findings.

Nothing here knows this repository: test_house.py feeds it the real files, and test_rules.py a
bad snippet for every rule, which must be found. A rule that cannot fail is an opinion.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Module:
    """One Python file: its dotted name, its path from the root, its text."""

    name: str
    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    def at(self, node: ast.AST, words: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {words}"


# --- size ------------------------------------------------------------------------------------


def function_sizes(module: Module) -> Iterator[tuple[str, int]]:
    """(`path::Class.name`, lines) of every function, decorators left out."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (*Function, ast.ClassDef)):
                name = f"{prefix}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    assert child.end_lineno is not None
                    yield f"{module.path}::{name}", child.end_lineno - child.lineno + 1
                yield from walk(child, f"{name}.")
            else:
                yield from walk(child, prefix)

    return walk(module.tree, "")


def over(sizes: dict[str, int], limit: int, allowed: dict[str, int]) -> list[str]:
    """What is over `limit`, or over the size it was allowed at; and allowances nobody needs."""
    findings = [
        f"{name}: {size} lines, at most {allowed.get(name, limit)}"
        for name, size in sizes.items()
        if size > allowed.get(name, limit)
    ]
    for name, size in allowed.items():
        now = sizes.get(name)
        if now is None or now <= limit:
            findings.append(f"{name}: no longer over {limit} lines, so take it off the list")
        elif now < size:
            findings.append(
                f"{name}: shrank to {now}, so write {now} for {size}: lists only shrink"
            )
    return findings


# --- one module at a time --------------------------------------------------------------------


def imports_in_functions(module: Module) -> Iterator[str]:
    for function in ast.walk(module.tree):
        if isinstance(function, Function):
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    yield module.at(node, f"import inside {function.name}(): move it to the top")


def missing_docstring(module: Module) -> Iterator[str]:
    public = not any(part.startswith("_") for part in module.name.split("."))
    if public and not (ast.get_docstring(module.tree) or "").strip():
        yield module.at(module.tree, "a public module says in its docstring what it is for")


def float_money(module: Module) -> Iterator[str]:
    """True division, float() and float literals: on a money floor division has a name."""
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div):
            yield module.at(node, "`/` on a money floor: use allocate, convert or //")
        elif isinstance(node, ast.Call) and qualified(node.func, {}) == "float":
            yield module.at(node, "float() on a money floor")
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield module.at(node, f"the float {node.value} on a money floor")


def swallowed(module: Module) -> Iterator[str]:
    """Bare `except:`, and broad handlers (or suppress) that do nothing with what they caught."""
    broad = {"Exception", "BaseException"}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {qualified(kind, {}) for kind in caught if kind is not None}
            if node.type is None:
                yield module.at(node, "bare except: name what you expect")
            elif names & broad and all(does_nothing(statement) for statement in node.body):
                yield module.at(node, "an exception is swallowed: a lost error is a lost refund")
        elif isinstance(node, ast.Call):
            suppresses = (qualified(node.func, {}) or "").split(".")[-1] == "suppress"
            if suppresses and {qualified(argument, {}) for argument in node.args} & broad:
                yield module.at(node, "suppress() of everything: name what you expect")


def does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, (ast.Pass, ast.Continue))


# The world is an argument: a pure floor is handed the instant, the id and the chance.
WORLD = {
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
    *("datetime.date.today", "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns"),
    *("time.perf_counter", "time.perf_counter_ns", "time.localtime", "time.gmtime"),
    *("os.urandom", "os.getrandom", "os.environ", "os.getenv"),
    *("secrets.token_bytes", "secrets.token_hex", "secrets.token_urlsafe", "secrets.choice"),
    *("secrets.randbelow", "secrets.randbits"),
    *(f"{library}.uuid{n}" for library in ("uuid", "uuid_utils") for n in (1, 4, 6, 7)),
    *("random", "numpy.random"),
}
SLEEP = {"time.sleep"}


def world(module: Module) -> Iterator[str]:
    return banned(module, WORLD, "a pure floor is handed its clock, ids and chance")


def blocking_sleep(module: Module) -> Iterator[str]:
    return banned(module, SLEEP, "it stops every other refund of the process")


def banned(module: Module, names: set[str], why: str) -> Iterator[str]:
    """Uses of `names`, under whatever name they were imported, called or only handed on."""
    imported = imported_names(module.tree)
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found = {name for name in imports_of(node) if name in names}
        elif isinstance(node, (ast.Attribute, ast.Name)):
            full = qualified(node, imported)
            found = {full} if full in names else set()
        else:
            continue
        for name in sorted(found):
            yield module.at(node, f"{name}: {why}")


def imports_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def imported_names(tree: ast.Module) -> dict[str, str]:
    """local name -> what it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                names[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def qualified(node: ast.expr, imported: dict[str, str]) -> str | None:
    """`dt.now` -> `datetime.datetime.now`, or None when it is no plain dotted name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([imported.get(node.id, node.id), *reversed(parts)])


# --- floors ----------------------------------------------------------------------------------

# What a pure floor may import besides the standard library and the floors below it.
FLOORS = {
    "amends.kernel": {"amends.kernel", "msgspec"},
    "amends.core": {"amends.kernel", "amends.core", "msgspec", "cel"},
    "amends.gateways": {
        *("amends.kernel", "amends.core", "amends.gateways"),
        *("msgspec", "standardwebhooks", "cryptography"),
    },
}
# Of the standard library, what acts on the world: a pure floor has no use for it.
ACTING = {
    *(
        "asyncio",
        "concurrent",
        "ftplib",
        "http.client",
        "http.server",
        "logging",
        "multiprocessing",
    ),
    *("random", "selectors", "shelve", "shutil", "signal", "smtplib", "socket", "socketserver"),
    *("sqlite3", "ssl", "subprocess", "tempfile", "threading", "urllib.request"),
}


def floor_imports(module: Module) -> Iterator[str]:
    floor = ".".join(module.name.split(".")[:2])
    allowed = FLOORS.get(floor)
    if allowed is None:
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            yield module.at(node, "a relative import: write the whole name")
            continue
        names = (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        )
        for name in names:
            ours = any(within(name, permitted) for permitted in allowed)
            standard = name.split(".")[0] in sys.stdlib_module_names
            acts = any(within(full, bad) for full in [name, *imports_of(node)] for bad in ACTING)
            if not ours and (not standard or acts):
                yield module.at(node, f"{floor} may not import {name}")


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


# --- all modules together --------------------------------------------------------------------


def dead_modules(modules: list[Module], roots: set[str]) -> list[str]:
    """Modules that cannot be reached from `roots` by imports.

    A name in a string (`"amends.doors.rest:app"` for a server) counts as an import. A package
    counts as reached when any module in it is, and reaching a module reaches its packages.
    """
    by_name = {module.name: module for module in modules}
    reached: set[str] = set()
    waiting = [name for name in sorted(roots) if name in by_name]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        parents = [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
        mentioned = references(by_name[name])
        waiting += [other for other in (*parents, *mentioned) if other in by_name]
    return [
        f"{module.path}: nothing that runs imports it"
        for module in modules
        if module.name not in reached and not module.is_package
    ]


def references(module: Module) -> set[str]:
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            steps = package.split(".")
            base = ".".join(
                steps[: len(steps) - node.level + 1] + ([node.module] if node.module else [])
            )
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(imports_of(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value.partition(":")[0])
    return found


# --- text ------------------------------------------------------------------------------------

# The words are put together here, so that this file passes its own rule.
LEFTOVERS = re.compile(
    r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b"
)
HOSTS = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            *(("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com")),
            *(("yarnpkg", "com"), ("deb", "debian", "org"), ("security", "debian", "org")),
            *(("crates", "io"), ("proxy", "golang", "org"), ("rubygems", "org"), ("ghcr", "io")),
        )
    )
)
PATHS = re.compile(
    r"(?<![\w.$~}>*-])/(?:" + "|".join(("wo" + "rk", "ro" + "ot", "tm" + "p/w")) + r")/"
)


def leftovers(path: str, text: str) -> Iterator[str]:
    """Reminders nobody came back to. In Python only comments and docstrings count: the ISO 4217
    code for "no currency" is one of these words."""
    for number, line in prose_lines(path, text):
        if found := LEFTOVERS.search(line):
            yield f"{path}:{number}: {found[0]}: do it now or drop it"


def prose_lines(path: str, text: str) -> Iterator[tuple[int, str]]:
    lines = list(enumerate(text.splitlines(), 1))
    if not path.endswith(".py"):
        return iter(lines)
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, (*Function, ast.ClassDef, ast.Module)) and ast.get_docstring(node):
            quoted = node.body[0]
            documented.update(range(quoted.lineno, (quoted.end_lineno or quoted.lineno) + 1))
    return iter(
        (number, line if number in documented else line.partition("#")[2]) for number, line in lines
    )


def machine_traces(path: str, text: str) -> Iterator[str]:
    """Registry hosts and folders of one particular machine."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, words in ((HOSTS, "a registry's host"), (PATHS, "a path of one machine")):
            if found := pattern.search(line):
                yield f"{path}:{number}: {words}: {found[0]}"


def lock_findings(path: str, text: str) -> Iterator[str]:
    """Every line of a lock is a pinned name with hashes: no address, no path, no option."""
    pinned = re.compile(r"[A-Za-z0-9._-]+==\S+( ; [^\\]+)? \\$")
    hashed = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?$")
    before = ""
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("#")[0].rstrip() if line.lstrip().startswith("#") else line
        if "://" in line or "file:/" in line:
            yield f"{path}:{number}: an address in a lock"
        elif code and not pinned.match(code) and not hashed.match(code):
            yield f"{path}:{number}: neither a pinned name nor a hash: {line.strip()}"
        if pinned.match(before) and not hashed.match(line):
            yield f"{path}:{number - 1}: no hash: {before.strip()}"
        before = line
    if not re.search(r"^[a-z].*==", text, re.MULTILINE):
        yield f"{path}:1: an empty lock"


def pinned_names(lock: str) -> set[str]:
    return {required_name(found) for found in re.findall(r"^[A-Za-z0-9._-]+(?===)", lock, re.M)}


def required_name(requirement: str) -> str:
    """`SQLAlchemy[asyncio]>=2.1` -> `sqlalchemy`, spelled as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]).lower()


# --- what must be documented -----------------------------------------------------------------


def enum_codes(module: Module, name: str) -> list[str]:
    """The codes of an enum: a member's string, or its name in lower case for auto()."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return [code for statement in node.body for code in member_code(statement)]
    return []


def member_code(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        member = statement.targets[0].id
        if member.startswith("_"):
            return
        first = statement.value
        if isinstance(first, ast.Tuple) and first.elts:
            first = first.elts[0]
        text = first.value if isinstance(first, ast.Constant) else None
        yield text if isinstance(text, str) else member.lower()


def settings(module: Module) -> list[str]:
    """Fields of every class of the settings module: what a person may write in the file."""
    return sorted(
        {
            statement.target.id
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
            for statement in node.body
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
            if not statement.target.id.startswith("_")
            if "ClassVar" not in ast.dump(statement.annotation)
        }
    )


def commands(module: Module) -> list[str]:
    """Names of the commands and command groups a module registers with typer."""
    names: list[str] = []
    for node in ast.walk(module.tree):
        if isinstance(node, Function):
            for mark in node.decorator_list:
                if is_command(mark):
                    names.append(literal_name(mark) or node.name.strip("_").replace("_", "-"))
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Call) and is_command(node.func)
        ):
            target = node.args[0] if node.args else None
            spoken = target.id.strip("_").replace("_", "-") if isinstance(target, ast.Name) else ""
            names.append(literal_name(node.func) or spoken)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_typer":
            names.append(literal_name(node) or "")
    return sorted({name for name in names if name})


def is_command(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "command"


def literal_name(node: ast.expr) -> str | None:
    assert isinstance(node, ast.Call)
    given = [keyword.value for keyword in node.keywords if keyword.arg == "name"] or node.args[:1]
    if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
        return given[0].value
    return None


def undocumented_reasons(codes: list[str], text: str) -> list[str]:
    return [f"no line for the reason `{code}`" for code in codes if f"`{code}`" not in text]


def undocumented_settings(names: list[str], text: str) -> list[str]:
    """A setting is documented as `name` in prose or as `name = …` in an example file."""
    return [
        f"no word about the setting {name}"
        for name in names
        if not re.search(
            rf"`[\w.<>\[\]-]*\b{re.escape(name)}\b[^`]*`|^#? ?{re.escape(name)} *=", text, re.M
        )
        and not re.search(rf"^\[{re.escape(name)}[.\]]", text, re.M)
    ]


def undocumented_commands(names: list[str], text: str) -> list[str]:
    """A command is documented where it is written out: `amends ledger export …`."""
    return [
        f"no word about the command {name}"
        for name in names
        if not re.search(rf"\bamends( [\w-]+)* {re.escape(name)}(?![\w-])", text)
    ]


def raised(module: Module) -> list[str]:
    """What a module tells people by `event("exception.raised", what=…)`: the word itself, a name of
    the module's, or a parameter or loop variable of the function; those by the texts that the
    function is called with, or that the function looped over returns. "?" where it cannot be
    told."""
    tree = module.tree
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    found: set[str] = set()
    for function in functions:
        for call in ast.walk(function):
            if not isinstance(call, ast.Call) or not _raises(call):
                continue
            given = [_what(keyword, function) for keyword in call.keywords]
            whats = [node for node in given if node is not None]
            found |= _texts(whats[0], function, tree) if whats else {"?"}
    return sorted(found)


def _raises(call: ast.Call) -> bool:
    said = [a.value for a in call.args[:1] if isinstance(a, ast.Constant)]
    return said == ["exception.raised"]


def _what(keyword: ast.keyword, function: ast.AST) -> ast.expr | None:
    """`what=…`, or the "what" of a dictionary that is handed over whole."""
    if keyword.arg is not None:
        return keyword.value if keyword.arg == "what" else None
    for node in ast.walk(function):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "what":
                    return value
    return None


def _texts(node: ast.expr, function: ast.AST, tree: ast.Module) -> set[str]:
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    assert isinstance(function, Function)
    name = node.id if isinstance(node, ast.Name) else "?"
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and name in _targets(statement):
            return _texts(statement.value, function, tree)
    parameters = [argument.arg for argument in function.args.args]
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    if name in parameters:
        handed = [c.args for c in calls if getattr(c.func, "id", "") == function.name]
        place = parameters.index(name)
        return {t for args in handed for t in _texts(args[place], function, tree)} or {"?"}
    loops = [n for n in ast.walk(function) if isinstance(n, ast.For) and name in ast.dump(n.target)]
    over = {getattr(n.iter.func, "id", "") for n in loops if isinstance(n.iter, ast.Call)}
    texts = {
        said.value
        for made in ast.walk(tree)
        if isinstance(made, Function) and made.name in over
        for pair in ast.walk(made)
        if isinstance(pair, ast.Tuple) and len(pair.elts) == 2
        if isinstance(said := pair.elts[1], ast.Constant) and isinstance(said.value, str)
    }
    return texts or {"?"}


def _targets(statement: ast.Assign) -> set[str]:
    return {target.id for target in statement.targets if isinstance(target, ast.Name)}


def undocumented_raised(names: list[str], text: str) -> list[str]:
    """Both ways: a name without a row, and a row without anybody who says it."""
    rows = set(re.findall(r"^\| `(\w+)` \|", text, re.M))
    found = [f"no row for the exception `{name}`" for name in names if name not in rows]
    return found + [f"nobody raises `{name}`" for name in sorted(rows - set(names))]
