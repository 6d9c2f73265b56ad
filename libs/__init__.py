"""What two or more rooms need."""
