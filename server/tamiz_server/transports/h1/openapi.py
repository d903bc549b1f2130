"""`/openapi.json`: what can be asked over HTTP, as OpenAPI has it."""

from __future__ import annotations

import json
from importlib.resources import files

from tamiz_server.serving.endpoints import Asked, Endpoint, Reply, json_reply

PATH = "/openapi.json"


def openapi(server_version: str) -> Endpoint:
    """Return the endpoint that describes all others."""
    document = json.loads(files(__package__).joinpath("openapi.json").read_text("utf-8"))
    document["info"]["version"] = server_version
    reply = json_reply(document)

    async def answer(asked: Asked) -> Reply:  # noqa: ARG001  it is the same for everybody
        return reply

    return Endpoint("GET", PATH, PATH, answer)
