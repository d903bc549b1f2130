"""The Python client of a Tamiz server."""
