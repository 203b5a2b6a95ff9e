"""Serving: the accounts the peer gets something of, by name or not, and what each of them is owed.

An account asked for by name is looked up when we carry it, stays as long as the
peer wants it, and costs of the state we offer. When all of it went, the want
that named it is answered.

With a carrier of many accounts what both carry is compared first
(``reconciling``). What is the same at both is ``pushed`` without being asked
for by name, and nothing is remembered of it but a bit until it grows; then it
is served like others, at no cost to the peer, and forgotten when it is idle
and others take its place. So is what was asked for by name, once the peer was
told that it is caught up. Should more be waiting than can be remembered, the
peer is told to ask for the account by name.
"""

from collections.abc import Iterable
from typing import Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.carrying import Carrying, CarryingCompared
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import Grew, LogGrew
from unhush.gossip.proto.faults import TooMuchState
from unhush.gossip.proto.fingerprints import AccountTree, Marks
from unhush.gossip.proto.frames import Carries, CaughtUp, Want, WantedAccount
from unhush.gossip.proto.lookups import Lookups
from unhush.gossip.proto.order import Order
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.ownlog import OwnLog
from unhush.gossip.proto.queue import OnceQueue
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.receiving import Arrived
from unhush.gossip.proto.served import Rank, Served
from unhush.gossip.proto.wants import Wants
from unhush.identity.cid import Cid, cid_of

# How many of those that may be forgotten are looked at for an idle one.
_IDLE_SOUGHT: Final = 8
# Logs remembered of an account that was not asked for by name: one a device that writes while we watch.
_LOGS_OF_LIGHT: Final = 16


