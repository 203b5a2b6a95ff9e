"""How records travel: pure machines in ``proto``, libp2p and trio around them in ``net``. It knows no posts and no pages."""
