"""Finding peers: invites, the local network, bootstrap, the DHT, and the dialler."""
