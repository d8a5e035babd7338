"""A strict Adyen look-alike with its own truth, as a pure state machine."""

from amends.sim.adyen.world import AdyenWorld

__all__ = ["AdyenWorld"]
