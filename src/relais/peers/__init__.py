"""How to talk to one other node. Knows what peers can do and where they are, not what should be said to them."""
