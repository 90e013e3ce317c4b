"""DICOM itself, as values and pure functions. Knows no socket, no file and no SQL."""
