"""What was read, as equations and counts. Bounds nothing."""
