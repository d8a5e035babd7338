"""A folder of files, for whoever keeps books in a program that we have no connector for. What is
here is its settings; a file is no request, so that `engine/drop.py` writes it."""

from __future__ import annotations

from amends.gateways.spec import Capabilities, Settings

__all__ = ["CAPABILITIES", "FORMATS", "trouble"]

CAPABILITIES = Capabilities(
    name="files",
    provider=False,
    settings=("folder",),
    optional=("format",),
    takes=("credit_note", "refund_paid", "goods_returned", "books"),
)

FORMATS = ("csv", "beancount")


def trouble(settings: Settings) -> str:
    """What is wrong with the settings, as what to do about it; "" if nothing is. Never raises."""
    said = settings.values.get("format", FORMATS[0])
    return "" if said in FORMATS else f"format is {' or '.join(FORMATS)}"
