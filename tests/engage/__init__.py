"""Telling of audiences and computed traits, on a site whose clock a test moves."""
