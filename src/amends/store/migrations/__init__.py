"""The history of the schema, one file a step; `amends.store.migrate` runs it."""
