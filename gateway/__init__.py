"""Understudy: a gateway that keeps answering when a fine-tuned model is gone."""

__version__ = "0.1.0"
