"""Builds prompt packs of training rows and recordings, and proves them."""
