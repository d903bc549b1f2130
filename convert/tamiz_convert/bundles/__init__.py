"""Bundles: one file each, what it says of itself, and how it is run and taken apart again."""
