-- Where stored objects are that the object store does not have, or does not have at hand.

-- name: add
INSERT INTO spooled(key, node, at) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET node = excluded.node;

-- name: remove
DELETE FROM spooled WHERE key = ?;

-- name: node_of
SELECT node FROM spooled WHERE key = ?;

-- name: behind
SELECT key FROM spooled WHERE node = ? AND key > ? ORDER BY key LIMIT ?;

-- name: by_node
SELECT node, COUNT(*) AS objects, MIN(at) AS since FROM spooled GROUP BY node ORDER BY node;

-- name: any_nearline
SELECT study_instance_uid FROM nearline LIMIT 1;

-- name: nearline_series
SELECT series_instance_uid FROM nearline WHERE study_instance_uid = ?;

-- name: set_nearline
INSERT INTO nearline(study_instance_uid, series_instance_uid, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: set_online
DELETE FROM nearline WHERE study_instance_uid = ? AND series_instance_uid = ?;
