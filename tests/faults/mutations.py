"""Mutations of the bytes of a message: seeded, so that a failure can be repeated."""

from __future__ import annotations

from random import Random

_HUGE = (b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x07", b"\x80" * 10, b"\x00")


def mutated(random: Random, messages: list[bytes]) -> bytes:
    """Return one of some messages after one to four changes."""
    message = random.choice(messages)
    for _ in range(random.randint(1, 4)):
        message = random.choice(_CHANGES)(random, message, messages)
    return message[: 1 << 20]


def _flip(random: Random, message: bytes, _: list[bytes]) -> bytes:
    changed = bytearray(message)
    for _ in range(random.randint(1, 8) if changed else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _truncate(random: Random, message: bytes, _: list[bytes]) -> bytes:
    return message[: random.randint(0, len(message))]


def _duplicate(random: Random, message: bytes, _: list[bytes]) -> bytes:
    start, stop = sorted(random.randint(0, len(message)) for _ in range(2))
    return message[:stop] + message[start:stop] * random.randint(1, 20) + message[stop:]


def _splice(random: Random, message: bytes, messages: list[bytes]) -> bytes:
    other = random.choice(messages)
    return message[: random.randint(0, len(message))] + other[random.randint(0, len(other)) :]


def _length(random: Random, message: bytes, _: list[bytes]) -> bytes:
    """Put a huge number where there may have been a length."""
    at = random.randint(0, len(message))
    return message[:at] + random.choice(_HUGE) + message[at + random.randint(0, 2) :]


def _wire_type(random: Random, message: bytes, _: list[bytes]) -> bytes:
    changed = bytearray(message)
    if changed:
        at = random.randrange(len(changed))
        changed[at] = changed[at] & 0xF8 | random.randrange(8)
    return bytes(changed)


def _nest(random: Random, message: bytes, _: list[bytes]) -> bytes:
    """Wrap it in itself, or begin very many groups."""
    number = random.randint(1, 15)
    if random.random() < 0.5:
        return message + bytes([number << 3 | 3]) * random.choice((10, 200, 100_000))
    for _ in range(random.choice((5, 150))):
        size = len(message)
        if size >= 1 << 14:
            break
        message = bytes([number << 3 | 2, size & 0x7F | 0x80, size >> 7]) + message
    return message


def _garbage(random: Random, message: bytes, _: list[bytes]) -> bytes:
    return random.randbytes(random.randint(0, len(message) + 20))


_CHANGES = (_flip, _flip, _truncate, _duplicate, _splice, _length, _wire_type, _nest, _garbage)
