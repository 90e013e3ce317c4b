"""The door for DIMSE: services of PS3.4 as thin handlers over the verbs of archive."""
