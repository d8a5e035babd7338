"""What captures took that failed later has a column of its own, as whatever leaves a payment by
others' hand. Nothing has recorded any before.

SQLite cannot change a table's checks, so there the table is made anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

STRINGS = ("order_id", "id", "connection", "psp_payment_id", "currency")
BEFORE = (
    *("authorized", "captured", "captured_peak", "pending_ours", "refunded_ours"),
    *("credited_ours", "external", "disputed", "voiding", "voided"),
)
MONEY = (*BEFORE, "uncaptured")
NOT_NEGATIVE = " AND ".join(f"{name} >= 0" for name in MONEY)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _change()
    else:
        _make_anew()


def _change() -> None:
    column = sa.Column("uncaptured", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("payments", column)
    op.alter_column("payments", "uncaptured", server_default=None)
    op.drop_constraint("payments_not_negative", "payments")
    op.create_check_constraint("payments_not_negative", "payments", NOT_NEGATIVE)


def _make_anew() -> None:
    op.drop_index("payments_id")
    op.rename_table("payments", "payments_before")
    op.create_table(
        "payments",
        *(
            sa.Column(name, sa.Text(), primary_key=name in STRINGS[:2], nullable=False)
            for name in STRINGS
        ),
        *(sa.Column(name, sa.Integer(), nullable=False, autoincrement=False) for name in MONEY),
        sa.CheckConstraint(
            "pending_ours + refunded_ours + credited_ours <= captured_peak",
            name="payments_never_exceed_captured",
        ),
        sa.CheckConstraint(NOT_NEGATIVE, name="payments_not_negative"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    names = ", ".join((*STRINGS, *BEFORE))
    op.execute(f"INSERT INTO payments ({names}, uncaptured) SELECT {names}, 0 FROM payments_before")
    op.drop_table("payments_before")
    op.create_index("payments_id", "payments", ["id"])
