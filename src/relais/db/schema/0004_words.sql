-- Every distinct word of person names: pieces of words too short for trigrams are looked for here, among few rows.
CREATE TABLE person_word(
  word TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO person_word(word) SELECT DISTINCT word FROM person_name_word;
