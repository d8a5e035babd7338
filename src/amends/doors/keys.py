"""Who calls: API keys, looked up by their hash and remembered for seconds."""

from __future__ import annotations

from collections.abc import Sequence

from amends.core.reasons import Reason, Refused
from amends.engine.actions import hash_key
from amends.kernel.time import SECOND, Clock, Instant
from amends.store.spec import Principal, Store

FOR_US = 5 * SECOND  # a revoked key works this much longer, at most
FOR_US_UNKNOWN = 1 * SECOND  # a key made beside the server works this soon
REMEMBERED = 4096  # keys; guesses push each other out, not the memory's bounds


def role_of(scopes: Sequence[str]) -> str:
    """As what a key decides: "" for one that may not."""
    if "admin" in scopes:
        return "admin"
    return "reviewer" if "refunds:approve" in scopes else ""


class Keys:
    """The keys of one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._known: dict[str, tuple[Principal | None, Instant]] = {}

    async def admit(self, authorization: str, scopes: tuple[str, ...]) -> tuple[str, str, str]:
        """(actor, principal id, role) of an `Authorization` header whose key has one of `scopes`,
        or admin. Raises Refused."""
        kind, _, secret = authorization.partition(" ")
        if kind.lower() != "bearer" or not secret.startswith("amk_"):
            raise Refused(Reason.UNAUTHENTICATED)
        principal = await self._find(hash_key(secret))
        if principal is None:
            raise Refused(Reason.UNAUTHENTICATED)
        if "admin" not in principal.scopes and not set(scopes) & set(principal.scopes):
            raise Refused(Reason.FORBIDDEN, needs=list(scopes))
        return f"key:{principal.name}", principal.id, role_of(principal.scopes)

    async def _find(self, hashed: str) -> Principal | None:
        now = self._clock.monotonic()
        found = self._known.get(hashed)
        if found is not None and now < found[1]:
            return found[0]
        principal = await self._store.principal(hashed)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[hashed] = (principal, now + (FOR_US if principal else FOR_US_UNKNOWN))
        return principal
