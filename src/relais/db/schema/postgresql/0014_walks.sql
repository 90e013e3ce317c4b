-- Studies from the newest to the oldest with their names: what names leave out is passed over in this index alone. It
-- does for what asks for no names, too.
DROP INDEX study_date_time;
CREATE INDEX study_date_time ON study(date_time, id) INCLUDE (patient_name, referring_physician_name);
