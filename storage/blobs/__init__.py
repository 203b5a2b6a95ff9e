"""Blobs: what posts carry beside their text, as files named by their hash, outside the database.

``manifest.py`` says what a blob is, ``folder.py`` how a file gets to disk whole,
``blobs.py`` puts the two together. ``images.py`` opens what people hand us, in
a process of its own; ``sweeping.py`` takes away what no record names.
"""
