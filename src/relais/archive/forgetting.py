"""Drops what this node keeps of instances that are gone, whoever deleted them, a moment later and after every crash.

Who deletes drops its own pictures at once; other nodes of the archive learn of it by the change feed. Knows revisions
and instances, not pictures.
"""

from relais.archive import Archive, render
from relais.archive.cache import Cache
from relais.index import changes

AT_ONCE = 10_000  # revisions looked at in one step


def forget_deleted(archive: Archive) -> bool:
    """Look at the next changes; False if no more are left. How far it came is noted beside what is kept.

    What was kept before there was a note, or of an index that was lost, goes when it is the oldest.
    """
    cache = Cache(archive.settings.cache_dir, archive.settings.cache_bytes)
    name, latest = changes.name(archive.db), changes.latest(archive.db)
    feed, _, revision = cache.noted().partition(" ")
    seen = int(revision) if feed == name and revision.isdigit() else latest
    until = min(seen + AT_ONCE, latest)
    if until != seen:
        render.forget(archive, changes.deletions(archive.db, seen, until))
    if f"{name} {until}" != f"{feed} {revision}":
        cache.note(f"{name} {until}")
    return until < latest
