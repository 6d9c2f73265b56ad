"""The tables of the schema reporting; nobody else touches them."""
