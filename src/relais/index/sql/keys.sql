-- Keys that the site declared.

-- name: all
SELECT tag, level, filled_to, is_filled FROM search_key ORDER BY tag;

-- name: filled
SELECT tag FROM search_key WHERE is_filled = 1;

-- name: listed
SELECT tag FROM search_key WHERE level = ?;

-- name: declare
INSERT INTO search_key(tag, level, filled_to, is_filled) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING;

-- name: withdraw
UPDATE search_key SET level = '', is_filled = 0 WHERE tag = ?;

-- name: forget
DELETE FROM search_key WHERE tag = ?;

-- name: reached
UPDATE search_key SET filled_to = ? WHERE tag = ?;

-- name: fill
UPDATE search_key SET is_filled = 1 WHERE tag = ?;

-- name: studies
SELECT id, attributes FROM study WHERE id > ? ORDER BY id LIMIT ?;

-- name: series
SELECT id, attributes FROM series WHERE id > ? ORDER BY id LIMIT ?;

-- name: add_to_study
INSERT INTO study_key(tag, start, row_fk, item, value) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: add_to_series
INSERT INTO series_key(tag, start, row_fk, item, value) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: remove_from_study
DELETE FROM study_key WHERE row_fk = ?;

-- name: remove_from_series
DELETE FROM series_key WHERE row_fk = ?;

-- name: clear_studies
DELETE FROM study_key WHERE tag = :tag AND row_fk IN (SELECT row_fk FROM study_key WHERE tag = :tag LIMIT :limit);

-- name: clear_series
DELETE FROM series_key WHERE tag = :tag AND row_fk IN (SELECT row_fk FROM series_key WHERE tag = :tag LIMIT :limit);
