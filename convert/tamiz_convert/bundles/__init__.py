"""Bundles: their files, their manifests, how they are run, and how they are taken apart."""
