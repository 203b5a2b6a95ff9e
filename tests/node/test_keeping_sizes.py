"""Sizes, shares and lists of accounts as people write them: read once, or refused with the reason."""

import pytest

from unhush.identity.cid import cid_of
from unhush.identity.statement import MediaPolicy
from unhush.node.errors import BadConfig
from unhush.node.keeping.sizes import (
    MAX_LIST_BYTES,
    Share,
    parse_accounts,
    parse_budget,
    parse_media,
    parse_share,
    size_text,
)

ANN, BEN = cid_of(b"Ann"), cid_of(b"Ben")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1GiB", 2**30),
        ("1 GiB", 2**30),
        ("1.5g", 3 * 2**29),
        ("500MB", 500 * 2**20),
        ("2t", 2**41),
        (" 1048576 ", 2**20),
        (2**20, 2**20),
        ("0.001tib", 2**40 // 1000),
    ],
)
def test_a_budget_is_read(text: str | int, size: int) -> None:
    assert parse_budget(text) == size


@pytest.mark.parametrize(
    "text", ["", "much", "-1GiB", "1,5GiB", "1GiBs", "1e9", "12", 12, "9999999TiB", "٣GiB", "1.GiB", "9" * 40]
)
def test_what_is_no_budget_is_refused(text: str | int) -> None:
    with pytest.raises(BadConfig):
        parse_budget(text)


def test_media_are_three() -> None:
    assert [parse_media(text) for text in ("none", "90d", "all")] == list(MediaPolicy)
    with pytest.raises(BadConfig):
        parse_media("some")


def test_what_size_text_says_is_read_again() -> None:
    for size in (2**20, 3 * 2**29, 2**30, 500 * 2**20, 2**41):
        assert parse_budget(size_text(size)) == size


@pytest.mark.parametrize("text", ["", "1", "5/5", "0/0", "-1/5", "1/5/2", "a/b", "1/99999"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(BadConfig):
        parse_share(text)


def test_every_account_is_of_exactly_one_box() -> None:
    shares = [parse_share(f"{index}/5") for index in range(5)]
    accounts = [cid_of(b"%d" % number) for number in range(500)]
    counts = [sum(share.holds(account) for account in accounts) for share in shares]
    assert all(sum(share.holds(account) for share in shares) == 1 for account in accounts)
    assert min(counts) > 60  # five boxes, and none has much more to do than another
    assert all(Share(0, 1).holds(account) for account in accounts)


def test_a_list_of_accounts_is_read_with_its_remarks() -> None:
    data = f"# the town\n{ANN}  # Ann\n\n  {BEN}\r\n{ANN}\n".encode()
    assert parse_accounts(data) == (ANN, BEN)


def test_a_list_with_a_wrong_line_keeps_nothing_and_names_it() -> None:
    with pytest.raises(BadConfig, match="line 2 "):
        parse_accounts(f"{ANN}\nmara\n".encode())
    for data in (b"\xff\xfe", b" " * (MAX_LIST_BYTES + 1)):
        with pytest.raises(BadConfig):
            parse_accounts(data)
