"""The mail server of a shop, which tells its customers. What is here is its settings; a mail is no
request, so that `engine/mail.py` writes and sends it."""

from __future__ import annotations

from email.headerregistry import Address
from email.utils import parseaddr

from amends.gateways.spec import Capabilities, Settings

__all__ = ["CAPABILITIES", "PORTS", "address", "trouble"]

CAPABILITIES = Capabilities(
    name="smtp",
    provider=False,
    settings=("host", "sender"),
    optional=("language", "password", "port", "reply_to", "templates", "tls", "user"),
    secrets=("password",),
    takes=("notice",),
)

PORTS = {"starttls": 587, "implicit": 465, "none": 25}  # RFC 6409, RFC 8314, RFC 5321


def address(text: str) -> Address:
    """`Shop <shop@example.com>`, or the address alone. Raises ValueError."""
    name, spec = parseaddr(text)
    local, at, domain = spec.rpartition("@")
    whole = text == spec or text.endswith(f"<{spec}>")  # not the first of several
    if not (local and at and "." in domain.strip(".") and whole) or not _plain(spec):
        raise ValueError(f"{text!r} is not an address of mail")
    return Address(name, username=local, domain=domain)


def _plain(spec: str) -> bool:
    """Whether it has nothing in it that a command of SMTP would take for its end."""
    return spec.isprintable() and not any(mark in spec for mark in ' <>"(),;:\\')


def trouble(settings: Settings) -> str:
    """What is wrong with the settings, as what to do about it; "" if nothing is. Never raises."""
    values = settings.values
    for name in ("sender", "reply_to"):
        if name in values:
            try:
                address(values[name])
            except ValueError as error:
                return f'{name}: {error}; write "Shop <shop@example.com>"'
    tls = values.get("tls", "starttls")
    if tls not in PORTS:
        return "tls is starttls, implicit or none"
    port = values.get("port", "25")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):
        return "port is a number from 1 to 65535"
    if ("user" in values) != ("password" in values):
        return "user and password go together"
    if tls == "none" and "user" in values:
        return "a password goes only over TLS: tls is starttls or implicit"
    return ""
