"""Relais: an imaging node that receives, keeps, finds, serves and passes on DICOM instances."""

__version__ = "0.1.0"
