"""Sealing of secrets with a ring of keys."""
