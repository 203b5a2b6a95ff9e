"""The trio and libp2p side of gossip: it acts, and leaves the thinking to :mod:`unhush.gossip.proto`."""
