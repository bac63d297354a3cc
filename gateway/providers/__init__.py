"""Reaches the outside: upstreams, their errors, their prices."""
