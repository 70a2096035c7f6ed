"""The spend page: static files that ask the API."""
