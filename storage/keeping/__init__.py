"""Keeping: what this home promised to carry for everyone, what others say they carry, and what came of asking them."""
