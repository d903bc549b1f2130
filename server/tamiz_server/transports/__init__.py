"""Transports: bytes in, bytes out. They know nothing about models."""
