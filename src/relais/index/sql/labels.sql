-- Labels and who bears them. The words of study_label and series_label are ids of labels.

-- name: find
-- By the unique index, each of the wanted pairs.
SELECT id, tag, value FROM label WHERE (tag, value) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?));

-- name: add
INSERT INTO label(tag, value) VALUES (?, ?) RETURNING id;

-- name: remove
DELETE FROM label WHERE id = ?;

-- name: mark_study
INSERT INTO study_label(rowid, labels) VALUES (?, ?);

-- name: mark_series
INSERT INTO series_label(rowid, labels) VALUES (?, ?);

-- name: unmark_study
-- FTS5 without content must be told what it is to forget.
INSERT INTO study_label(study_label, rowid, labels) VALUES ('delete', ?, ?);

-- name: unmark_series
INSERT INTO series_label(series_label, rowid, labels) VALUES ('delete', ?, ?);

-- name: borne_by_study
SELECT 1 FROM study_label WHERE study_label MATCH ? LIMIT 1;

-- name: borne_by_series
SELECT 1 FROM series_label WHERE series_label MATCH ? LIMIT 1;
