"""What the server says about itself: whether it answers, whether it is stopping, what it could not load."""

from __future__ import annotations

from collections.abc import Iterable


class Readiness:
    """The state of the server.

    The repository publishes what it has loaded, the drain says that the server stops, everybody else reads.
    """

    def __init__(self) -> None:
        """Begin not ready: no model is loaded yet."""
        self._ready = False
        self._stopping = False
        self._failed: frozenset[tuple[str, int]] = frozenset()

    @property
    def ready(self) -> bool:
        """Whether all that was there at the start was tried. Until then what is not served is Unavailable."""
        return self._ready

    @property
    def stopping(self) -> bool:
        """Whether the server is about to stop. Health says NOT_SERVING, but requests are still answered."""
        return self._stopping

    @property
    def failed(self) -> frozenset[tuple[str, int]]:
        """Name and version of everything that could not be loaded."""
        return self._failed

    def publish(self, *, ready: bool, failed: Iterable[tuple[str, int]] = ()) -> None:
        """Say whether requests are answered from now on, and what could not be loaded."""
        self._ready = ready
        self._failed = frozenset(failed)

    def stop(self) -> None:
        """Say that the server is about to stop."""
        self._stopping = True
