"""What the node tells about itself while it works: counters, and the ids that tie log lines together."""
