-- The dictionary of person names.

-- name: find
-- By the unique index.
SELECT id FROM person_name WHERE alphabetic = ? AND ideographic = ? AND phonetic = ?;

-- name: add
INSERT INTO person_name(alphabetic, ideographic, phonetic) VALUES (?, ?, ?) RETURNING id;

-- name: add_trigrams
INSERT INTO person_name_trigram(rowid, alphabetic, ideographic, phonetic) VALUES (?, ?, ?, ?);

-- name: add_word
INSERT INTO person_name_word(word, name_fk) VALUES (?, ?);

-- name: add_distinct_word
INSERT INTO person_word(word) VALUES (?) ON CONFLICT DO NOTHING;

-- name: words
SELECT word FROM person_name_word WHERE name_fk = ?;

-- name: remove_distinct_word
-- If it is in no name any more.
DELETE FROM person_word WHERE word = :word AND NOT EXISTS (SELECT 1 FROM person_name_word WHERE word = :word);

-- name: is_borne
-- Both columns have an index that begins with the name.
SELECT 1 FROM study WHERE patient_name = :name
UNION ALL
SELECT 1 FROM study WHERE referring_physician_name = :name
LIMIT 1;

-- name: keys
SELECT alphabetic, ideographic, phonetic FROM person_name WHERE id = ?;

-- name: remove_trigrams
-- FTS5 with external content must be told what it is to forget.
INSERT INTO person_name_trigram(person_name_trigram, rowid, alphabetic, ideographic, phonetic)
VALUES ('delete', ?, ?, ?, ?);

-- name: remove_words
DELETE FROM person_name_word WHERE name_fk = ?;

-- name: remove
DELETE FROM person_name WHERE id = ?;
