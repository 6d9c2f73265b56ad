"""The parts of the embedded server: its programs, its account, its place on disk and its processes."""
