"""Webhooks in: `POST /webhooks/{connection}`. The signature of the message is its key."""

from __future__ import annotations

from amends.core.reasons import Reason
from amends.doors import shapes
from amends.doors.calls import Asked, Call, fine
from amends.engine import intake
from amends.engine.asks import Rendered


async def receive(asked: Asked) -> Rendered:
    """2xx only when the message is on disk. What its facts came to is not told: a sender could do
    nothing about it, and would only send it again."""
    told = await intake.receive(asked.engine, asked.path["connection"], asked.body, asked.headers)
    return fine({"received": True, "duplicate": told.duplicate})


CALLS = (
    Call(
        "receiveWebhook",
        "POST",
        "/webhooks/{connection}",
        "A message of a connection, signed by it. Repeats are taken and change nothing.",
        receive,
        raw=True,
        answers={200: shapes.Received},
        refusals=(
            Reason.UNKNOWN_CONNECTION,
            Reason.SIGNATURE_INVALID,
            Reason.WRONG_MODE,
            Reason.CERTIFICATE_AWAY,
            Reason.SENDER_AWAY,
        ),
    ),
)
