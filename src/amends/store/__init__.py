"""Rows: one schema on SQLite and PostgreSQL."""
