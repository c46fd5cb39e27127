"""The pages and the REST API: the real application on a real server, real databases, a real log."""
