-- PostgreSQL's spelling of what it says in another way.

-- name: plain_keys
SELECT key FROM instance WHERE strpos(key, chr(3)) = 0 AND key = ANY(as_texts(:keys))
UNION ALL SELECT key FROM superseded WHERE key = ANY(as_texts(:keys))
  AND NOT EXISTS (SELECT 1 FROM deleted WHERE deleted.instance_fk = superseded.instance_fk);
