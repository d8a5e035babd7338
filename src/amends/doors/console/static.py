"""Style, script and pictures: read once, kept by browsers for a year under their content's name."""

from __future__ import annotations

from amends.core.reasons import Reason, Refused
from amends.doors.console.render import STATIC
from amends.doors.console.web import SAFE, Route, Visit
from amends.engine.asks import Rendered

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_FILES = {
    file.name: (file.read_bytes(), _TYPES[file.suffix[1:]])
    for file in STATIC.iterdir()
    if file.suffix[1:] in _TYPES
}


async def serve(visit: Visit) -> Rendered:
    """One of our own files."""
    found = _FILES.get(visit.path["name"])
    if found is None:
        raise Refused(Reason.NOT_FOUND, "There is no such file.")
    body, media = found
    year = ("cache-control", "public, max-age=31536000, immutable")
    return Rendered(200, body, (*SAFE, ("content-type", media), year))


ROUTES = (Route("GET", "/console/static/{name}", "", serve),)
