"""A small convolutional network on images of digits: exported, served by a real process, asked over gRPC."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from tamiz_client import Client, InvalidRows
from tamiz_convert import export


@pytest.fixture(scope="module")
def images():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return X[order].reshape(-1, 1, 8, 8).astype(np.float32) / 16, y[order]


@pytest.fixture(scope="module")
def network(images):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8 * 36, 10)
    )
    X, y = torch.tensor(images[0][:700]), torch.tensor(images[1][:700])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(X), y).backward()
        optimizer.step()
    return network.eval()


def test_images_are_answered_as_the_network_and_the_calibrator_say(images, network, tmp_path, start_server):
    X, y = images
    report = export(
        network,
        tmp_path / "models" / "digits" / "1",
        calibration=(X[700:], y[700:]),
        train=X[:700],
        max_error=0.05,
    )
    server = start_server()
    with Client(server.target) as client:
        result = client.predict("digits", X[700:], return_probabilities=True)
        with pytest.raises(InvalidRows, match=r"wants the shape \[rows, 1, 8, 8\]"):
            client.predict("digits", X[700:].reshape(-1, 64))
        surest = int(np.argmax(result.confidence))
        spoiled = X[700 + surest : 701 + surest].copy()
        spoiled[0, 0, 3, 3] = np.nan
        assert result.accepted[surest]
        assert not client.predict("digits", spoiled).accepted[0]
    assert server.stop() == 0
    offline = onnxruntime.InferenceSession(report.path).run(["probabilities"], {"features": X[700:]})[0]
    accepted = offline.max(axis=1) >= report.manifest.threshold.value
    np.testing.assert_array_equal(result.accepted, accepted)
    assert accepted.mean() > 0.5
    with torch.inference_mode():
        labels = network(torch.tensor(X[700:])).argmax(1).numpy()
    assert [label for label, taken in zip(result.labels, accepted, strict=True) if taken] == labels[
        accepted
    ].tolist()
    assert (labels[accepted] != y[700:][accepted]).mean() < 0.05
