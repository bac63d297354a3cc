"""Decides; pure: no I/O, no clock, no await, no logging, no metrics."""
