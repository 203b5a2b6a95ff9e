"""Cards as people see them: where an account says that it is reached, and what web addresses are on one's own."""

from collections.abc import Iterable
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.errors import MalformedStatement
from unhush.identity.statement import Card
from unhush.node.errors import BadConfig, NotFound
from unhush.node.records.acting import Writing
from unhush.node.records.looking import Looking
from unhush.node.views import CardInfo

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
