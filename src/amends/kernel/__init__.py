"""Values everyone shares: money, ids, instants, outcomes. No I/O, no clock, no randomness."""
