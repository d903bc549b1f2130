"""tritonclient loads and unloads the models of a server in explicit mode, while others are answered without
an error.

The first argument is the server's address, the second a folder: `models/` is the server's repository, of
which it has loaded m/1 at the start, `staging/` holds versions to move there. The third is a token with all
rights, the fourth one that may only predict.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

TARGET, FOLDER = sys.argv[1], Path(sys.argv[2])
ADMIN, CALLER = ({"authorization": f"Bearer {token}"} for token in sys.argv[3:])
MODELS, STAGING = FOLDER / "models", FOLDER / "staging"
NOT_LOADED = "it is not loaded"


class Callers:
    """They ask m without a pause and without retries, until they are told to stop."""

    def __init__(self, n_callers: int) -> None:
        self.failures: list[str] = []
        self.versions: Counter[str] = Counter()
        self.last: dict[int, str] = {}
        self._stop = False
        self._threads = [threading.Thread(target=self._ask, args=(k,)) for k in range(n_callers)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        with triton.InferenceServerClient(TARGET) as client:
            while not self._stop:
                try:
                    answer = infer(client, "m").get_response()
                except InferenceServerException as error:
                    self.failures.append(str(error))
                    time.sleep(0.01)
                    continue
                self.versions[answer.model_version] += 1
                self.last[number] = answer.model_version

    def wait_for(self, version: str) -> None:
        """Return when a caller was answered that began after now; all new calls are for this version."""
        seen = self.versions[version]
        until_s = time.monotonic() + 60
        while self.versions[version] < seen + len(self._threads):
            assert time.monotonic() < until_s, (self.last, self.failures[:3])
            time.sleep(0.005)

    def finish(self) -> None:
        self._stop = True
        for thread in self._threads:
            thread.join()


def features() -> triton.InferInput:
    sent = triton.InferInput("features", [1, 2], "FP32")
    sent.set_data_from_numpy(np.array([[0, 3]], dtype=np.float32))
    return sent


def infer(client: triton.InferenceServerClient, name: str) -> triton.InferResult:
    return client.infer(
        name, [features()], outputs=[triton.InferRequestedOutput("threshold")], headers=CALLER
    )


def threshold(client: triton.InferenceServerClient, name: str = "m") -> float:
    return float(infer(client, name).as_numpy("threshold")[0])


def failure(call: Callable[[], object]) -> InferenceServerException:
    try:
        answer = call()
    except InferenceServerException as error:
        return error
    raise AssertionError(f"expected an error, got {answer}")


def refused(call: Callable[[], object], code: str, words: str) -> None:
    error = failure(call)
    assert error.status() == f"StatusCode.{code}", error
    assert words in error.message(), error


def index(client: triton.InferenceServerClient) -> dict[str, str]:
    """Return the reason of every version; it is empty of those that are ready."""
    models = client.get_model_repository_index(headers=CALLER).models
    assert all(each.state == ("UNAVAILABLE" if each.reason else "READY") for each in models)
    return {f"{each.name}/{each.version}": each.reason for each in models}


def check_rights(client: triton.InferenceServerClient) -> None:
    for call in (client.load_model, client.unload_model):
        refused(lambda call=call: call("m"), "UNAUTHENTICATED", "a token is needed")
        refused(
            lambda call=call: call("m", headers=CALLER),
            "PERMISSION_DENIED",
            "does not give the right to admin",
        )
    assert client.is_model_ready("m")


def check_uploads_are_refused(client: triton.InferenceServerClient) -> None:
    words = "come from the server's model repository only"
    refused(lambda: client.load_model("other", headers=ADMIN, config="{}"), "INVALID_ARGUMENT", words)
    files = {"file:1/model.onnx": b"bytes"}
    refused(
        lambda: client.load_model("other", headers=ADMIN, config="{}", files=files), "INVALID_ARGUMENT", words
    )


def check_loading_another(client: triton.InferenceServerClient) -> None:
    assert index(client) == {"broken/1": NOT_LOADED, "m/1": "", "other/1": NOT_LOADED}
    assert not client.is_model_ready("other")
    refused(lambda: infer(client, "other"), "NOT_FOUND", "served: m")
    client.load_model("other", headers=ADMIN)
    assert client.is_model_ready("other")
    assert infer(client, "other").get_response().model_version == "1"
    client.unload_model("other", headers=ADMIN, unload_dependents=True)
    assert not client.is_model_ready("other")
    refused(lambda: infer(client, "other"), "NOT_FOUND", "served: m")
    assert index(client)["other/1"] == NOT_LOADED


def check_failures(client: triton.InferenceServerClient) -> None:
    refused(lambda: client.load_model("nobody", headers=ADMIN), "NOT_FOUND", "there are: broken, m, other")
    refused(lambda: client.unload_model("nobody", headers=ADMIN), "NOT_FOUND", "there are: broken, m, other")
    refused(lambda: client.load_model("broken", headers=ADMIN), "FAILED_PRECONDITION", "broken/1/model.onnx")
    assert not client.is_model_ready("broken")
    assert index(client)["broken/1"] == "it could not be loaded; the server's log says why"
    assert client.is_server_ready()


def check_reloading(client: triton.InferenceServerClient, callers: Callers) -> None:
    """A new version, then thirty contents of it, one of them broken: calls after a reload get the new one."""
    (MODELS / "m/2").mkdir()
    for k, staged in enumerate(sorted(STAGING.iterdir())):
        staged.replace(MODELS / "m/2/model.onnx")
        if not k:
            callers.wait_for("1")
            assert index(client)["m/2"] == NOT_LOADED
        elif k == 10:
            whole = (MODELS / "m/2/model.onnx").read_bytes()
            (MODELS / "m/2/model.onnx").write_bytes(whole[:200])
            refused(
                lambda: client.load_model("m", headers=ADMIN),
                "FAILED_PRECONDITION",
                "served of model 'm': 1, 2",
            )
            assert threshold(client) == (500 + k - 1) / 1000
            (MODELS / "m/2/model.onnx").write_bytes(whole)
        client.load_model("m", headers=ADMIN)
        assert threshold(client) == (500 + k) / 1000
    callers.wait_for("2")


def check_unloading_the_last(client: triton.InferenceServerClient) -> None:
    """Every call under way is answered, or learns that the model no longer exists."""
    outcomes: list[str] = []
    done = threading.Semaphore(0)

    def note(result: triton.InferResult | None, error: InferenceServerException | None) -> None:
        outcomes.append(error.status() if error else "OK")
        done.release()

    for _ in range(40):
        client.async_infer("m", [features()], note, headers=CALLER)
    client.unload_model("m", headers=ADMIN)
    for _ in range(40):
        assert done.acquire(timeout=60)
    assert set(outcomes) <= {"OK", "StatusCode.NOT_FOUND"}, outcomes
    refused(lambda: infer(client, "m"), "NOT_FOUND", "served: none")
    assert client.is_server_ready()
    shutil.rmtree(MODELS / "m/1")
    client.load_model("m", headers=ADMIN)
    assert index(client)["m/2"] == ""
    assert infer(client, "m").get_response().model_version == "2"


def main() -> None:
    with triton.InferenceServerClient(TARGET) as client:
        assert client.is_server_ready()
        assert "model_repository" in client.get_server_metadata(headers=CALLER).extensions
        callers = Callers(3)
        try:
            check_rights(client)
            check_uploads_are_refused(client)
            check_loading_another(client)
            check_failures(client)
            check_reloading(client, callers)
        finally:
            callers.finish()
        assert not callers.failures, callers.failures[:3]
        assert callers.versions["1"] > 20
        assert callers.versions["2"] > 20
        check_unloading_the_last(client)


if __name__ == "__main__":
    main()
