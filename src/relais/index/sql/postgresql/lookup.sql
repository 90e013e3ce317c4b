-- PostgreSQL's spelling of what it says in another way.

-- name: plain_keys
SELECT key FROM instance WHERE strpos(key, chr(3)) = 0 AND key = ANY(as_texts(:keys))
UNION ALL SELECT superseded.key FROM superseded JOIN instance ON instance.id = superseded.instance_fk
WHERE superseded.key = ANY(as_texts(:keys));
