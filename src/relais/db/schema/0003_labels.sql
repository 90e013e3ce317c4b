-- Labels: every distinct value of the columns that have no index of their own, and which studies and series bear it.
-- A time stands for its minute. What is empty has the label ''.
CREATE TABLE label(
  id INTEGER PRIMARY KEY,
  tag INTEGER NOT NULL,
  value TEXT NOT NULL,
  UNIQUE(tag, value)
) STRICT;
-- The words of a row are the ids of its labels: some two bytes each.
CREATE VIRTUAL TABLE study_label USING fts5(labels, content='', columnsize=0, detail=none, tokenize='ascii');
CREATE VIRTUAL TABLE series_label USING fts5(labels, content='', columnsize=0, detail=none, tokenize='ascii');

CREATE VIEW study_bears AS
SELECT id, 524336 AS tag, iif(study_time GLOB '[0-9]*', substr(study_time, 1, 4) || '00000000', study_time) AS value
FROM study
UNION ALL SELECT id, 1048640, patient_sex FROM study
UNION ALL SELECT id, 1048609, issuer_of_patient_id FROM study
UNION ALL SELECT id, 528432, study_description FROM study;
CREATE VIEW series_bears AS
SELECT id, 2097169 AS tag, iif(series_number IS NULL, '',
  iif(typeof(series_number) = 'integer' AND series_number BETWEEN -4611686018427387903 AND 4611686018427387903,
      CAST(series_number AS TEXT), '~')) AS value FROM series
UNION ALL SELECT id, 528446, series_description FROM series
UNION ALL SELECT id, 524321, series_date FROM series
UNION ALL SELECT id, 524337,
  iif(series_time GLOB '[0-9]*', substr(series_time, 1, 4) || '00000000', series_time) FROM series
UNION ALL SELECT id, 4194884, performed_procedure_step_start_date FROM series
UNION ALL SELECT id, 4194885, iif(performed_procedure_step_start_time GLOB '[0-9]*',
  substr(performed_procedure_step_start_time, 1, 4) || '00000000', performed_procedure_step_start_time) FROM series
UNION ALL SELECT id, 1572885, body_part_examined FROM series
UNION ALL SELECT id, 2097248, laterality FROM series
UNION ALL SELECT id, 524400, manufacturer FROM series
UNION ALL SELECT id, 528528, manufacturer_model_name FROM series
UNION ALL SELECT id, 528400, station_name FROM series
UNION ALL SELECT id, 524416, institution_name FROM series;

INSERT OR IGNORE INTO label(tag, value) SELECT tag, value FROM study_bears;
INSERT OR IGNORE INTO label(tag, value) SELECT tag, value FROM series_bears;
INSERT INTO study_label(rowid, labels)
SELECT study.id, (SELECT group_concat(label.id, ' ') FROM study_bears AS bears JOIN label USING (tag, value)
                  WHERE bears.id = study.id) FROM study;
INSERT INTO series_label(rowid, labels)
SELECT series.id, (SELECT group_concat(label.id, ' ') FROM series_bears AS bears JOIN label USING (tag, value)
                   WHERE bears.id = series.id) FROM series;
DROP VIEW study_bears;
DROP VIEW series_bears;

-- Descriptions are labels now.
DROP TABLE study_trigram;
CREATE VIRTUAL TABLE study_trigram USING fts5(
  patient_id, accession_number,
  content='study', content_rowid='id', tokenize='trigram case_sensitive 1', columnsize=0
);
INSERT INTO study_trigram(study_trigram) VALUES ('rebuild');
