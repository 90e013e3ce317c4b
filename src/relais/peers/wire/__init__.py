"""The DICOM upper layer and DIMSE messages in the thread that uses them: fast, and without a second thread."""
