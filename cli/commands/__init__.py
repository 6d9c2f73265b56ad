"""What can be asked: one module a group of commands, which calls services and hands the answers to its view."""
