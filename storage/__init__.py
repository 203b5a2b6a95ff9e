"""What is kept: one LMDB environment with the journal, logs and indexes; key files; CAR files.

:class:`unhush.storage.store.Store` is the door. Nothing here knows a network.
"""
