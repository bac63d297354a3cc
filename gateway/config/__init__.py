"""routes.yaml and settings, as frozen values."""
