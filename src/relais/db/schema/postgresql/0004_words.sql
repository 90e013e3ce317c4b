-- Every distinct word of person names: pieces of words too short for trigrams are looked for here, among few rows.
CREATE TABLE person_word(
  word text COLLATE "C" PRIMARY KEY
);
