-- Studies from the newest to the oldest with their names: what names leave out is passed over in this index alone.
CREATE INDEX study_names ON study(date_time, id, patient_name, referring_physician_name);
