"""What `amends bench` measures with, and what it measures against. Not part of the product."""
