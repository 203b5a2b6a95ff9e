"""How the interpreter is set for a process that is a node and nothing else; whoever embeds us decides for himself."""

import gc
import sys
from typing import Final

# Network and ingest hand records to each other across threads; the usual 5 ms would be most of a record's delay.
SWITCH_S: Final = 0.0005
# A record on its way makes some thirty objects and no cycle: at the usual 700, looking for cycles took a twentieth of
# all the time of a sync.
YOUNG_OBJECTS: Final = 20_000


def hand_over_quickly() -> None:
    """Threads wait for each other no longer than ``SWITCH_S``."""
    sys.setswitchinterval(SWITCH_S)


def spare_the_collector() -> None:
    """Call once all is loaded: what the program is made of is not looked through again, and new objects seldom."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
