"""Folders on disk, and what is served of them."""
