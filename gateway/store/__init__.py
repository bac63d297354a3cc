"""Reaches the outside: the database. All SQL lives here."""
