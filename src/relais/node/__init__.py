"""A running node: its processes, what each is made of, and how they start, watch each other and end.

`compose` puts the parts together as the configuration says, `roles` is what each process does, `supervisor` keeps
them alive, `inline` runs both doors in one process. The only room that configures logging and handles signals.
"""
