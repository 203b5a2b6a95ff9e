"""What a neighbour says of itself is believed only as far as the local network goes, and of so many."""

from typing import Any, Final

import pytest

from unhush.gossip.proto.neighbours import (
    MAX_ADDRESSES,
    MAX_NEIGHBOURS,
    SERVICE,
    Announcement,
    Answer,
    Neighbours,
    find_announcement,
    read_answer,
)

US: Final = "12D3KooWGjMCmzcMBjXMyGGuPmSUcsVTaDjMrWzyoBdVbfGjUpmj"
BEN: Final = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"


def said(**changes: Any) -> Answer:
    usual = {
        "name": f"{BEN}.{SERVICE}",
        "properties": {b"net": b"main", b"peer": BEN.encode()},
        "addresses": ("192.168.1.7",),
        "port": 4470,
    }
    return Answer(**(usual | changes))


def read(answer: Answer) -> tuple[str, ...]:
    return read_answer(answer, network="main", own_peer_id=US)


def test_a_neighbour_is_dialled_where_it_says_it_is() -> None:
    assert read(said()) == (f"/ip4/192.168.1.7/tcp/4470/p2p/{BEN}",)
    assert read(said(name=f"{BEN}.{SERVICE}".upper())) == (f"/ip4/192.168.1.7/tcp/4470/p2p/{BEN}",)


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8", "1.1.1.1", "100.64.0.1", "127.0.0.1", "0.0.0.0", "224.0.0.251", "255.255.255.255", "192.0.2.7",
        "172.32.0.1", "::1", "fe80::1", "2001:db8::1", "ann.example", "", "10.0.0.1/24", "010.0.0.1",
        "10.0.0", "x" * 300,
    ],
)  # fmt: skip
def test_only_addresses_of_a_local_network_are_taken(host: str) -> None:
    assert read(said(addresses=(host,))) == ()
    assert read(said(addresses=(host, "10.1.2.3"))) == (f"/ip4/10.1.2.3/tcp/4470/p2p/{BEN}",)


@pytest.mark.parametrize(
    "changes",
    [
        {"properties": {}},
        {"properties": {b"net": b"main"}},
        {"properties": {b"peer": BEN.encode()}},
        {"properties": {b"net": b"test", b"peer": BEN.encode()}},
        {"properties": {b"net": None, b"peer": None}},
        {"properties": {b"net": b"main", b"peer": b"\xff\xfe"}},
        {"properties": {b"net": b"main", b"peer": b"x" * 255}},
        {"properties": {b"net": b"main", b"peer": b"12D3/../x"}, "name": f"12D3/../x.{SERVICE}"},
        {"properties": {b"net": b"main", b"peer": US.encode()}, "name": f"{US}.{SERVICE}"},
        {"name": f"{US}.{SERVICE}"},
        {"name": SERVICE},
        {"addresses": ()},
        {"port": 0},
        {"port": 65_536},
        {"port": -1},
    ],
    ids=str,
)
def test_what_says_nothing_sensible_leads_nowhere(changes: dict[str, Any]) -> None:
    assert read(said(**changes)) == ()


def test_a_neighbour_has_few_addresses() -> None:
    many = tuple(f"10.0.0.{number}" for number in range(1, 200))
    assert len(read(said(addresses=many + many))) == MAX_ADDRESSES


def test_only_so_many_neighbours_are_minded_until_some_go() -> None:
    neighbours = Neighbours()
    names = [f"peer{number}.{SERVICE}" for number in range(MAX_NEIGHBOURS + 10)]
    taken = [name for name in names if neighbours.minds(name) and neighbours.heard(name, (f"/{name}",))]
    assert taken == names[:MAX_NEIGHBOURS]
    assert neighbours.minds(names[0])
    assert not neighbours.minds(names[-1])
    neighbours.gone(names[0])
    neighbours.gone("nobody")
    assert neighbours.heard(names[-1], ("/new",))
    assert len(neighbours) == len(neighbours.addresses()) == MAX_NEIGHBOURS


@pytest.mark.parametrize("name", ["", SERVICE, "printer._ipp._tcp.local.", "x" * 300 + "." + SERVICE])
def test_names_that_are_none_of_ours_are_not_minded(name: str) -> None:
    assert not Neighbours().minds(name)


def test_a_name_without_an_address_takes_no_place() -> None:
    neighbours = Neighbours()
    assert not neighbours.heard(f"peer.{SERVICE}", ())
    assert len(neighbours) == 0


def test_what_is_announced_is_where_we_listen_on_a_local_network() -> None:
    listen = [
        f"/ip4/127.0.0.1/tcp/4470/p2p/{US}",
        f"/ip4/192.168.1.5/tcp/4470/p2p/{US}",
        f"/ip4/10.0.0.5/tcp/4470/p2p/{US}",
        f"/ip4/10.0.0.6/tcp/4471/p2p/{US}",
        f"/ip4/203.0.114.9/tcp/4470/p2p/{US}",
        f"/ip6/2001:db8::1/tcp/4470/p2p/{US}",
        f"/ip4/203.0.114.9/tcp/4470/p2p/{BEN}/p2p-circuit/p2p/{US}",
    ]
    assert find_announcement("main", US, listen) == Announcement("main", US, ("192.168.1.5", "10.0.0.5"), 4470)


@pytest.mark.parametrize("listen", [[], [f"/ip4/127.0.0.1/tcp/1/p2p/{US}"], [f"/ip4/203.0.114.9/tcp/1/p2p/{US}"]])
def test_who_listens_nowhere_near_announces_nothing(listen: list[str]) -> None:
    assert find_announcement("main", US, listen) is None


def test_what_is_announced_says_nothing_of_an_account_and_is_what_is_read() -> None:
    announcement = Announcement("main", BEN, ("10.0.0.5",), 4470)
    assert announcement.properties() == {"net": "main", "peer": BEN}
    properties = {key.encode(): value.encode() for key, value in announcement.properties().items()}
    answer = Answer(announcement.name, properties, announcement.addresses, announcement.port)
    assert read(answer) == (f"/ip4/10.0.0.5/tcp/4470/p2p/{BEN}",)
