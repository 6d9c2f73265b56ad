"""What a connection is: values and rules, nothing that waits."""
