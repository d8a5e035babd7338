"""Conditions of a policy: Common Expression Language (CEL) over typed fields, checked when saved.

The evaluator is a library's. What it does not have is here: a check before anything runs that every
name is a field, every operator meets the types it takes and the result is true or false. So a
condition that was saved can only fail where a number overflows or is divided by zero. Macros
(`exists`, `map`, …) are refused: nested, they have no limit of time.

Grammar and precedence are those of the CEL specification (github.com/google/cel-spec), less maps,
macros, `?:`, bytes, doubles and unsigned numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import cel

LENGTH_MAX = 2000  # characters of one condition
DEPTH_MAX = 40  # of parentheses and operators in one another
INT_MAX = 2**63 - 1

Type = Literal["int", "bool", "string", "strings", "ints"]
Program = cel.Program

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+)(?![\w.])
    | (?P<text>"(?:[^"\\\n]|\\["'\\nt])*"|'(?:[^'\\\n]|\\["'\\nt])*')
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%!<>()\[\],.])
    )""",
    re.VERBOSE | re.ASCII,
)
_RELATIONS = ("==", "!=", "<", "<=", ">", ">=")
_METHODS = {"startsWith": "string", "endsWith": "string", "contains": "string", "matches": "string"}
_MACROS = ("all", "exists", "exists_one", "map", "filter", "has")
_LISTS: dict[Type, Type] = {"strings": "string", "ints": "int"}


class BadCondition(Exception):
    """A sentence that says what is wrong with a condition, and at which character."""

    def __init__(self, sentence: str, at: int = 0) -> None:
        super().__init__(sentence)
        self.at = at


class Condition(NamedTuple):
    """A condition that holds together: what it reads, and the program that evaluates it."""

    source: str
    fields: frozenset[str]
    program: Program


def compiled(source: str, fields: Mapping[str, Type]) -> Condition:
    """Check and compile. `fields` are the names that may be read, with dots, and their types.
    Raises BadCondition."""
    if len(source) > LENGTH_MAX:
        raise BadCondition(
            f"The condition has {len(source):,} characters; at most {LENGTH_MAX:,} are taken. "
            "Write it as several rows."
        )
    reader = _Reader(source, fields)
    found = reader.whole()
    if found != "bool":
        raise BadCondition(
            f"The condition is {_a(found)}; it must be true or false. Compare it with something."
        )
    try:
        cel.compile(source)
    except ValueError as error:  # what we read and the library does not: said, never guessed
        raise BadCondition(f"The condition does not parse: {error}") from None
    return Condition(source, frozenset(reader.read), cel.compile(reader.flat()))


def flat(name: str) -> str:
    """What a field is called where conditions are evaluated: the library takes plain variables
    four times as fast as those in groups."""
    return name.replace(".", "__")


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


_END = "the end"


