"""User Identity negotiation: who the requestor says it works for, and our answer (PS3.7 D.3.3.7).

Knows the forms, and no users: nothing is verified, and a passcode is looked at by nobody, kept and logged nowhere.
"""

from relais.peers.wire.associate import Identity

MAX_LENGTH = 64  # characters of a user name that are kept
USERNAME, USERNAME_AND_PASSCODE = 1, 2  # PS3.7 table D.3-14; 3 Kerberos, 4 SAML and 5 JSON Web Token name nobody to us


def user_of(asked: Identity | None) -> str:
    """The user that was named, "" if none was, or in a form that we cannot read."""
    if asked is None or asked.kind not in {USERNAME, USERNAME_AND_PASSCODE}:
        return ""
    text = asked.primary.decode("utf-8", "replace").strip()
    return "".join(character for character in text if character.isprintable())[:MAX_LENGTH]


def is_confirmed(asked: Identity | None) -> bool:
    """Whether the acceptance has a positive response, because one was asked for.

    Reading: it says that the name has been taken notice of; who needs a proof must not take it for one. A ticket, an
    assertion or a token would be answered in kind, which we cannot: these are accepted without a response, as PS3.7
    D.3.3.7.2 lets an acceptor do that does not verify them.
    """
    return asked is not None and asked.kind in {USERNAME, USERNAME_AND_PASSCODE} and asked.wants_response
