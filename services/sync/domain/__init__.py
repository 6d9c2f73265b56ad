"""What stores, runs and snapshots are, without any way to store or fetch them."""
