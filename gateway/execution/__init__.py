"""The request, in order."""
