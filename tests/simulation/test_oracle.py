"""The oracle can fail: a machine that is broken on purpose is found out."""

from dataclasses import replace

import pytest

from unhush.gossip.proto.asking import Asking
from unhush.gossip.proto.events import Grew, LogGrew
from unhush.gossip.proto.letters import Letters
from unhush.gossip.proto.receiving import Receiving
from unhush.gossip.proto.reconciling import Reconciling
from unhush.gossip.proto.sending import Sending
from unhush.gossip.proto.serving import Serving
from unhush.gossip.proto.wants import Wants
from unhush.identity.cid import Cid
from unhush.testing import LimitExceeded, NotConverged
from unhush.testing.scenario import FIFTY, SMALL, Plan, run_seed

# A storm with a clock that is more than ten minutes ahead, and one with witnesses of a fork who are told by others.
HASTY = 27
FORKED = 0
# One in which nodes compare what they hold.
COMPARED = 16
# One in which nodes tell each other of others, so that what concerns somebody is looked for.
OFFERED = 1
# One in which somebody who would pass on a mention was away when it came.
AWAY = 78

SHORT = replace(FIFTY, quiet_s=60.0)
LONG = replace(SMALL, quiet_s=420.0)


def assert_found(patch: pytest.MonkeyPatch, error: type[Exception], *, seed: int, plan: Plan = SHORT) -> None:
    """The storm fails with what is broken, and passes without."""
    with pytest.raises(error) as failed:
        run_seed(seed, plan)
    assert any(f"seed {seed}," in note for note in failed.value.__notes__)  # enough to run it again
    patch.undo()
    run_seed(seed, plan)


def test_a_session_that_forgets_every_other_new_record_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    grew = Serving.grew

    def forgetful(self: Serving, event: Grew | LogGrew) -> bool:
        seq = event.seq if isinstance(event, Grew) else event.seqs.pairs[-1][1]
        return seq % 2 == 0 and grew(self, event)

    monkeypatch.setattr(Serving, "grew", forgetful)
    assert_found(monkeypatch, NotConverged, seed=0)


def test_a_session_that_forgets_holes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: Receiving, account: Cid) -> None:
        del self, account

    monkeypatch.setattr(Receiving, "hole_seen", forgetful)
    assert_found(monkeypatch, NotConverged, seed=HASTY, plan=LONG)


def test_a_session_that_keeps_credit_for_itself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    committed = Receiving.committed

    def greedy(self: Receiving, delivery_id: int, *, is_faulty: bool) -> None:
        committed(self, delivery_id, is_faulty=is_faulty)
        self.deliveries._due = 0

    monkeypatch.setattr(Receiving, "committed", greedy)
    assert_found(monkeypatch, LimitExceeded, seed=0)


def test_sessions_that_are_silent_about_forks_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sending, "_show_branches", lambda *_: None)
    monkeypatch.setattr(Sending, "prove", lambda *_: None)
    assert_found(monkeypatch, NotConverged, seed=FORKED)


def test_who_takes_for_equal_what_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reconciling, "_differs", lambda self, account: self.shared.add(account))
    assert_found(monkeypatch, NotConverged, seed=COMPARED)


def test_sessions_that_offer_nothing_to_whom_it_concerns_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asking, "concerns", lambda *_: None)
    monkeypatch.setattr(Asking, "_ask_for_ours", lambda *_: None)
    assert_found(monkeypatch, NotConverged, seed=OFFERED)


def test_nodes_that_tell_nobody_of_what_came_before_they_met_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Letters, "put", lambda *_: None)
    assert_found(monkeypatch, NotConverged, seed=AWAY)


def test_who_compares_and_does_not_ask_who_carries_whom_it_writes_to_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Serving, "seek", lambda *_: None)
    assert_found(monkeypatch, NotConverged, seed=COMPARED)


def test_a_session_that_remembers_wants_for_ever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Wants.closed

    def hoarding(self: Wants, want: int) -> None:
        closed(self, want)
        self._open.setdefault(want, 0)

    monkeypatch.setattr(Wants, "closed", hoarding)
    assert_found(monkeypatch, LimitExceeded, seed=0)


def test_a_node_that_blames_who_did_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    committed = Receiving.committed
    monkeypatch.setattr(
        Receiving, "committed", lambda self, delivery_id, *, is_faulty: committed(self, delivery_id, is_faulty=True)
    )
    assert_found(monkeypatch, NotConverged, seed=0)
