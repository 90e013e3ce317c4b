-- The names that begin with some letters are found in this index alone, which holds their ids besides.
ALTER TABLE person_name DROP CONSTRAINT person_name_alphabetic_ideographic_phonetic_key;
CREATE UNIQUE INDEX person_name_groups ON person_name(alphabetic, ideographic, phonetic) INCLUDE (id);