class _Reader:
    """Recursive descent over one condition; each method gives the type of what it has read."""

    def __init__(self, source: str, fields: Mapping[str, Type]) -> None:
        self._fields = fields
        self._groups = {name.partition(".")[0] for name in fields}
        self._tokens = _tokens(source)
        self._next = 0
        self._depth = 0
        self._source = source
        self._named_at: list[tuple[int, int, str]] = []
        self.read: set[str] = set()

    def flat(self) -> str:
        """The condition that was read, with each field by its `flat` name."""
        made, done = "", 0
        for start, end, name in self._named_at:
            made += self._source[done:start] + flat(name)
            done = end
        return made + self._source[done:]

    def whole(self) -> Type:
        found = self._either()
        if self._peek.kind != "end":
            raise self._unexpected("an operator, or the end")
        return found

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek
        self._next += 1
        return token

    def _if(self, *signs: str) -> _Token | None:
        token = self._peek
        named_in = token.kind == "name" and token.text == "in"
        if (token.kind == "sign" or named_in) and token.text in signs:
            return self._take()
        return None

    def _expect(self, sign: str) -> None:
        if self._if(sign) is None:
            raise self._unexpected(f"`{sign}`")

    def _unexpected(self, wanted: str) -> BadCondition:
        token = self._peek
        said = f"`{token.text}`" if token.kind != "end" else _END
        return BadCondition(f"At character {token.at + 1}: {wanted} is missing before {said}.")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise BadCondition(
                f"The condition is nested more than {DEPTH_MAX} deep. Write it as several rows."
            )

    # -- by precedence, the weakest first ----------------------------------------------------

    def _either(self) -> Type:
        self._deeper()
        found = self._both()
        while token := self._if("||"):
            found = self._bools(token, found, self._both())
        self._depth -= 1
        return found

    def _both(self) -> Type:
        found = self._related()
        while token := self._if("&&"):
            found = self._bools(token, found, self._related())
        return found

    def _bools(self, token: _Token, left: Type, right: Type) -> Type:
        if (left, right) != ("bool", "bool"):
            raise _takes(token, "two conditions", left, right)
        return "bool"

    def _related(self) -> Type:
        found = self._sum()
        while token := self._if(*_RELATIONS, "in"):
            right = self._sum()
            if token.text == "in":
                if _LISTS.get(right) != found:
                    raise _takes(token, "a value and a list of such values", found, right)
            elif found != right or found in _LISTS:
                raise _takes(token, "two values of one kind", found, right)
            elif token.text not in ("==", "!=") and found != "int":
                raise _takes(token, "two numbers", found, right)
            found = "bool"
        return found

    def _sum(self) -> Type:
        found = self._product()
        while token := self._if("+", "-"):
            found = self._numbers(token, found, self._product())
        return found

    def _product(self) -> Type:
        found = self._unary()
        while token := self._if("*", "/", "%"):
            found = self._numbers(token, found, self._unary())
        return found

    def _numbers(self, token: _Token, left: Type, right: Type) -> Type:
        if (left, right) != ("int", "int"):
            raise _takes(token, "two numbers", left, right)
        return "int"

    def _unary(self) -> Type:
        token = self._if("!", "-")
        if token is None:
            return self._member()
        self._deeper()
        found = self._unary()
        self._depth -= 1
        wanted: Type = "bool" if token.text == "!" else "int"
        if found != wanted:
            raise _takes(token, _a(wanted), found)
        return found

    def _member(self) -> Type:
        found = self._primary()
        while self._if("."):
            found = self._method(found, self._named())
        if self._peek.text == "[" and self._peek.kind == "sign":
            raise BadCondition("A list cannot be taken apart; ask `… in list` or `size(list)`.")
        return found

    def _named(self) -> _Token:
        if self._peek.kind != "name":
            raise self._unexpected("a name")
        return self._take()

    def _method(self, of: Type, name: _Token) -> Type:
        if name.text in _MACROS:
            raise BadCondition(
                f"`{name.text}` goes over a list, which a condition cannot; ask `… in list`."
            )
        self._expect("(")
        if name.text == "size":
            self._expect(")")
            return self._size(name, of)
        if name.text not in _METHODS:
            raise BadCondition(
                f"There is no function `{name.text}`; there are size, {', '.join(_METHODS)}."
            )
        pattern = self._peek
        given = self._either()
        self._expect(")")
        if (of, given) != ("string", "string"):
            raise _takes(name, "two texts", of, given)
        if name.text == "matches":
            _check_pattern(pattern)
        return "bool"

    def _size(self, token: _Token, of: Type) -> Type:
        if of not in _LISTS:  # of a text the library counts bytes
            raise _takes(token, "a list", of)
        return "int"

    def _primary(self) -> Type:
        token = self._peek
        if token.kind == "number":
            return self._number()
        if token.kind == "text":
            self._take()
            return "string"
        if self._if("("):
            found = self._either()
            self._expect(")")
            return found
        if self._if("["):
            return self._list()
        if token.kind == "name" and token.text != "in":
            return self._name()
        raise self._unexpected("a value")

    def _number(self) -> Type:
        token = self._take()
        if len(token.text) > 19 or int(token.text) > INT_MAX:
            raise BadCondition(f"The number {token.text[:30]} is larger than {INT_MAX}.")
        return "int"

    def _list(self) -> Type:
        if self._if("]"):
            raise BadCondition("A list `[]` without values contains nothing; leave it out.")
        kinds = {self._either()}
        while self._if(","):
            kinds.add(self._either())
        self._expect("]")
        if kinds == {"string"}:
            return "strings"
        if kinds == {"int"}:
            return "ints"
        raise BadCondition("The values of a list must all be texts, or all be numbers.")

    def _name(self) -> Type:
        token = self._take()
        if token.text in ("true", "false"):
            return "bool"
        if token.text == "size" and self._if("("):
            found = self._either()
            self._expect(")")
            return self._size(token, found)
        if token.text not in self._groups:
            if self._peek.text == "(":
                raise BadCondition(f"There is no function `{token.text}`.")
            raise self._no_field(token.text)
        self._expect(".")
        field = self._named()
        name = f"{token.text}.{field.text}"
        if name not in self._fields:
            raise self._no_field(name)
        self.read.add(name)
        self._named_at.append((token.at, field.at + len(field.text), name))
        return self._fields[name]

    def _no_field(self, name: str) -> BadCondition:
        group = name.partition(".")[0]
        known = sorted(f for f in self._fields if f.startswith(f"{group}.")) or sorted(self._groups)
        return BadCondition(f"There is no field `{name}`; there are {', '.join(known)}.")


def _tokens(source: str) -> list[_Token]:
    found, at = [], 0
    while rest := source[at:].strip():
        match = _TOKEN.match(source, at)
        if match is None:
            at = source.index(rest, at) if rest in source[at:] else at
            raise BadCondition(f"At character {at + 1}: {rest[:20]!r} cannot be read.")
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return [*found, _Token("end", "", len(source))]


def _takes(token: _Token, wanted: str, *given: Type) -> BadCondition:
    said = " and ".join(_a(kind) for kind in given)
    return BadCondition(f"At character {token.at + 1}: `{token.text}` takes {wanted}, not {said}.")


def _a(kind: Type) -> str:
    return {
        "int": "a number",
        "bool": "a condition",
        "string": "a text",
        "strings": "a list of texts",
        "ints": "a list of numbers",
    }[kind]


def _check_pattern(token: _Token) -> None:
    """A pattern stands in the condition, so that a bad one is found now and not with a refund."""
    if token.kind != "text":
        raise BadCondition("`matches` takes a pattern that is written out.")
    try:
        cel.evaluate(f'"".matches({token.text})')
    except (ValueError, RuntimeError, TypeError, ArithmeticError) as error:
        why = str(error).strip().splitlines()[-1].partition(". Check ")[0]
        raise BadCondition(f"{token.text} is not a pattern (RE2): {why}.") from None


def holds(condition: Condition, context: Any) -> bool:
    """What it comes to in a `cel.Context`. Raises ArithmeticFailed where a number overflows or is
    divided by zero."""
    try:
        found = condition.program.execute(context)
    except (ValueError, RuntimeError, TypeError, ArithmeticError) as error:
        raise ArithmeticFailed(str(error)) from None
    if found is not True and found is not False:
        raise ArithmeticFailed(f"it came to {found!r}, which is neither true nor false")
    return found


class ArithmeticFailed(Exception):
    """A condition that could not be evaluated; the text says why."""
