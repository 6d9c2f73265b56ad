"""Runs of the sync service as their callers follow and show them."""
