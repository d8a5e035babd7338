"""A strict PayPal look-alike with its own truth, as a pure state machine."""

from amends.sim.paypal.world import PayPalWorld

__all__ = ["PayPalWorld"]
