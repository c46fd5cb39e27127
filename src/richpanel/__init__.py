"""Segment calls become customers with a timeline, and are delivered to Richpanel."""

__version__ = "0.1.0"
