"""The metadata of calls that server and client have to agree on."""

from __future__ import annotations

from typing import Final

NOT_TAKEN: Final = ("tamiz-not-taken", "1")
"""Goes with UNAVAILABLE where the server did not compute the request: another replica can be asked.

A status alone does not say that. A proxy answers UNAVAILABLE as well when the server behind it died, and
perhaps it died of the request.
"""
