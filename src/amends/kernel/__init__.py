"""Values everyone shares: money, ids, instants, outcomes, canonical JSON. No I/O, no clock, no randomness."""
