"""Imported by a nursery: tokens are counted once, so that its children find the encoding read."""

from gateway.learning.packs.tokens import tokens_of_text

tokens_of_text("once")
