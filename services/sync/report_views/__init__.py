"""The schema tokhub_report, migrated after the tables that its views read."""
