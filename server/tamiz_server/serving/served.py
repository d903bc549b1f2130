"""Which versions are served, and which of them answers a request."""

from __future__ import annotations

from collections.abc import Mapping

from tamiz.inputs_digest import input_changes
from tamiz.v1.prediction_pb2 import PredictResponse
from tamiz_server.engine.engine import Engine
from tamiz_server.errors import InputsChanged, InvalidRequest, ModelNotFound, Unavailable
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.shadow import Beside, Shadow


class Served:
    """One served version: its engine, and the part of every answer that never changes.

    Attributes:
        name, version: the model's name, and the version's number.
        engine: answers its requests.
        prefix: `model_name`, `model_version` and `classes` of a PredictResponse, serialized. Protobuf merges
            messages whose bytes follow one another, so the columns of an answer can be appended.
        inputs_digest: what rows have to be encoded for.
        inputs_changed: what differs from the inputs of a version that had this number before; empty if
            nothing does.
        shadow: sees what is answered; None if nobody does. Only the registry changes it.
    """

    def __init__(self, name: str, version: int, engine: Engine, before: Served | None = None) -> None:
        manifest = engine.model.manifest
        self.name = name
        self.version = version
        self.engine = engine
        self.shadow: Beside | None = None
        self.prefix = PredictResponse(
            model_name=name, model_version=version, classes=manifest.classes
        ).SerializeToString()
        self.inputs_digest = manifest.inputs_digest
        self.inputs_changed = ""
        if before is not None:
            changes = input_changes(before.engine.model.manifest.inputs, manifest.inputs)
            self.inputs_changed = "; ".join(changes) or before.inputs_changed

    def require_inputs(self, digest: str) -> None:
        """Refuse rows that were encoded for other inputs; an empty digest: the request does not say.

        Raises:
            InputsChanged: if the digest is not this version's.
        """
        if digest and digest != self.inputs_digest:
            raise InputsChanged(
                f"the rows were encoded for other inputs than those of model {self.name!r} version"
                f" {self.version} (digest {digest!r}, this version's is {self.inputs_digest}): look the model"
                " up again, encode the rows for the inputs that it lists, and ask again"
            )


class Registry:
    """Every version that is served now. A change takes effect with the next request."""

    def __init__(self, readiness: Readiness) -> None:
        """Serve nothing yet. `find` refuses everything until the server is ready."""
        self._readiness = readiness
        self._served: dict[str, dict[int, Served]] = {}
        self._default: dict[str, int] = {}
        self._labels: dict[str, Mapping[str, int]] = {}
        self._passed_over: dict[str, int | None] = {}

    def add(self, name: str, version: int, engine: Engine) -> Served:
        """Serve a version, in place of the one that had its number."""
        versions = self._served.setdefault(name, {})
        served = versions[version] = Served(name, version, engine, versions.get(version))
        self._choose_default(name)
        return served

    def remove(self, name: str, version: int) -> None:
        """Stop serving a version. Its engine still answers the requests that it has accepted."""
        versions = self._served[name]
        del versions[version]
        if versions:
            self._choose_default(name)
        else:
            for each in (self._served, self._default, self._labels, self._passed_over):
                each.pop(name, None)

    def set_labels(self, name: str, labels: Mapping[str, int]) -> None:
        """Let requests name versions of a model by these labels only. Each version must be served."""
        self._labels[name] = labels

    def set_shadow(self, name: str, version: int | None, shadow: Shadow | None) -> None:
        """Show a model's answers to a shadow, or to nobody.

        Args:
            name: the model's name.
            version: answers only requests that name it; None if there is no such version.
            shadow: sees the answers of all versions that are served now; None for nobody.
        """
        self._passed_over[name] = version
        for served in self._served.get(name, {}).values():
            served.shadow = shadow.beside(served.version, served.engine) if shadow else None
        if name in self._served:
            self._choose_default(name)

    def versions(self) -> list[Served]:
        """Return every served version, sorted by name and version."""
        return [
            self._served[name][version]
            for name in sorted(self._served)
            for version in sorted(self._served[name])
        ]

    def models(self) -> dict[str, list[int]]:
        """Return each served model's name and versions, both sorted."""
        return {name: sorted(self._served[name]) for name in sorted(self._served)}

    def labels(self, name: str) -> Mapping[str, int]:
        """Return a model's labels and the version that each of them names."""
        return self._labels.get(name, {})

    def labels_of(self, served: Served) -> list[str]:
        """Return the labels that name a version, sorted."""
        return sorted(
            label for label, version in self.labels(served.name).items() if version == served.version
        )

    def is_shadow(self, served: Served) -> bool:
        """Return whether a version answers only requests that name it."""
        return self._passed_over.get(served.name) == served.version

    def require_ready(self) -> None:
        """Raise Unavailable as long as no request is answered."""
        if not self._readiness.ready:
            raise Unavailable("the server is loading its models, or stopping; try again, or another replica")

    def find(self, name: str, version: int, label: str = "") -> Served:
        """Return the version that a request names by number or by label.

        A request that names none (0 and empty) gets the highest version that is not a shadow. What is served
        already answers while the rest is being loaded.

        Raises:
            Unavailable: if the version may still be being loaded.
            InvalidRequest: if the request gives both a number and a label.
            ModelNotFound: if the version is not served.
        """
        try:
            return self._find(name, version, label)
        except ModelNotFound:
            self.require_ready()
            raise

    def _find(self, name: str, version: int, label: str) -> Served:
        versions = self._served.get(name)
        if versions is None:
            known = ", ".join(self.models()) or "none"
            raise ModelNotFound(f"no model {name!r}; served: {known}")
        if label:
            version = self._labelled(name, version, label)
        version = version or self._default[name]
        if not version:
            raise ModelNotFound(
                f"model {name!r} has no version for requests that name none: version"
                f" {self._passed_over[name]} is its shadow, and no other is served; name version"
                f" {self._passed_over[name]} to ask it"
            )
        if version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise ModelNotFound(f"no version {version} of model {name!r}; served: {known}")
        return versions[version]

    def _choose_default(self, name: str) -> None:
        """Choose which version answers requests that name none: the highest; 0 if there is only a shadow."""
        passed_over = self._passed_over.get(name)
        self._default[name] = max(
            (version for version in self._served[name] if version != passed_over), default=0
        )

    def _labelled(self, name: str, version: int, label: str) -> int:
        if version:
            raise InvalidRequest(
                f"the request names version {version} and label {label!r}: expected one of them"
            )
        labels = self.labels(name)
        if label not in labels:
            known = ", ".join(sorted(labels)) or "none"
            raise ModelNotFound(f"no label {label!r} of model {name!r}; its labels: {known}")
        return labels[label]
