"""Takes calls in: authenticates, reads, parses, appends to the log, answers."""
