"""Makes and upgrades the schema with the migrations shipped in this package.

Everything runs over a connection that the caller opened (`AsyncConnection.run_sync`), inside the
caller's transaction: a failed upgrade leaves nothing behind, on SQLite too.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

FOLDER = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest revision; nothing to do when it is there."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@cache
def newest() -> str:
    """The revision this program needs; looked up once, as the program does not change."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise FileNotFoundError(f"the migrations of amends are missing from {FOLDER}")
    return head


def current(connection: Connection) -> str:
    """The revision of a database, "" when it has no schema yet."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return config
