"""Gossipsub, guarded and bounded: how hints spread. What they say, :mod:`unhush.gossip.net.hearing` knows."""
