"""Which orders a customer has, newest first, so that whoever looks at one sees the others. Those
that are there already are entered too.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

NAMED = {
    "postgresql": "(state::jsonb ->> 'customer')",
    "sqlite": "json_extract(state, '$.customer')",
}


def _str(name: str) -> sa.Column[str]:
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, primary_key=True, nullable=False)


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "customer_orders",
        _str("customer"),
        _str("entity"),
        sa.Column("at", big, primary_key=True, nullable=False, autoincrement=False),
        _str("order_id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    named = NAMED[op.get_bind().dialect.name]
    op.execute(
        "INSERT INTO customer_orders (customer, entity, at, order_id)"
        f" SELECT {named}, entity, created_at, id FROM orders WHERE {named} <> ''"
    )
