-- What offsets from UTC studies tell, in minutes, each once (index.offsets). None is ever forgotten: there are few.
CREATE TABLE utc_offset(
  minutes bigint PRIMARY KEY
);
-- Studies that tell an offset (bit 16 of "present") which may not be among them: bit 62 says that it is. Programs of before
-- leave it out, so that whatever they write is found here.
CREATE INDEX study_offset ON study(id) WHERE (present & 65536) <> 0 AND (present & 4611686018427387904) = 0;
-- Patients in order with their names: what names leave out is passed over in this index alone.
DROP INDEX study_patient_id;
CREATE INDEX study_patient_id ON study(patient_id, issuer_of_patient_id, date_time, id) INCLUDE (patient_name);
-- Pieces of words are looked for here, too.
CREATE INDEX person_word_letters ON person_word USING gin (word gin_trgm_ops);
