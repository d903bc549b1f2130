"""The environment variables that begin with TAMIZ_: which set the server, which are mistakes.

Kubernetes sets some for each service whose name begins with "tamiz", unless enableServiceLinks is false: for
one called tamiz-grpc, TAMIZ_GRPC_PORT=tcp://10.0.0.1:8001 and six more. They are not meant for the server.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tamiz_server.config.config import Config
from tamiz_server.config.setting import flag
from tamiz_server.errors import ConfigError

_PREFIX: Final = "TAMIZ_"
_OF_OTHER_COMMANDS: Final = {"TAMIZ_KEY_PASSPHRASE", "TAMIZ_SERVER", "TAMIZ_TOKEN"}
_ALIKE: Final = 0.75  # of difflib's ratio, from 0 to 1

_OF_KUBERNETES: Final = re.compile(
    r"TAMIZ_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
    r"=.*"
    r"|TAMIZ_([A-Z0-9_]+_)?PORT=(tcp|udp|sctp)://.*"
)


def variable(name: str) -> str:
    """Return a setting's environment variable: max_batch_size → TAMIZ_MAX_BATCH_SIZE."""
    return _PREFIX + name.upper()


_NAMES: Final = {variable(each.name): each.name for each in dataclasses.fields(Config)}


def settings_in(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment sets, by name of the setting. An empty variable sets nothing."""
    return {name: environ[key] for key, name in _NAMES.items() if key in environ and _is_ours(key, environ)}


def require_spelling(environ: Mapping[str, str]) -> None:
    """Check that no variable looks like a setting and is none: whoever set it believes that it holds.

    Raises:
        ConfigError: for the first one, with the name that is probably meant.
    """
    import difflib  # noqa: PLC0415  most environments have nothing to compare

    for key in _unknown(environ):
        near = difflib.get_close_matches(key.removeprefix(_PREFIX).lower(), _NAMES.values(), 1, _ALIKE)
        if near:
            raise ConfigError(
                f"the environment variable {key} sets nothing: did you mean {variable(near[0])}? Rename it,"
                " or unset it"
            )


def ignored(environ: Mapping[str, str]) -> Iterator[str]:
    """Return a warning for the variables that set nothing, for the log at the start."""
    if unknown := list(_unknown(environ)):
        yield f"there are no settings of these names, so they set nothing: {', '.join(unknown)}"
    foreign = [key for key in sorted(environ) if _is_of_kubernetes(key, environ)]
    if foreign:
        yield (
            f"Kubernetes has set these variables for a service, so they are ignored: {', '.join(foreign)}."
            " enableServiceLinks: false in the pod leaves them out"
        )


def naming_variables(error: ConfigError, names: Iterable[str]) -> ConfigError:
    """Return an error about settings that came from the environment: it names the variables, not the flags.

    Args:
        error: names flags.
        names: the settings that came from the environment.
    """
    text = str(error)
    for name in names:
        text = re.sub(rf"(?<!\S){flag(name)}(?=[\s:,]|$)", variable(name), text)
    return ConfigError(text)


def _unknown(environ: Mapping[str, str]) -> Iterator[str]:
    known = _NAMES.keys() | _OF_OTHER_COMMANDS
    for key in sorted(environ):
        if key.startswith(_PREFIX) and key not in known and _is_ours(key, environ):
            yield key


def _is_ours(key: str, environ: Mapping[str, str]) -> bool:
    return bool(environ[key]) and not _is_of_kubernetes(key, environ)


def _is_of_kubernetes(key: str, environ: Mapping[str, str]) -> bool:
    return _OF_KUBERNETES.fullmatch(f"{key}={environ[key]}") is not None
