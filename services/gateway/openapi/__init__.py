"""The document of the routes: what each answers, and how it refuses."""
