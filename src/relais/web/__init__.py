"""The web door: DICOMweb as Flask views, thin. Each parses, calls one verb of archive, and formats."""
