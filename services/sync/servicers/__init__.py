"""Translation between the wire and the core, and nothing else."""
