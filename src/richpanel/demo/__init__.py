"""A sample shop: who visits it, what they do, and how its traffic is sent through Segment's own SDK."""
