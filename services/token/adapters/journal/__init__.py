"""The journal on disk: sealed records in one append-only file a process."""
