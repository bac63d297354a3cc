"""Decides whether a fallback is good enough, and reports how that was found."""
