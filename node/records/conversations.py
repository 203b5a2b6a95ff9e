"""Conversations as trees: each reply beneath what it answers, in an order that can be read from top to bottom.

A tree is a list with depths and no nested values: a thread may be as deep as
it is long. Where the post between is gone or not here, a branch stands for it,
so that who answered whom stays visible.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from unhush.identity.cid import Cid
from unhush.node.views import Branch, Shown


def grow(root: Cid, replies: Iterable[Shown], find_gap: Callable[[Cid], Branch | None]) -> tuple[Branch, ...]:
    """The tree of some replies in time order, without the root.

    ``find_gap`` gives what stands for a parent that is not among them (its depth is set here), None if nothing should:
    then what answers it stands beneath the root.
    """
    held = {reply.id: reply for reply in replies}
    below: dict[Cid, list[Branch]] = defaultdict(list)
    gaps: dict[Cid, Branch | None] = {}
    for reply in held.values():
        parent = reply.reply.parent if reply.reply is not None else root
        if parent != root and parent not in held:
            if parent not in gaps:
                gaps[parent] = gap = find_gap(parent)
                if gap is not None:
                    below[root].append(gap)
            if gaps[parent] is None:
                parent = root
        below[parent].append(Branch(reply.id, reply, 0))
    return _read_down(root, below)


def _read_down(root: Cid, below: dict[Cid, list[Branch]]) -> tuple[Branch, ...]:
    grown: list[Branch] = []
    waiting = [(1, branch) for branch in reversed(below[root])]
    while waiting:
        depth, branch = waiting.pop()
        grown.append(Branch(branch.id, branch.shown, depth))
        waiting += [(depth + 1, each) for each in reversed(below.get(branch.id, ()))]
    return tuple(grown)
