"""When a proxy in the environment is in the way of gRPC, and when it is none of our business."""

from __future__ import annotations

import pytest

from tamiz.proxies import is_on_this_machine, proxy_in_the_way
from tamiz_client import RetryPolicy, TlsOptions
from tamiz_client.channel import channel_options

ALL = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "http://proxy:3128")


@pytest.mark.parametrize(
    "target",
    [
        "localhost:8001",
        "LOCALHOST:1",
        "churn.localhost:8001",
        "127.0.0.1:8001",
        "127.9.9.9:8001",
        "[::1]:8001",
        "0.0.0.0:8001",
        "dns:///localhost:8001",
        "dns:localhost:8001",
        "ipv4:127.0.0.1:8001,127.0.0.2:8001",
        "ipv6:[::1]:8001",
        "unix:/run/tamiz.sock",
        "unix:///run/tamiz.sock",
        "unix-abstract:tamiz",
    ],
)
def test_no_proxy_is_between_this_machine_and_itself(target):
    assert is_on_this_machine(target)
    assert proxy_in_the_way(target, ALL) == ""
    assert ("grpc.enable_http_proxy", 0) in channel_options(target, RetryPolicy(), TlsOptions(), 1)


@pytest.mark.parametrize(
    "target", ["churn:8001", "10.0.0.1:8001", "[fd00::1]:8001", "dns:///localhost.example.com:8001"]
)
def test_the_variable_that_grpc_takes_a_proxy_from_is_named(target):
    assert not is_on_this_machine(target)
    assert ("grpc.enable_http_proxy", 0) not in channel_options(target, RetryPolicy(), None, 1)
    assert proxy_in_the_way(target, ALL) == "grpc_proxy"
    assert proxy_in_the_way(target, ALL | {"grpc_proxy": ""}) == "https_proxy"
    assert proxy_in_the_way(target, {"http_proxy": "http://proxy:3128"}) == "http_proxy"
    assert proxy_in_the_way(target, {"HTTP_PROXY": "http://proxy:3128"}) == ""


@pytest.mark.parametrize("spared", ["churn.svc", ".svc", " other, svc ", "svc"])
def test_a_host_that_is_spared_goes_past_the_proxy(spared):
    assert proxy_in_the_way("dns:///churn.svc:8001", ALL | {"no_proxy": spared}) == ""
    assert proxy_in_the_way("churn.svc:8001", ALL | {"no_grpc_proxy": spared, "no_proxy": "x"}) == ""
    assert proxy_in_the_way("churn.cluster:8001", ALL | {"no_proxy": spared}) == "grpc_proxy"
