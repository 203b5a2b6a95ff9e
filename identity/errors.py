"""The root of every error we raise, and the identity family."""


class UnhushError(Exception):
    """Root of all errors of this project; its message is meant to be read by a person."""


class IdentityError(UnhushError):
    """Something that should certify itself does not."""


class MalformedBytes(IdentityError):
    """Bytes that are not the one strict encoding of a value (PROTOCOL §1)."""


class MalformedCid(IdentityError):
    """Not a CIDv1 of the two forms we use."""


class MalformedKey(IdentityError):
    """Not the text or bytes of an admissible Ed25519 key."""


class MalformedEntry(IdentityError):
    """Well-encoded bytes that break a rule of the entry header (PROTOCOL §2)."""


class MalformedOperation(IdentityError):
    """An identity operation whose body breaks a rule of its kind (PROTOCOL §3)."""


class BadWords(IdentityError):
    """Recovery words that are not 24 known words with a right checksum."""


class VerificationError(IdentityError):
    """Something well-formed is not what it claims to be."""


class SignatureMismatch(VerificationError):
    """A block bears a signature that is not by the key it names."""


class WrongBody(VerificationError):
    """Body bytes whose hash or size is not what the header says."""


class WrongAccount(VerificationError):
    """A record was handed over as one of an account that is not its own."""


class CryptoSelfTestFailed(IdentityError):
    """The signature library on this machine judges differently from the protocol; we refuse to run."""


class MalformedRequest(IdentityError):
    """Text that is no code by which a device asks to be added, or not as the device wrote it."""


class WrongNetwork(IdentityError):
    """A device asks to be added on another network than ours."""

    def __init__(self, theirs: str, ours: str) -> None:
        super().__init__(f"this code is for the network {theirs!r}, and this account is on {ours!r}")
        self.theirs = theirs
        self.ours = ours


class MalformedStatement(IdentityError):
    """Well-encoded bytes that break a rule of statements (PROTOCOL §4, "Statements")."""


class UnknownStatement(MalformedStatement):
    """A statement of a type that a later version may know: nobody's fault, and of no use here."""
