"""The tables of schema credentials, one change a file."""
