"""From a bundle on disk to a verified, running session."""
