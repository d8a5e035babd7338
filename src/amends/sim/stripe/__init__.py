"""A strict Stripe look-alike with its own truth, as a pure state machine."""

from amends.sim.stripe.world import StripeWorld

__all__ = ["StripeWorld"]
