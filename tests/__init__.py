"""Tests, floor by floor. A package, so that `tests.` names never resolve to someone else's."""
