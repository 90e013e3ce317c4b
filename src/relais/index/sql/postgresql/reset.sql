-- PostgreSQL's spelling of what it says in another way. Its indexes look after themselves.

-- name: names

-- name: trigrams

-- name: study_labels
DELETE FROM study_label;

-- name: series_labels
DELETE FROM series_label;
