"""Entrances: REST, webhooks and CLI. They parse, authorise, call the engine and render."""
