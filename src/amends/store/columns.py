"""What the tables are made of: column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

STR: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
BIG: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
FLAG = Boolean().with_variant(Integer(), "sqlite")
RAW = LargeBinary()

metadata = MetaData()


def string(name: str, key: bool = False) -> Column[str]:
    return Column(name, STR, primary_key=key, nullable=False)


def big(name: str, key: bool = False) -> Column[int]:
    return Column(name, BIG, primary_key=key, nullable=False, autoincrement=False)


def raw(name: str, null: bool = False) -> Column[bytes]:
    return Column(name, RAW, nullable=null)


def flag(name: str) -> Column[bool]:
    return Column(name, FLAG, nullable=False)


# Room in the pages of what is changed long after: PostgreSQL then mostly keeps a row's new version
# in its page and writes no index for it.
ROOM = {"fillfactor": 80}


def table(
    name: str,
    *parts: Column[str] | Column[int] | Column[bytes] | Column[bool],
    room: dict[str, int] | None = None,
) -> Table:
    return Table(name, metadata, *parts, sqlite_strict=True, postgresql_with=room or {})


def narrow(
    name: str,
    *parts: Column[str] | Column[int] | Column[bool] | CheckConstraint,
    room: dict[str, int] | None = None,
) -> Table:
    """Small rows live in the tree of their key on SQLite: one tree to write instead of two."""
    with_ = room or {}
    return Table(
        name, metadata, *parts, sqlite_strict=True, sqlite_with_rowid=False, postgresql_with=with_
    )
