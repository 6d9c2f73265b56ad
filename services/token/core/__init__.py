"""What the service does, in terms of ports."""
