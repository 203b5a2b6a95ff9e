"""Invites as text: what they say survives mail, chats and cameras; what was changed on the way is named as such."""

import string
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unhush.gossip.errors import InviteMistyped, MalformedInvite
from unhush.gossip.proto import invites
from unhush.gossip.proto.invites import (
    MAX_INVITE_CHARS,
    MAX_NAME_BYTES,
    MAX_PASTED_CHARS,
    MAX_STARTER,
    PREFIX,
    Invite,
    encode_invite,
    parse_invite,
    wrap_invite,
)
from unhush.identity.cid import Cid, cid_of, cid_of_raw
from unhush.identity.codec import encode

PEER: Final = "12D3KooWGjMCmzcMBjXMyGGuPmSUcsVTaDjMrWzyoBdVbfGjUpmj"
RELAY: Final = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
ANN: Final = cid_of(b"Ann")
WHOLE: Final = Invite(
    account=ANN,
    peer_id=PEER,
    addresses=(
        f"/ip4/192.0.2.7/tcp/4470/p2p/{PEER}",
        f"/ip6/2001:db8::7/tcp/4470/p2p/{PEER}",
        f"/dns/ann.example/tcp/4470/p2p/{PEER}",
        f"/ip4/10.0.0.7/tcp/4470/p2p/{PEER}",
    ),
    token=bytes(range(16)),
    until_s=1_800_000_000,
    name="Ann ✨",
)


def people(count: int) -> tuple[Cid, ...]:
    return tuple(cid_of(bytes([number])) for number in range(count))


def test_an_invite_says_again_what_was_said() -> None:
    for invite in (WHOLE, replace(WHOLE, addresses=(), name="", starter=people(3), network="test")):
        assert parse_invite(encode_invite(invite)) == invite


@given(
    name=st.text(max_size=16),
    until_s=st.integers(0, 2**33),
    token=st.binary(min_size=16, max_size=16),
    starter=st.sets(st.binary(max_size=4), max_size=8),
    addresses=st.integers(0, 4),
)
def test_any_invite_says_again_what_was_said(
    name: str, until_s: int, token: bytes, starter: set[bytes], addresses: int
) -> None:
    invite = replace(
        WHOLE,
        name=name,
        until_s=until_s,
        token=token,
        starter=tuple(map(cid_of, sorted(starter))),
        addresses=WHOLE.addresses[:addresses],
    )
    assert parse_invite(encode_invite(invite)) == invite


def test_its_length_is_bounded_and_a_list_of_people_fits() -> None:
    usual = replace(WHOLE, addresses=WHOLE.addresses[:2])
    assert len(encode_invite(usual)) <= 360
    assert len(encode_invite(replace(usual, starter=people(20)))) <= 1_500
    assert len(encode_invite(replace(WHOLE, starter=people(MAX_STARTER)))) <= MAX_INVITE_CHARS


def test_an_invite_that_would_be_too_long_is_not_made() -> None:
    through_relays = tuple(f"/ip4/192.0.2.{n}/tcp/4470/p2p/{RELAY}/p2p-circuit/p2p/{PEER}" for n in range(4))
    with pytest.raises(MalformedInvite, match="fewer people"):
        encode_invite(replace(WHOLE, addresses=through_relays, starter=people(MAX_STARTER), name="x" * MAX_NAME_BYTES))


LINK: Final = encode_invite(WHOLE)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda link: link.upper(),
        lambda link: f"Hello,\n\n  {link}\n\nSee you there. Ann",
        lambda link: f"{link}. Yours, Ann",
        lambda link: f"{link} abc def",
        lambda link: wrap_invite(link, 40),
        lambda link: wrap_invite(link, 72).replace("\n", "\r\n"),
        lambda link: "> > " + wrap_invite(link).replace("\n", "\n> > "),
        lambda link: wrap_invite(link).replace("\n", "=\r\n"),
        lambda link: f"<{link}>",
        lambda link: f"“{link}”",
        lambda link: f"`{link}`",
        lambda link: PREFIX + " ".join(link.removeprefix(PREFIX)),
        lambda link: "\u200b".join(link[at : at + 20] for at in range(0, len(link), 20)),
        lambda link: f"Install unhush: then run this: {link}",
        lambda link: link.replace(":", " :\n"),
        lambda link: f"[invite]({link})",
    ],
)
def test_what_mail_and_chats_do_to_it_does_no_harm(wrap: Callable[[str], str]) -> None:
    assert parse_invite(wrap(LINK)) == WHOLE


def test_every_single_mistyped_letter_is_named_as_such() -> None:
    for at in range(len(PREFIX), len(LINK)):
        letter = "b" if LINK[at] == "a" else "a"
        with pytest.raises(MalformedInvite) as caught:
            parse_invite(LINK[:at] + letter + LINK[at + 1 :])
        assert "mistyped" in str(caught.value)


