"""What an account says of itself: name, words and portrait."""

from dataclasses import replace

from unhush.identity.cid import Cid
from unhush.node.errors import BadConfig, BlobMissing, ImageRefused
from unhush.node.ids import as_cid
from unhush.node.records.acting import Writing
from unhush.node.records.looking import Looking
from unhush.node.views import Person
from unhush.storage.kinds import Media, Profile


class Profiles(Writing, Looking):
    """The part of a node that deals with profiles."""

    def set_profile(self, name: str | None = None, bio: str | None = None, avatar: Media | None = None) -> Person:
        """Change what you say of yourself; what is None stays. ``avatar`` is what ``attach`` gave."""
        own, now = self._profile()
        profile = replace(now, name=now.name if name is None else name.strip(), bio=now.bio if bio is None else bio)
        if not profile.name:
            raise BadConfig("a name has at least one character")
        if avatar is not None:
            self.media.hold([avatar.cid])
            profile = replace(profile, avatar=avatar.cid)
        self._publish(profile)
        return self.person(own)

    def drop_avatar(self) -> Person:
        """Take the portrait out of your profile."""
        own, now = self._profile()
        if now.avatar is not None:
            self._publish(replace(now, avatar=None))
        return self.person(own)

    def portrait(self, account: Cid | str) -> bytes | None:
        """A small picture (WebP) of the avatar of an account; None if it has none, or none that is here."""
        who = as_cid(account)
        with self._store.snapshot() as snapshot:
            profile = snapshot.profile(who)
        if profile is None or profile.avatar is None:
            return None
        try:
            return self.media.thumb(profile.avatar)
        except (BlobMissing, ImageRefused):
            return None

    def _profile(self) -> tuple[Cid, Profile]:
        own = self.account()
        with self._store.snapshot() as snapshot:
            return own, snapshot.profile(own) or Profile("")
