"""The protocol's three methods about the model repository: what lies there, load a model, unload it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from google.protobuf.message import Message

from tamiz.oip.inference import (
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    RepositoryModelLoadRequest,
    RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse,
)
from tamiz_server.access.access import CALLER
from tamiz_server.errors import InvalidRequest, ModelNotFound, NotOffered
from tamiz_server.serving.dialect import parse
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.served import Registry
from tamiz_server.telemetry.access_log import Metadata

_log = logging.getLogger(__name__)

_FAILED: Final = "it could not be loaded; the server's log says why"
_NOT_LOADED: Final = "it is not loaded"
_UNLOAD_PARAMETERS: Final = {"unload_dependents"}  # no model here has any


class ModelControl(Protocol):
    """Loads and unloads models at somebody's request."""

    async def load_model(self, name: str) -> None:
        """Serve a model's versions in the repository. Return when they are served.

        Raises:
            TamizError: if they cannot be served; it says why.
        """

    async def unload_model(self, name: str) -> None:
        """Stop serving a model. Return when all accepted requests are answered.

        Raises:
            TamizError: if it cannot be unloaded.
        """

    async def on_disk(self) -> list[tuple[str, int]]:
        """Return name and version of everything in the repository."""


class Repository:
    """RepositoryIndex, RepositoryModelLoad and RepositoryModelUnload; each is a `Method`."""

    def __init__(self, registry: Registry, readiness: Readiness, control: ModelControl | None) -> None:
        """Answer for what a registry serves. Without `control`, the protocol loads and unloads no models."""
        self._registry = registry
        self._readiness = readiness
        self._control = control

    async def index(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a RepositoryIndexRequest: versions served or failed, and in explicit mode all on disk."""
        request = parse(RepositoryIndexRequest, body)
        _require_no_repository_name(request.repository_name)
        on_disk = () if request.ready or self._control is None else await self._control.on_disk()
        response = RepositoryIndexResponse()
        # What is served goes on being served when a changed file of the same version cannot be loaded.
        served = {(each.name, each.version): each.inputs_changed for each in self._registry.versions()}
        failed = frozenset() if request.ready else self._readiness.failed
        for name, version in sorted({*on_disk, *failed, *served}):
            key = name, version
            state = "READY" if key in served else "UNAVAILABLE"
            reason = served.get(key, _FAILED if key in failed else _NOT_LOADED)
            response.models.add(name=name, version=str(version), state=state, reason=reason)
        return response.SerializeToString()

    async def load(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a RepositoryModelLoadRequest, once the model is served."""
        control = self._require_control()
        request = parse(RepositoryModelLoadRequest, body)
        _require_no_repository_name(request.repository_name)
        _require_no_upload(request.parameters)
        _say("load", request.model_name)
        await control.load_model(request.model_name)
        return RepositoryModelLoadResponse().SerializeToString()

    async def unload(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a RepositoryModelUnloadRequest, once the model is served no more."""
        control = self._require_control()
        request = parse(RepositoryModelUnloadRequest, body)
        _require_no_repository_name(request.repository_name)
        _require_known(request.parameters, _UNLOAD_PARAMETERS)
        _say("unload", request.model_name)
        await control.unload_model(request.model_name)
        return RepositoryModelUnloadResponse().SerializeToString()

    def _require_control(self) -> ModelControl:
        """Return what loads; raise NotOffered, and not that the caller may not: it is so for every caller."""
        if self._control is None:
            raise NotOffered(
                "this server follows its model repository; to load and unload models through the protocol,"
                " start it with --model-control-mode explicit"
            )
        return self._control


def _require_no_repository_name(name: str) -> None:
    if name:
        raise ModelNotFound(
            f"no repository {name!r} here: there is one, and it has no name; leave the field empty"
        )


def _require_no_upload(parameters: Mapping[str, Message]) -> None:
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise InvalidRequest(
                f"parameter {name!r} would bring a part of the model with the request. Bundles, and"
                " settings.toml beside them, come from the server's model repository only: put it there, and"
                " load without parameters"
            )
    _require_known(parameters, ())


def _require_known(parameters: Mapping[str, Message], known: Iterable[str]) -> None:
    for name in parameters.keys() - set(known):
        raise InvalidRequest(f"unknown parameter {name!r}: expected {' or '.join(known) or 'none'}")


def _say(what: str, name: str) -> None:
    """Log who changes what is served."""
    caller = CALLER.get()
    by = f"the token {caller.grant.name!r}" if caller else "a caller without a token"
    _log.info("%s of model %r asked for by %s", what, name, by)
