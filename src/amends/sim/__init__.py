"""A seeded world: provider look-alikes with their own truth."""
