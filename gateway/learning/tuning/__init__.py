"""Fine-tuning jobs: what is checked before one, how one is driven, and what its model becomes."""