class Serving:
    """Whom we serve what of; what of it is due lines up in ``order``."""

    def __init__(
        self,
        config: SessionConfig,
        outbox: Outbox,
        *,
        own_log: OwnLog,
        order: Order,
        lookups: Lookups,
        state_bytes: int,
        reconciles: AccountTree | None = None,
    ) -> None:
        """If what both carry is compared first, by our tree, none of it is told, and what grows waits for that.

        ``state_bytes``: what the peer offers for all it remembers.
        """
        self._trusts_all: Final = config.trusts_all
        self._outbox: Final = outbox
        self._own_log: Final = own_log
        self._order: Final = order
        self._lookups: Final = lookups
        if config.trusts_all:
            lookups.cover(limits.MAX_SUMMARIES_ALLOWANCE)
        if reconciles is not None:
            lookups.cover(len(reconciles))
        self._wants: Final = Wants()
        self._served: Final[dict[Cid, Served]] = {}
        self._state_used = 0
        self._stray_logs = 0

        self._compared: Final = CarryingCompared(outbox, reconciles) if reconciles is not None else None
        self._carrying: Final = self._compared or Carrying(outbox, state_bytes)
        self._is_all_wanted = False
        self._light: Final[OnceQueue[Cid]] = OnceQueue()  # of those served, what may be forgotten

    # --- what we carry -----------------------------------------------------------------------------------

    def set_carries(self, carries: frozenset[Cid]) -> None:
        self._lookups.cover(len(carries))
        before = self._carrying.change(carries)
        for account in sorted(before ^ carries):
            if account not in self._light:
                self._review(account)
            elif account not in carries:
                self._forget(account)

    def _review(self, account: Cid) -> None:
        """Go on serving what is wanted, or stop."""
        served = self._served.get(account)
        if served is None:
            return
        if not self.may_serve(account):
            self._park(served)
        elif not served.is_summarised:
            self._order.summaries.push(served)

    def peer_carries(self, frame: Carries) -> None:
        """The peer carries other accounts than it did when both were compared."""
        if self._compared is None:
            return
        self._compared.peer_carries(frame)
        for account in frame.drop:
            if account in self._light:
                self._forget(account)

    def seek(self, accounts: Iterable[Cid]) -> None:
        """Hear whether the peer carries accounts that we do not; where nothing is compared, it says so anyway."""
        if self._compared is not None:
            self._compared.seek(accounts)

    def carries(self, account: Cid) -> bool:
        """Whether we carry an account, and say so."""
        return account in self._carrying.accounts

    def may_serve(self, account: Cid) -> bool:
        """Whether the peer may have an account, should it want it."""
        return self._trusts_all or account in self._carrying.accounts

    # --- what the peer gets without naming it ------------------------------------------------------------

    def reconciled(self, equal: Marks) -> None:
        """Both know now which accounts of those both carry are the same."""
        assert self._compared is not None, "there was nothing to compare"
        self._compared.compared(equal)
        for account, served in self._served.items():
            if served.is_summarised or account not in self._light:
                self._compared.pushed.add(account)  # asked for by name meanwhile
        self._begin_pushing()

    def _begin_pushing(self) -> None:
        """Once it is known what is the same, and that the peer wants it: let go what grew meanwhile."""
        if not self._pushes_all:
            return
        for account in list(self._light):
            served = self._served[account]
            if served.is_summarised:
                continue
            if not self._is_pushed(account):
                self._forget(account)
                continue
            served.is_summarised = True
            if served.ops_todo:
                self._order.ops.push(served)
            self._order.runs[Rank.LIVE].push(served)

    @property
    def _pushes_all(self) -> bool:
        return self._is_all_wanted and self._compared is not None and self._compared.is_compared

    def _is_pushed(self, account: Cid) -> bool:
        return self._compared is not None and account in self._compared.pushed and self.may_serve(account)

    def pushes(self, account: Cid) -> bool:
        """Whether the peer gets what an account writes without asking or being offered it."""
        served = self._served.get(account)
        if served is not None and not served.is_live:
            return False
        # What grows while both are compared is remembered, whether or not the peer will turn out to want it.
        if served is None or account in self._light:
            return self._pushes_all and self._is_pushed(account)
        return self.may_serve(account)

    def serves(self, account: Cid) -> bool:
        """Whether the peer wants the account and may have it."""
        return (account in self._served and self.may_serve(account)) or (self._pushes_all and self._is_pushed(account))

    def is_current(self, served: Served) -> bool:
        """Whether it was neither dropped nor asked for anew, and may be served."""
        return self._served.get(served.account) is served and self.may_serve(served.account)

    def find(self, account: Cid) -> Served | None:
        """An account the peer gets something of, by name or not."""
        served = self._served.get(account)
        if served is None and self._is_pushed(account):
            self._make_room()
            served = self._served[account] = Served(account, is_summarised=self._pushes_all)
            self._light.push(account)
        return served

    def _make_room(self) -> None:
        """For one more that may be forgotten: of an idle one, or of one that the peer has to ask for."""
        if len(self._light) < limits.MAX_LIGHT:
            return
        for _ in range(_IDLE_SOUGHT):
            oldest = self._light.pop()
            if self._served[oldest].is_idle:
                break
            self._light.push(oldest)
        else:
            oldest = self._light.pop()
            if self._compared is not None and self._served[oldest].is_live:
                self._compared.ask_again(oldest)
        self._park(self._served.pop(oldest))

    # --- what the peer wants -----------------------------------------------------------------------------

    def peer_wants(self, frame: Want, now: float) -> None:
        """Take a want; raises ``TooMuchState``, ``TooManyFrames``."""
        want = self._wants.receive(frame.cost, now)
        if frame.is_all and not self._is_all_wanted:
            self._is_all_wanted = True
            self._begin_pushing()
        for account in frame.drop:
            self._forget(account)
            if self._compared is not None:
                self._compared.pushed.discard(account)
        for wanted in frame.accounts:
            self._forget(wanted.account)
            self._state_used += wanted.cost
            if self._state_used > limits.MAX_STATE_BYTES - limits.MAX_STATE_BYTES // limits.CARRIES_SHARE:
                raise TooMuchState(f"more wanted than fits in {limits.MAX_STATE_BYTES} bytes of state")
            self._serve(wanted, want)

    def _serve(self, wanted: WantedAccount, want: int) -> None:
        account = wanted.account
        served = self._served[account] = Served.asked(wanted, want)
        if self._compared is not None:
            self._compared.peer_wants(account)
        if not self.may_serve(account):
            self._note_finished(served)
        else:
            served.want = want
            self._wants.opened(want)
            self._order.summaries.push(served)

    def _forget(self, account: Cid) -> None:
        served = self._served.pop(account, None)
        if served is not None:
            self._state_used -= served.cost
            self._light.discard(account)
            self._park(served)
            self._wants.forget(served.asked_by, account)

    def _park(self, served: Served) -> None:
        """Stop sending of an account; if it is wanted still, it waits until we may serve it."""
        served.park()
        self._order.discard(served)
        self._finish(served)

    def finish_if_done(self, served: Served) -> None:
        """Something of it went: its want may be answered now."""
        if served.want and not self._has_backlog(served):
            self._finish(served)

    def _has_backlog(self, served: Served) -> bool:
        if not served.is_summarised or served.ops_todo or served.reading:
            return True
        return any(
            (log.todo[Rank.SCREEN] or log.todo[Rank.HISTORY]) and self._own_log.is_waited_for(served.account, key)
            for key, log in served.logs.items()
        )

    def _finish(self, served: Served) -> None:
        if served.want:
            self._wants.closed(served.want)
            served.want = 0
            self._note_finished(served)

    def _note_finished(self, served: Served) -> None:
        if self._compared is not None:
            self._wants.finished(served.asked_by, served.account)

    def _release(self, account: Cid) -> None:
        """The peer was told that it is caught up: neither side counts what it asked for any more."""
        served = self._served[account]
        self._state_used -= served.cost
        served.cost = 0
        if not self.may_serve(account):
            del self._served[account]
            self._park(served)
        elif self._compared is not None and account in self._compared.pushed:
            self._make_room()
            self._light.push(account)

    def flush(self, now: float, *, is_all_sent: bool) -> None:
        """Say what is due: what we carry, and how far the peer is caught up, once all that was read for it is sent."""
        self._carrying.flush(now)
        own = self._own_log.pass_time(now)
        if own is not None and (served := self._served.get(own)) is not None:
            self.finish_if_done(served)
        answered = self._wants.find_answered()
        if answered is not None and is_all_sent and self._outbox.has_room:
            self._outbox.send(CaughtUp(answered))
            for account in self._wants.told(answered):
                self._release(account)

    # --- what the peer holds, and what we gain -----------------------------------------------------------

    def peer_sent(self, arrived: Arrived) -> None:
        """What the peer sent us it holds: never send it back."""
        served = self.find(arrived.account)
        if served is None:
            return
        for entry in arrived.ops:
            if len(served.ops_held) < limits.MAX_OPERATIONS:
                served.ops_held.add(cid_of(entry))
        if arrived.key is not None and (arrived.key in served.logs or self._may_remember(served)):
            served.log(arrived.key).peer_holds(arrived.seqs)

    def _may_remember(self, served: Served) -> bool:
        """Whether one more log is remembered that the peer did not name."""
        if served.account in self._light:
            return len(served.logs) < _LOGS_OF_LIGHT
        if self._stray_logs >= limits.MAX_STRAY_LOGS:
            return False
        self._stray_logs += 1
        return True

    def grew(self, event: Grew | LogGrew) -> bool:
        """The journal gained records; remember that they are to be sent, unless the peer holds them.

        Tells whether that changed anything.
        """
        served = self.find(event.account)
        if served is None or not served.is_live or not self.may_serve(event.account):
            return False
        if isinstance(event, Grew) and event.key is None:
            if event.cid in served.ops_held:
                return False
            served.ops_todo[event.cid] = None
            queue = self._order.ops
        elif event.key is not None:
            seqs = Ranges.span(event.seq, event.seq) if isinstance(event, Grew) else event.seqs
            if not served.log(event.key).gained(seqs):
                return False
            queue = self._order.runs[Rank.LIVE]
        if served.is_summarised:
            queue.push(served)
        return True

    # --- our own log -------------------------------------------------------------------------------------

    def own_checked(self, *, is_clean: bool) -> None:
        """Let our own log go, or hold it back for good."""
        account = self._own_log.checked(is_clean=is_clean)
        if account is None or (served := self._served.get(account)) is None or not served.is_summarised:
            return
        if is_clean:
            for queue in self._order.runs:
                queue.push(served)
        self.finish_if_done(served)
