"""From stored operations and logs to what a person is told about an account."""

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import ADD, FREEZE, NOTHING, OPEN, REVOKE, Cut, Op, Table
from unhush.identity.trunk import Alarm, State, Trunk, find_generation, find_trunk
from unhush.identity.words import fingerprint
from unhush.node.errors import NotFound
from unhush.node.views import DeviceInfo, DeviceState, IdentityInfo, OperationInfo
from unhush.storage.accounts import Account, parse_operations
from unhush.storage.snapshot import Snapshot
from unhush.storage.standing import DeviceLog


def read_trunk(snapshot: Snapshot, account: Account) -> Trunk:
    """The operations that count, parsed."""
    trunk = find_trunk(account.id, parse_operations(snapshot.operations(account.id)))
    if trunk is None:
        raise NotFound(f"the inception of {account.id} is not held")
    return trunk


def describe(snapshot: Snapshot, account: Account) -> IdentityInfo:
    """Who may speak for an account, and what is held of whom."""
    state = account.state
    trunk = read_trunk(snapshot, account)
    added = trunk.adds.keys() - {row.key for row in trunk.table.devices}
    this = snapshot.own_device() if snapshot.own_account() == account.id else None
    # A device whose add does not count (the table is frozen, closed, flooded) is still one the person may know.
    devices = [
        _device(snapshot, account, log, this, trunk.adds[log.key].name if log.key in added else None)
        for log in snapshot.devices(account, added)
    ]
    return IdentityInfo(
        account=account.id,
        fingerprint=fingerprint(account.id.digest),
        generation=state.generation,
        table=state.table,
        root=state.root,
        is_closed=state.closed,
        alarms=tuple(sorted(alarm.value for alarm in state.alarms)),
        devices=tuple(sorted(devices, key=_rank)),
        is_complete=not snapshot.is_incomplete(account),
    )


def _rank(device: DeviceInfo) -> tuple[bool, int, str, PublicKey]:
    """This device, the open ones, those cut off, strangers; by name."""
    return not device.is_this, list(DeviceState).index(device.state), device.name, device.key


def _device(
    snapshot: Snapshot, account: Account, log: DeviceLog, this: PublicKey | None, added_as: str | None
) -> DeviceInfo:
    newest = next(iter(snapshot.newest_in_force(account, log.key, 1)), None)
    return DeviceInfo(
        key=log.key,
        name=log.name or added_as or "",
        state=state_of(log.cut),
        is_this=log.key == this,
        is_added=added_as is not None,
        cut=cut_of(log.cut),
        in_force=log.in_force,
        contested=log.contested,
        unproven=log.unproven,
        void=log.void,
        fork=log.fork,
        newest_ms=newest.shown_at_ms if newest is not None else None,
    )


def state_of(cut: Cut | None) -> DeviceState:
    if cut is None:
        return DeviceState.UNLISTED
    if cut == OPEN:
        return DeviceState.OPEN
    return DeviceState.VOID if cut == NOTHING else DeviceState.CUT


def cut_of(cut: Cut | None) -> tuple[int, Cid] | None:
    return (cut[0], Cid(cut[1])) if cut is not None and cut not in (OPEN, NOTHING) else None


def describe_operations(snapshot: Snapshot, account: Account) -> tuple[OperationInfo, ...]:
    """Every operation stored of an account: tables first, then by kind and id, each with what it does."""
    records = {record.cid: record for record in snapshot.operations(account.id)}
    trunk = read_trunk(snapshot, account)
    found = []
    for operation in parse_operations(list(records.values())):
        header = records[operation.id].entry.header
        counts, why = _verdict(trunk, account.state, operation)
        op = operation if isinstance(operation, Op) else None
        found.append(
            OperationInfo(
                id=operation.id,
                kind=header.kind,
                time_ms=header.time,
                signer=operation.key,
                on=header.prev,
                device=op.device if op is not None else None,
                name=op.name if op is not None else "",
                cut=cut_of(op.cut) if op is not None and op.kind == REVOKE else None,
                generation=find_generation(trunk.incept, operation) if isinstance(operation, Table) else None,
                counts=counts,
                why=why,
            )
        )
    return tuple(sorted(found, key=lambda each: (each.generation is None, each.generation or 0, each.kind, each.id)))


def _verdict(trunk: Trunk, state: State, operation: Table | Op) -> tuple[bool, str]:
    if isinstance(operation, Table):
        return _verdict_on_table(trunk, operation)
    if operation.kind == FREEZE:
        return True, "no add counts until the next rotate"
    if operation.kind == ADD:
        return _verdict_on_add(trunk, state, operation)
    return _verdict_on_revoke(state, operation)


def _verdict_on_table(trunk: Trunk, table: Table) -> tuple[bool, str]:
    if table.id == trunk.table.id:
        return True, "the table that stands" + (", closed" if table.closed else "")
    if table.id == trunk.incept.id:
        return False, "the inception: kept because it is the account's name; a later table stands"
    return False, "a second rotate to the same generation: the lower id stands, and this raises the alarm"


def _verdict_on_add(trunk: Trunk, state: State, add: Op) -> tuple[bool, str]:
    if trunk.freeze is not None:
        return False, "the table is frozen"
    if trunk.table.closed:
        return False, "the table is closed"
    if Alarm.FLOODED in state.alarms:
        return False, "more new devices are named than one generation may"
    cut = state.cuts.get(add.device) if add.device is not None else None
    if cut is not None and cut != OPEN:
        return False, "the device is cut off, and an add never opens it again"
    return True, "opens the device"


def _verdict_on_revoke(state: State, revoke: Op) -> tuple[bool, str]:
    cut = state.cuts.get(revoke.device) if revoke.device is not None else None
    if cut is None:
        return False, "the device is not listed: it has no say anyway, and no add can open it"
    if cut != revoke.cut:
        return False, "the table cuts the device off earlier"
    return True, "nothing of the device stays" if cut == NOTHING else f"its first {cut[0] + 1} records stay"
