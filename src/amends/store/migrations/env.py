"""Run by Alembic: migrates over the connection that `amends.store.migrate` hands in.

There is no alembic.ini; nothing here depends on the working directory.
"""

from __future__ import annotations

from alembic import context

from amends.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
