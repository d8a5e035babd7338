"""Adyen's refusals: the JSON of a service error, and which codes say what.

Codes: docs.adyen.com/development-resources/error-codes and …/api-idempotency (703 and 704).
"""

from collections.abc import Mapping

import msgspec

from amends.sim import lookalike

NO_AMOUNT = "100"
INVALID_AMOUNT = "137"
UNSUPPORTED_CURRENCY = "138"
NO_SUCH_PAYMENT = "167"
UNREADABLE = "702"
KEYS_AWAY = "703"
KEY_AT_WORK = "704"
BROKEN = "905"
UNKNOWN_ACCOUNT = "901"


class Refusal(lookalike.Refusal):
    """A request that is refused. What was found once its key was claimed is stored under it."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        kind: str = "validation",
        *,
        stored: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, stored=stored, headers=headers)
        self.code = code
        self.kind = kind

    def body(self) -> bytes:
        """The JSON of the answer."""
        fields = {"status": self.status, "errorCode": self.code, "message": str(self)}
        return msgspec.json.encode(fields | {"errorType": self.kind})


def unreadable(message: str) -> Refusal:
    """A body that is not what the endpoint takes."""
    return Refusal(400, message, UNREADABLE, stored=True)


def invalid(message: str, code: str) -> Refusal:
    """A field with a value that cannot be; `code` is Adyen's."""
    return Refusal(422, message, code, stored=True)


def transient(status: int, message: str, code: str, *, said: bool = True) -> Refusal:
    """Of the layer that keeps the keys. Nothing was done for this request; `said`: and the header
    tells so."""
    headers = {"transient-error": "true"} if said else {}
    return Refusal(status, message, code, "internal", headers=headers)


def broken() -> Refusal:
    """A 500; it is stored under the key like any answer of an execution that began."""
    return Refusal(
        500, "An error on our side; what was done is unknown.", BROKEN, "internal", stored=True
    )
