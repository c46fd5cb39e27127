"""Delivery: what the state keeps for a destination outside is sent there, and each try is recorded."""
