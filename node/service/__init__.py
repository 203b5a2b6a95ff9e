"""What runs while a node runs: the lock, ingest, the network, the control port, and what is told about them."""
