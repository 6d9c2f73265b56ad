"""What is shown: answers of services as tables and sentences; nothing here calls anybody."""
