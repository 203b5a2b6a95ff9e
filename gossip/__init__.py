"""How records travel: pure machines in ``proto``, libp2p and trio around them in ``net``; no posts, no pages."""
