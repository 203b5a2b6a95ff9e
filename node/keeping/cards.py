"""Cards as people see them: where an account says that it is reached, and what web addresses are on one's own."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.errors import MalformedStatement
from unhush.identity.statement import Card
from unhush.node.errors import BadConfig, NotFound
from unhush.node.records.acting import Writing
from unhush.node.records.looking import Looking
from unhush.node.records.reading import Reader
from unhush.node.views import CardInfo, Person

# A card has 1,000 bytes; so there is room for two addresses of machines, of which everything else lives.
MAX_URLS_BYTES: Final = 400


class Cards(Writing, Looking):
    """The part of a node that says where it is."""

    def card(self, account: Cid | str | None = None) -> CardInfo:
        """Where the cards of an account that are known here say it is, or of the own."""
        who = self.account_of(account) if account is not None else self.account()
        with self._store.snapshot() as snapshot:
            own, device = snapshot.own_account(), snapshot.own_device()
            cards = snapshot.cards(who)
            wanted = snapshot.card_urls() if who == own else ()
        claims = [each.claim for each in cards if isinstance(each.claim, Card)]
        mine = {url for each in cards if each.key == device and isinstance(each.claim, Card) for url in each.claim.urls}
        return CardInfo(
            account=who,
            peers=tuple(dict.fromkeys(peer for claim in claims for peer in claim.peers)),
            urls=tuple(dict.fromkeys(url for claim in claims for url in claim.urls)),
            said_ms=max((each.time for each in cards), default=None),
            unsaid=tuple(url for url in wanted if url not in mine),
        )

    def people_at(self, peers: Collection[str]) -> Mapping[str, tuple[Person, ...]]:
        """Whose machines these are, by peer id, as the cards say of yourself and of those you follow or keep.

        A card is its author's word, so two people may name one machine. A machine that none of them names is left out.
        """
        if not peers:
            return {}
        found: dict[str, dict[Cid, Person]] = {}
        with self._store.snapshot() as snapshot:
            reader, own = Reader(snapshot), snapshot.own_account()
            me = snapshot.account(own) if own is not None else None
            followed = snapshot.follows(me) if me is not None else ()
            for who in dict.fromkeys((*([own] if own is not None else ()), *followed, *snapshot.promises())):
                claims = (each.claim for each in snapshot.cards(who))
                named = {at.rpartition("/p2p/")[2] for claim in claims if isinstance(claim, Card) for at in claim.peers}
                for peer in named.intersection(peers):
                    found.setdefault(peer, {})[who] = reader.any_person(who)
        return {peer: tuple(people.values()) for peer, people in found.items()}

    def change_card(self, add: Iterable[str] = (), drop: Iterable[str] = ()) -> CardInfo:
        """Name web addresses where the account can be found on the card of this device, or name them no more.

        A running node signs the card and tells it, within half an hour at most. Raises ``BadConfig``, ``NotFound``.
        """
        own = self.account()
        gone, new = set(drop), tuple(add)
        with self._store.snapshot() as snapshot:
            before = snapshot.card_urls()
        if unknown := gone - set(before):
            raise NotFound(f"the card of this device does not name {min(unknown)[:80]}")
        urls = tuple(dict.fromkeys((*(url for url in before if url not in gone), *new)))
        try:
            Card((), urls)
        except MalformedStatement as exc:
            raise BadConfig(f"{exc}; one looks like https://example.org/me") from exc
        if sum(map(len, urls)) > MAX_URLS_BYTES:
            raise BadConfig(
                f"web addresses on a card have {MAX_URLS_BYTES} letters together, not {sum(map(len, urls))}"
            )
        self._store.put_card_urls(urls)
        return self.card(own)
