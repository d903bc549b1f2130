"""Settings: a flag overrides the environment, which overrides the default; all are checked at the start."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tamiz_server.config.config import Config
from tamiz_server.config.flags import _GROUPS, parse_config
from tamiz_server.config.setting import flag, setting
from tamiz_server.config.variables import ignored, variable
from tamiz_server.errors import ConfigError


def parse(tmp_path, *argv, **environ):
    return parse_config(["--model-repository", str(tmp_path), *argv], environ)


def test_the_flag_wins_over_the_environment_and_that_over_the_default(tmp_path):
    assert parse(tmp_path).grpc_port == 8001
    assert parse(tmp_path, TAMIZ_GRPC_PORT="9001").grpc_port == 9001
    assert parse(tmp_path, "--grpc-port", "7001", TAMIZ_GRPC_PORT="9001").grpc_port == 7001


def test_the_repository_can_come_from_the_environment(tmp_path):
    assert parse_config([], {"TAMIZ_MODEL_REPOSITORY": str(tmp_path)}).model_repository == tmp_path


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--reveal-abstained"], True),
        (["--reveal-abstained=true"], True),
        (["--reveal-abstained=no"], False),
        (["--reveal-abstained", "--no-reveal-abstained"], False),
        ([], False),
    ],
)
def test_a_switch_can_be_turned_both_ways(tmp_path, argv, expected):
    assert parse(tmp_path, *argv).reveal_abstained is expected


@pytest.mark.parametrize("field", dataclasses.fields(Config), ids=lambda field: field.name)
def test_every_field_is_a_flag_and_a_variable_with_a_help_text(tmp_path, field):
    assert setting(field).help
    value = str(tmp_path) if field.name == "model_repository" else str(field.default)
    base = {} if field.name == "model_repository" else {"TAMIZ_MODEL_REPOSITORY": str(tmp_path)}
    by_flag = parse_config([flag(field.name), value], base)
    by_variable = parse_config([], base | {variable(field.name): value})
    assert by_flag == by_variable == Config(model_repository=tmp_path)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--grpc-port", "eight"], "--grpc-port is 'eight': expected a whole number"),
        (["--model-control-mode", "none"], "--model-control-mode is 'none': expected one of poll, explicit"),
        (["--load-model", "m"], "--load-model needs --model-control-mode explicit"),
        (
            ["--model-control-mode", "explicit", "--load-model", "m", "--load-model", "*"],
            r"--load-model is 'm,\*': expected names of models, or \* alone",
        ),
        (["--grpc-port", "70000"], "--grpc-port is 70000: expected from 0 to 65535"),
        (["--grpc-port", "8002"], "are both 8002: choose two ports"),
        (["--max-batch-size", "0"], "--max-batch-size is 0: expected from 1 to 2147483647"),
        (["--max-queue-delay-us", "-1"], "--max-queue-delay-us is -1: expected from 0 to 2147483647"),
        (["--drain-delay-s", "soon"], "--drain-delay-s is 'soon': expected a number"),
        (["--drain-delay-s", "nan"], "--drain-delay-s is nan"),
        (["--reflection=maybe"], "--reflection is 'maybe': expected true or false"),
        (["--host", "localhost"], "--host is 'localhost': expected an IP address"),
        (
            ["--host", "[::1]"],
            r"--host is '\[::1\]': expected an IP address such as 127.0.0.1, 0.0.0.0 or ::",
        ),
        (["--host", ""], "--host is '': expected an IP address"),
        (["--host", "unix:run/grpc.sock"], "expected .*, or unix: and an absolute path"),
        (["--host", "unix:/" + 107 * "x"], "expected .*, or unix: and an absolute path"),
        (["--host", "unix:/run/a.sock"], "--host is unix:/run/a.sock: give --metrics-host too"),
        (["--host", "unix:/a", "--metrics-host", "unix:///a"], "are both unix:/a: choose two sockets"),
        (["--metrics-host", "::", "--metrics-port", "8001"], "are both 8001: choose two ports"),
        (["--http-port", "-2"], "--http-port is -2: expected from -1 to 65535"),
        (["--http-port", "8001"], "--grpc-port and --http-port are both 8001: choose two ports"),
        (["--http-port", "8002"], "--metrics-port and --http-port are both 8002: choose two ports"),
        (["--http-port", "8001", "--http-host", "::"], "--grpc-port and --http-port are both 8001"),
        (["--http-host", "::1"], "--http-host needs --http-port"),
        (
            ["--http-port", "0", "--host", "unix:/a", "--metrics-host", "::"],
            "unix:/a would be the socket of HTTP too: give --http-host",
        ),
        (["--take-compressed"], "--take-compressed needs --transport h2 or --http-port"),
        (["--version-policy", "newest"], "--version-policy is 'newest': expected all, latest, or latest:N"),
        (["--model-poll-interval-s", "-1"], "--model-poll-interval-s is -1.0: expected from 0 to 2147483"),
        (["--access-log-share", "1e-320"], "--access-log-share is 1e-320: expected 0, or from 1e-09 to 1"),
        (["--log-level", "loud"], "expected one of debug, info, warning, error"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(tmp_path, argv, message):
    with pytest.raises(ConfigError, match=message):
        parse(tmp_path, *argv)


NUMBERS = [
    each.name
    for each in dataclasses.fields(Config)
    if isinstance(each.default, (int, float)) and not isinstance(each.default, bool)
]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_an_upper_bound_that_is_named(tmp_path, name):
    for value in ("inf", "1e300") if name.endswith(("_s", "_share")) else ("9" * 30,):
        with pytest.raises(
            ConfigError, match=rf"^{flag(name)} is .*: expected (0, or )?from [\de-]+ to \d+$"
        ):
            parse(tmp_path, flag(name), value)


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        ([], set()),
        (["--load-model", "*"], {"*"}),
        (["--load-model", "a, b"], {"a", "b"}),
        (["--load-model", "a", "--load-model=b", "--load-model", "c"], {"a", "b", "c"}),
    ],
)
def test_models_to_load_are_given_with_commas_or_one_by_one(tmp_path, argv, names):
    config = parse(tmp_path, "--model-control-mode", "explicit", *argv)
    assert config.is_explicit
    assert config.models_to_load == names


def test_a_repository_that_is_missing_or_no_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match="--model-repository is missing"):
        parse_config([], {})
    with pytest.raises(ConfigError, match="nowhere': expected a folder of bundles"):
        parse_config(["--model-repository", str(tmp_path / "nowhere")], {})


def test_a_socket_takes_no_port(tmp_path):
    config = parse(
        tmp_path, "--host", "unix:/run/a", "--metrics-host", "unix:/run/b", "--metrics-port", "8001"
    )
    assert (config.host, config.pages_host) == ("unix:/run/a", "unix:/run/b")
    assert parse(tmp_path, "--host", "unix:/run/a", "--metrics-host", "::1").pages_host == "::1"


def test_http_is_off_or_beside_the_other_ports(tmp_path):
    assert not parse(tmp_path).has_http
    assert parse(tmp_path, "--http-port", "8000").requests_host == "127.0.0.1"
    config = parse(tmp_path, "--http-port", "8001", "--http-host", "::1", "--take-compressed")
    assert (config.has_http, config.requests_host) == (True, "::1")
    assert parse(tmp_path, "--http-port", "0", "--http-host", "unix:/run/c").requests_host == "unix:/run/c"


@pytest.mark.parametrize("name", ["TAMIZ_GRPC_PROT", "TAMIZ_TOKEN_FILE", "TAMIZ_REQUIRE_SIGNATURES"])
def test_a_misspelt_variable_is_an_error_that_names_the_one_that_is_meant(tmp_path, name):
    meant = {"PROT": "TAMIZ_GRPC_PORT", "FILE": "TAMIZ_TOKENS_FILE", "URES": "TAMIZ_REQUIRE_SIGNATURE"}
    with pytest.raises(
        ConfigError, match=f"variable {name} sets nothing: did you mean {meant[name[-4:]]}\\?"
    ):
        parse(tmp_path, **{name: "x"})
    assert parse(tmp_path, **{name: ""}) == parse(tmp_path)


OF_KUBERNETES = {
    "TAMIZ_GRPC_PORT": "tcp://10.0.0.1:8500",
    "TAMIZ_METRICS_PORT": "udp://[fd00::1]:8500",
    "TAMIZ_PORT": "tcp://10.0.0.1:8500",
    "TAMIZ_PORT_8500_TCP": "tcp://10.0.0.1:8500",
    "TAMIZ_GRPC_PORT_8500_TCP_PORT": "8500",
    "TAMIZ_GRPC_PORT_8500_TCP_ADDR": "10.0.0.1",
    "TAMIZ_SERVICE_HOST": "10.0.0.1",
    "TAMIZ_SERVER_SERVICE_PORT_GRPC_WEB": "8500",
}


def test_the_variables_of_kubernetes_for_a_service_set_nothing_and_are_named(tmp_path):
    assert parse(tmp_path, **OF_KUBERNETES) == parse(tmp_path)
    (warning,) = ignored(OF_KUBERNETES | {"TAMIZ_HOST": "::1", "TAMIZ_TOKEN": "x"})
    assert ", ".join(sorted(OF_KUBERNETES)) in warning
    assert "enableServiceLinks: false" in warning


def test_a_variable_that_resembles_no_setting_sets_nothing_and_is_named(tmp_path):
    assert parse(tmp_path, TAMIZ_TEAM="x", HOME="/") == parse(tmp_path)
    (warning,) = ignored({"TAMIZ_TEAM": "x", "HOME": "/"})
    assert warning.endswith("set nothing: TAMIZ_TEAM")


@pytest.mark.parametrize(
    ("argv", "environ", "message"),
    [
        ([], {"TAMIZ_GRPC_PORT": "x"}, "^TAMIZ_GRPC_PORT is 'x': expected a whole number$"),
        ([], {"TAMIZ_HOST": "localhost"}, "^TAMIZ_HOST is 'localhost': expected an IP"),
        (
            ["--grpc-port", "9"],
            {"TAMIZ_METRICS_PORT": "9"},
            "^--grpc-port and TAMIZ_METRICS_PORT are both 9: ",
        ),
        (["--grpc-port", "x"], {"TAMIZ_GRPC_PORT": "9"}, "^--grpc-port is 'x': expected a whole number$"),
    ],
)
def test_an_error_names_the_variable_if_the_value_came_from_it(tmp_path, argv, environ, message):
    with pytest.raises(ConfigError, match=message):
        parse(tmp_path, *argv, **environ)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--grpc-prot=1"], "unrecognized arguments: --grpc-prot=1 (did you mean --grpc-port?)"),
        (["--grpc-port"], "argument --grpc-port: expected one argument"),
        (["everything"], "unrecognized arguments: everything"),
    ],
)
def test_a_wrong_flag_is_one_line(tmp_path, capsys, argv, line):
    with pytest.raises(SystemExit, match="2"):
        parse(tmp_path, *argv)
    assert capsys.readouterr().err == f"tamiz-server: {line}; tamiz-server --help lists the flags\n"


@pytest.mark.parametrize(
    ("argv", "advice"),
    [
        (["models"], "that is a command of the client: tamiz-client models"),
        (["predict", "churn"], "that is a command of the client: tamiz-client predict"),
        (["helth"], "did you mean tamiz-server health?"),
        (["lable", "churn", "stable", "2"], "did you mean tamiz-server label?"),
        (["--grpc-port", "1", "label", "m", "stable", "2"], "the command comes first: tamiz-server label …"),
        (["--no-reflection", "health"], "tamiz-server --help lists the flags"),  # it may be a flag's value
        (["--otlp-endpoint", "token", "--prot=1"], "tamiz-server --help lists the flags"),
    ],
)
def test_a_command_that_is_meant_is_named(tmp_path, capsys, argv, advice):
    with pytest.raises(SystemExit, match="2"):
        parse(tmp_path, *argv)
    said = capsys.readouterr().err
    assert said.endswith(f"; {advice}\n")
    assert said.count("\n") == 1


def test_the_help_has_every_flag_once_in_a_group_and_says_what_it_takes(tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        parse(tmp_path, "--help")
    help_ = capsys.readouterr().out
    for line in (
        "--grpc-port PORT",
        "--drain-delay-s SECONDS",
        "--model-repository FOLDER",
        "--tls-key FILE",
        "--max-queue-bytes BYTES",
        "--max-queue-delay-us MICROSECONDS",
        "--host ADDRESS",
        "--log-format auto|text|json",
        "--reflection [BOOL]",
        "--access-log-share SHARE",
        "--otlp-endpoint URL",
    ):
        assert f"\n  {line}" in help_
    assert len(re.findall(r"^  --[a-z]", help_, re.MULTILINE)) == len(dataclasses.fields(Config)) + 1
    assert re.findall(r"^(\S.*):$", help_, re.MULTILINE)[1:] == list(_GROUPS.values())


def test_an_abbreviated_flag_is_refused_so_that_new_flags_break_nobody(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse(tmp_path, "--grpc", "1")
