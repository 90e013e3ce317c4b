-- PostgreSQL's spelling of what it says in another way.

-- name: find
SELECT id, tag, value FROM label
WHERE (tag, value) IN (SELECT (pair ->> 0)::bigint, (pair ->> 1) COLLATE "C" FROM json_array_elements(?::json) AS pair);

-- name: unmark_study
DELETE FROM study_label WHERE rowid = ? AND labels = ?;

-- name: unmark_series
DELETE FROM series_label WHERE rowid = ? AND labels = ?;
