"""`amends demo`: a shop, a misbehaving provider and a server, told as stories and checked."""
