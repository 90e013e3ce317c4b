-- The change feed.

-- name: since
-- An instance's UIDs and key are in its row or its series' pack while it lives, in "deleted" afterwards.
SELECT change.revision, change.at, change.kind, change.instance_fk,
       coalesce(live.study_instance_uid, deleted.study_instance_uid) AS study_instance_uid,
       coalesce(live.series_instance_uid, deleted.series_instance_uid) AS series_instance_uid,
       coalesce(live.sop_instance_uid, deleted.sop_instance_uid) AS sop_instance_uid,
       coalesce(live.key, deleted.key) AS key
FROM change
LEFT JOIN instance_row AS live ON live.id = change.instance_fk
LEFT JOIN deleted ON deleted.instance_fk = change.instance_fk
WHERE change.revision > ? ORDER BY change.revision LIMIT ?;

-- name: deletions
-- What was deleted behind one revision, up to another.
SELECT deleted.study_instance_uid, deleted.series_instance_uid, deleted.sop_instance_uid
FROM change JOIN deleted ON deleted.instance_fk = change.instance_fk
WHERE change.revision > ? AND change.revision <= ? AND change.kind = 'deleted';

-- name: latest
SELECT revision FROM totals;

-- name: latest_at
SELECT at FROM change WHERE revision = (SELECT revision FROM totals);

-- name: name
SELECT name FROM feed;

-- name: give_name
-- Or the one that another process has given meanwhile.
INSERT INTO feed(id, name) VALUES (1, ?) ON CONFLICT(id) DO UPDATE SET name = feed.name RETURNING name;

-- name: was_dropped
-- By its own index: deleted keys are kept whole.
SELECT 1 FROM deleted WHERE key = :key
UNION ALL SELECT 1 FROM condemned WHERE key = :key
UNION ALL SELECT 1 FROM superseded JOIN deleted USING (instance_fk) WHERE superseded.key = :key;
