"""Bodies at random: everything a person can do, to whatever there is, honest or not."""

from collections.abc import Sequence
from random import Random

from unhush.identity.cid import Cid, cid_of, cid_of_raw
from unhush.storage.kinds import (
    Block,
    Body,
    Delete,
    Edit,
    Follow,
    Keeper,
    Label,
    Media,
    Post,
    Profile,
    Quote,
    React,
    Rebuttal,
    Reply,
    Repost,
)

TAGS = ("Straße", "STRASSE", "strasse", "Ａ", "a", "ŉ", "日本")
EMOJI = ("+", "++", "🙂", "")


def random_body(
    random: Random, name: str, *, own: Sequence[Cid], anything: Sequence[Cid], people: Sequence[Cid]
) -> Body:
    """The next record of an account that wrote ``own`` of ``anything`` there is."""
    number = len(anything)
    whom = random.choice(people)
    match random.randrange(17):
        case 0 | 1 if anything:
            root = random.choice(anything)
            parent = random.choice((root, random.choice(anything)))
            return random_post(random, f"reply {number}", people, reply=Reply(root, parent, whom, whom))
        case 2 if anything:
            return random_post(random, f"quote {number}", people, quote=Quote(random.choice(anything), whom))
        case 3:
            avatar, banner = (random.choice((None, blob)) for blob in (_blob(random), _blob(random)))
            return Profile(f"{name} {number}", avatar=avatar, banner=banner, links=("x",), handles=("y",))
        case 4 | 5:
            return Follow(whom)
        case 6 | 7 if own:
            return Delete(random.choice(own))
        case 8 if anything:
            return Delete(random.choice(anything))  # mostly somebody else's: without effect
        case 9 | 10 if own:
            return Edit(random.choice(own), random_post(random, f"edit {number}", people))
        case 11 if anything:
            return Edit(random.choice(anything), random_post(random, f"foreign edit {number}", people))
        case 12 if anything:
            return Repost(random.choice(anything), whom)
        case 13 if anything:
            return React(random.choice(anything), whom, random.choice(EMOJI))
        case 14:
            return random.choice(
                (Block(whom), Keeper(whom), Label(random.choice((*anything, whom)), f"value {number % 3}"))
            )
        case 15 if anything:
            return Rebuttal(random.choice(anything), f"rebuttal {number}")
        case _:
            return random_post(random, f"post {number}", people)


def random_post(
    random: Random, text: str, people: Sequence[Cid], *, reply: Reply | None = None, quote: Quote | None = None
) -> Post:
    return Post(
        text,
        title=random.choice((None, None, "a title")),
        reply=reply,
        quote=quote,
        tags=tuple(random.sample(TAGS, random.choice((0, 0, 1, 3)))),
        mentions=tuple(random.choices(people, k=random.choice((0, 0, 1, 2)))),
        media=tuple(Media(_blob(random), "image/png", 1, "") for _ in range(random.choice((0, 0, 1, 2)))),
    )


def _blob(random: Random) -> Cid:
    data = random.choice((b"one", b"two", b"three"))
    return random.choice((cid_of, cid_of_raw))(data)
