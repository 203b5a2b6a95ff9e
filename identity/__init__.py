"""What makes a thing self-certifying: strict bytes, CIDs, keys, words, signed entries, accounts.

Nothing here touches a disk or a socket, reads a clock or rolls dice: every
function is a function of its arguments.
"""
