-- Storage keys whose bytes shall go.

-- name: wait
-- For every registration that is in flight: each changes this row. It changes nothing itself, but it is written, so that
-- a commit before it whose fate nobody knows cannot come back.
UPDATE totals SET revision = revision;

-- name: add
INSERT INTO condemned(key, at) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: is_history
SELECT 1 FROM superseded WHERE key = ?;

-- name: behind
SELECT key FROM condemned WHERE key > ? ORDER BY key LIMIT ?;

-- name: remove
DELETE FROM condemned WHERE key = ?;
