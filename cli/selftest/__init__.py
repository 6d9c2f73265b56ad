"""Races and crashes brought about in a running deployment whose provider is the sandbox."""
