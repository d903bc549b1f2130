"""Transports: bytes in, bytes out. They do not know any model."""
