"""Keeps what a primary answers while it lives."""
