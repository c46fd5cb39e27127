"""Delivery outside, against real servers on this machine."""
