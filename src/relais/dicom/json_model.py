"""The DICOM JSON model (PS3.18 F), both ways."""

from typing import Any

JsonDataset = dict[str, dict[str, Any]]  # tag as eight hex digits -> {"vr": ..., "Value": [...]} (PS3.18 F.2.2)
