"""Room on this disk: who takes how much of it, how much each may take, and what goes when it is short.

Limits are policy, never validity: what is refused or dropped here is worth as
much as before, and may be taken in again.
"""
