"""What a command ends with. ``audit`` has three more, one for each verdict."""

from typing import Final

FAILED: Final = 1
WRONG_USE: Final = 2
NOT_FOUND: Final = 3
# The words, the passphrase or a key file are missing or wrong.
NO_SECRET: Final = 4
# No node runs here, or no machine answered.
UNREACHED: Final = 5
# What is here, or in a file, is not what was signed.
UNSOUND: Final = 6
# ``doctor`` or ``drill`` found something that should be done.
ATTENTION: Final = 7
# ``sync --wait``, ``restore``: peers answered, but not all there is has come.
NOT_ALL: Final = 8
