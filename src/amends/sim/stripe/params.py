"""Form-encoded parameters as Stripe reads them: nested with brackets, checked one by one."""

from typing import Any, Union
from urllib.parse import parse_qsl

from amends.sim.stripe.errors import bad_parameter

Params = dict[str, Union[str, "Params"]]

METADATA_KEYS = 50
METADATA_KEY_LENGTH = 40
METADATA_VALUE_LENGTH = 500
PAGE_LIMIT = 100
PAGE_DEFAULT = 10


def decode(encoded: str) -> Params:
    """`a[b]=1&c[]=2&c[]=3` -> `{"a": {"b": "1"}, "c": {"0": "2", "1": "3"}}`. Raises Refusal."""
    root: Params = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        _put(root, name, value)
    return root


def _put(root: Params, name: str, value: str) -> None:
    head, *rest = name.replace("]", "").split("[") if "[" in name else (name,)
    node, last = root, head
    for part in rest:
        child = node.setdefault(last, {})
        if isinstance(child, str):
            raise bad_parameter(f"Invalid nesting of parameter: {name}", name)
        node, last = child, part or str(len(child))
    node[last] = value


class Reader:
    """Typed access to the parameters of one request.

    Every method raises Refusal, none is stored.
    """

    def __init__(self, params: Params, allowed: frozenset[str]) -> None:
        self._params = params
        for name in params:
            if name not in allowed:
                raise bad_parameter(
                    f"Received unknown parameter: {name}", name, "parameter_unknown"
                )

    def text(self, name: str, *, most: int = 5000) -> str | None:
        """A string, or None when absent or empty."""
        value = self._params.get(name)
        if isinstance(value, dict):
            raise bad_parameter(f"Invalid string: {name} must not be nested", name)
        if value is not None and len(value) > most:
            raise bad_parameter(f"Invalid string: {name} must be at most {most} characters", name)
        return value or None

    def required(self, name: str) -> str:
        """A string that must be there."""
        value = self.text(name)
        if value is None:
            raise bad_parameter(f"Missing required param: {name}.", name, "parameter_missing")
        return value

    def choice(self, name: str, options: frozenset[str]) -> str | None:
        """One of a closed set, or None."""
        value = self.text(name)
        if value is not None and value not in options:
            listed = ", ".join(sorted(options))
            raise bad_parameter(f"Invalid {name}: must be one of {listed}", name)
        return value

    def positive(self, name: str) -> int | None:
        """An integer of at least one, or None."""
        value = self.text(name)
        if value is None:
            return None
        if not value.isascii() or not value.isdigit() or len(value) > 12:
            raise bad_parameter(f"Invalid integer: {value}", name, "parameter_invalid_integer")
        if int(value) < 1:
            message = f"This value must be greater than or equal to 1: {name}"
            raise bad_parameter(message, name, "parameter_invalid_integer")
        return int(value)

    def boolean(self, name: str, default: bool) -> bool:
        """`true` or `false`."""
        value = self.text(name)
        if value is None:
            return default
        if value not in ("true", "false"):
            raise bad_parameter(f"Invalid boolean: {value}", name)
        return value == "true"

    def strings(self, name: str) -> tuple[str, ...]:
        """A list (`expand[]=charge`), empty when absent."""
        value = self._params.get(name)
        if value is None or value == "":
            return ()
        if isinstance(value, str):
            raise bad_parameter(f"Invalid array: {name}", name)
        return tuple(item for item in value.values() if isinstance(item, str))

    def nested(self, name: str) -> Params:
        """A nested object as it came, empty when absent."""
        value = self._params.get(name, {})
        if isinstance(value, str):
            if value:
                raise bad_parameter(f"Invalid object: {name}", name)
            return {}
        return value

    def metadata(self) -> dict[str, str]:
        """The metadata sent with this request; an empty value means: remove that key."""
        sent = self.nested("metadata")
        for key, value in sent.items():
            _check_metadata(key, value)
        return {key: value for key, value in sent.items() if isinstance(value, str)}

    def clears_metadata(self) -> bool:
        """Whether `metadata=` was sent empty, which removes every key."""
        return self._params.get("metadata") == ""

    def expand(self) -> tuple[str, ...]:
        """Paths to expand."""
        return self.strings("expand")

    def created(self) -> tuple[int, int] | None:
        """`created=n` or `created[gte]=n…` as an inclusive range of Unix seconds."""
        value = self._params.get("created")
        if value is None:
            return None
        if isinstance(value, str):
            exact = _timestamp(value)
            return exact, exact
        low, high = 0, 1 << 62
        for bound, raw in value.items():
            low, high = _narrow(low, high, bound, _timestamp(raw))
        return low, high

    def limit(self) -> int:
        """The page size, 1 to 100."""
        value = self.positive("limit")
        if value is not None and value > PAGE_LIMIT:
            raise bad_parameter(f"Invalid limit: must be at most {PAGE_LIMIT}", "limit")
        return value or PAGE_DEFAULT


def _check_metadata(key: str, value: Any) -> None:
    where = f"metadata[{key}]"
    if not isinstance(value, str):
        raise bad_parameter("Invalid metadata: values must be strings", where)
    if len(key) > METADATA_KEY_LENGTH:
        raise bad_parameter(f"Metadata keys may have {METADATA_KEY_LENGTH} characters", where)
    if len(value) > METADATA_VALUE_LENGTH:
        raise bad_parameter(f"Metadata values may have {METADATA_VALUE_LENGTH} characters", where)


def merge_metadata(kept: dict[str, str], sent: dict[str, str]) -> dict[str, str]:
    """Stripe's update of metadata: given keys replace, empty values remove. Raises Refusal."""
    merged = {key: value for key, value in (kept | sent).items() if value != ""}
    if len(merged) > METADATA_KEYS:
        raise bad_parameter(f"Metadata may have {METADATA_KEYS} keys", "metadata")
    return merged


def _timestamp(raw: Any) -> int:
    if not isinstance(raw, str) or not raw.isascii() or not raw.isdigit():
        raise bad_parameter(f"Invalid timestamp: {raw}", "created")
    return int(raw)


def _narrow(low: int, high: int, bound: str, at: int) -> tuple[int, int]:
    if bound == "gt":
        return max(low, at + 1), high
    if bound == "gte":
        return max(low, at), high
    if bound == "lt":
        return low, min(high, at - 1)
    if bound == "lte":
        return low, min(high, at)
    raise bad_parameter(f"Received unknown parameter: created[{bound}]", "created")
