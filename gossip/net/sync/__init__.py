"""Sessions between two nodes, what is read for them, and what is asked beside them."""
