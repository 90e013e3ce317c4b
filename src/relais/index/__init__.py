"""What the node holds, as rows: registered, looked up, searched. Opens no DICOM file and decides no access."""