def test_letters_that_changed_places_or_that_it_never_has_are_named_as_such() -> None:
    rng = Random(5)
    for _ in range(200):
        at = rng.randrange(len(PREFIX), len(LINK) - 1)
        swapped = LINK[:at] + LINK[at + 1] + LINK[at] + LINK[at + 2 :]
        if swapped != LINK:
            with pytest.raises(MalformedInvite, match="mistyped"):
                parse_invite(swapped)
        with pytest.raises(InviteMistyped):
            parse_invite(LINK[:at] + rng.choice("0189.é/") + LINK[at + 1 :])


def test_one_that_was_cut_short_says_so_wherever_it_was_cut() -> None:
    for length in range(len(PREFIX), len(LINK)):
        with pytest.raises(InviteMistyped, match="cut short"):
            parse_invite(LINK[:length])


@pytest.mark.parametrize("text", ["", "hello", "bafyreib", "unhus:abc", "https://example.org/invite"])
def test_what_is_none_is_told_how_one_begins(text: str) -> None:
    with pytest.raises(MalformedInvite, match="begins with unhush:"):
        parse_invite(text)


def test_a_long_text_is_not_searched() -> None:
    with pytest.raises(MalformedInvite, match="paste the invite alone"):
        parse_invite("x" * MAX_PASTED_CHARS + LINK)


@given(st.text(alphabet=string.ascii_lowercase + string.digits + ":> \n", max_size=300))
def test_noise_is_refused_by_name(noise: str) -> None:
    for text in (noise, PREFIX + noise, PREFIX * 50 + noise):
        with pytest.raises(MalformedInvite):
            parse_invite(text)


# -- what a hostile inviter may write, with a checksum that fits


def written(fields: Any, version: int = 1) -> str:
    body = fields if isinstance(fields, bytes) else encode(fields)
    block = bytes((version, *len(body).to_bytes(2))) + body
    return PREFIX + invites._to_digits(block + invites._checksum(block))


FIELDS: Final = {"by": ANN.digest, "at": ["/ip4/192.0.2.7/tcp/4470"], "peer": PEER, "token": bytes(16), "until": 1}


def test_unknown_fields_are_passed_over() -> None:
    assert parse_invite(written(FIELDS | {"colour": "blue"})) == parse_invite(written(FIELDS))


@pytest.mark.parametrize(
    "changed",
    [
        {"by": ANN.digest[:31]},
        {"by": "Ann"},
        {"at": [f"/ip4/192.0.2.{n}/tcp/1" for n in range(5)]},
        {"at": ["/ip4/192.0.2.7/udp/1"]},
        {"at": ["/ip4/192.0.2.7/tcp/1/p2p/" + RELAY]},
        {"at": [7]},
        {"at": "/ip4/192.0.2.7/tcp/1"},
        {"at": ["/unix/tmp/x"]},
        {"peer": ""},
        {"peer": "x" * 500},
        {"peer": "../../etc"},
        {"token": bytes(15)},
        {"token": "x" * 16},
        {"until": -1},
        {"until": True},
        {"until": 2**60},
        {"name": "x" * (MAX_NAME_BYTES + 1)},
        {"name": b"Ann"},
        {"net": "No Network"},
        {"net": "x" * 33},
        {"with": bytes(33)},
        {"with": bytes(32) * 33},
        {"with": bytes(32) * 2},
        {"with": [bytes(32)]},
    ],
    ids=str,
)
def test_a_field_that_breaks_its_rule_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(MalformedInvite):
        parse_invite(written(FIELDS | changed))


@pytest.mark.parametrize("missing", sorted(FIELDS))
def test_a_field_that_is_missing_is_refused(missing: str) -> None:
    with pytest.raises(MalformedInvite):
        parse_invite(written({name: value for name, value in FIELDS.items() if name != missing}))


@pytest.mark.parametrize("body", [b"", b"\x80", b"\xa0", b"\xff" * 100, b"\x9f" * 900, encode(FIELDS) + b"\x00"])
def test_bytes_that_are_no_map_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedInvite):
        parse_invite(written(body))


def test_one_of_a_newer_version_says_so() -> None:
    with pytest.raises(MalformedInvite, match=r"mistyped or cut off.*newer version"):
        parse_invite(written(FIELDS, version=2))


def test_one_that_claims_to_be_longer_than_any_is_refused_before_it_is_read() -> None:
    with pytest.raises(InviteMistyped):
        parse_invite(written(bytes(4_000)))


@pytest.mark.parametrize(
    "changed",
    [
        {"account": cid_of_raw(b"picture")},
        {"starter": (cid_of_raw(b"picture"),)},
        {"starter": (ANN, ANN)},
        {"token": b""},
        {"name": "\ud800"},
        {"peer_id": RELAY},
    ],
    ids=str,
)
def test_no_invite_is_made_that_nobody_would_read(changed: dict[str, Any]) -> None:
    with pytest.raises(MalformedInvite):
        replace(WHOLE, **changed)


def test_an_invite_may_ask_to_be_kept() -> None:
    asking = replace(WHOLE, asks_keeping=True, starter=())
    assert parse_invite(encode_invite(asking)) == asking
    assert len(encode_invite(asking)) < len(encode_invite(replace(asking, asks_keeping=False))) + 16
