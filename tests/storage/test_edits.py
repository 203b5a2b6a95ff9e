"""An edit changes words, not places: what answers a post is not touched, however many edits and answers there are."""

import pytest
from tests.support.people import Home

from unhush.storage.folds import threads
from unhush.storage.kinds import Edit, Post, Reply


def test_edits_of_a_post_touch_none_of_its_answers(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    root = home.post("first words")
    reply = Reply(root.cid, root.cid, root.account, root.account)
    home.publish(*(Post(f"answer {number}", reply=reply) for number in range(20)))
    moved: list[bytes] = []
    monkeypatch.setattr(threads, "_move_answers", lambda _txn, post, _root, **_: moved.append(post))

    edits = home.publish(*(Edit(root.cid, Post(f"words {number}", tags=("x",))) for number in range(20)))

    assert moved == []
    with home.store.snapshot() as snapshot:
        version = snapshot.shown_version(root)
        assert version is not None
        assert version.text == "words 19"
        assert len(list(snapshot.replies(root.cid))) == 20
        assert len(snapshot.versions(root)) == 1 + len(edits)
