"""Who may do what, and the record of who did. The only place where a release is decided."""
