"""amends gives a customer's money back, once, for the right amount, and keeps every book in step."""

__version__ = "0.1.0"
