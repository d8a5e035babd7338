"""The seeded world: the real engine under virtual time, with people, providers and trouble."""
