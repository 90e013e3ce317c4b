"""What others named, as it is shown: a stranger's disc commands no terminal. Knows text, no command."""

import re

UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""What commands a terminal, turns the direction of a line or cannot be written: as it is, it is never printed."""


def shown(text: str) -> str:
    """*text* from elsewhere, such as the name of a file, with what is UNSEEN spelled out: one harmless line."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
