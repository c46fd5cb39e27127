"""The server as Segment's own SDKs, a real browser and a real web server see it."""
