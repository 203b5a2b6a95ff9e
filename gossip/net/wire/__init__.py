"""Connections and streams: what is under every protocol, with its bounds. Nothing here knows what is said."""
