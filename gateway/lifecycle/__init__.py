"""What is known of models: published dates, and what probes find."""
