-- Which pairs of letters each patient's name holds, as bits (index.letters), beside the names in the index that is walked:
-- most names that a pattern leaves out are passed over without a look at them. What programs of before write has all bits,
-- which leaves nothing out.
ALTER TABLE study ADD COLUMN patient_letters bigint NOT NULL DEFAULT -1;
DROP INDEX study_date_time;
CREATE INDEX study_date_time ON study(date_time, id)
  INCLUDE (patient_name, referring_physician_name, patient_letters);
CREATE INDEX study_without_letters ON study(id) WHERE patient_letters = -1 AND patient_name IS NOT NULL;
