"""Captures live requests and answers, without what names people."""
