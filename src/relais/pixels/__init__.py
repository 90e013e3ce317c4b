"""Frames decoded, shown and transcoded, in processes of their own. The doors and verbs know `workers` only."""
