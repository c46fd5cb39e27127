"""Processing: real records in a real log, applied to real databases, looked at through what the pages read."""
