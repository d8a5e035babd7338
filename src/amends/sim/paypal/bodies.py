"""The bodies of requests: JSON, or a form of several parts, field by field.

A field that is not known is ignored, as PayPal does: a misspelt `amount` refunds everything.
"""

from email import policy
from email.parser import BytesParser
from typing import Any

import msgspec

from amends.sim.paypal import money
from amends.sim.paypal.errors import Problem, malformed
from amends.sim.paypal.money import Json
from amends.sim.wire import Request


def json_of(request: Request) -> Json:
    """The JSON object of a body; no body is an empty one. Raises Refusal."""
    if not request.body.strip():
        return {}
    if not _type(request).startswith("application/json"):
        raise Problem(415)
    return _object(request.body)


def _type(request: Request) -> str:
    return request.headers.get("content-type", "").lower()


def _object(raw: bytes) -> Json:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed("INVALID_PARAMETER_SYNTAX", "/") from error
    if not isinstance(found, dict):
        raise malformed("INVALID_PARAMETER_SYNTAX", "/")
    return found


def parts_of(request: Request) -> tuple[Json, int]:
    """The `input` of a form of several parts and how many files came with it. Raises Refusal."""
    if not _type(request).startswith("multipart/"):
        raise Problem(415)
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=policy.HTTP).parsebytes(head + request.body)
    found: dict[str, Any] = {"input": {}}
    files = 0
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        raw = part.get_payload(decode=True)
        if name == "input" and isinstance(raw, bytes):
            found["input"] = _object(raw)
        else:
            files += 1
    return found["input"], files


def text_of(body: Json, name: str, most: int) -> str:
    """A text of 1 to `most` characters, "" when left out. Raises Refusal."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed("INVALID_PARAMETER_SYNTAX", f"/{name}")
    if not 1 <= len(value) <= most:
        raise malformed("INVALID_STRING_LENGTH", f"/{name}")
    return value


def amount_of(body: Json, name: str = "amount") -> tuple[int, str] | None:
    """The money under a name: minor units and currency, None when left out. Raises Refusal."""
    return None if body.get(name) is None else money.read(body[name], f"/{name}")


def flag_of(body: Json, name: str) -> bool:
    """True or false, false when left out. Raises Refusal."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise malformed("INVALID_PARAMETER_SYNTAX", f"/{name}")
    return value
