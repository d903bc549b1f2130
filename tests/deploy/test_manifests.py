"""deploy/kubernetes and deploy/kserve: valid for Kubernetes, restricted, and true of the server.

Kubernetes' own kinds are checked against its published schemas. For PodMonitor, PrometheusRule,
ClusterServingRuntime and InferenceService no schema is used: `OTHERS` lists the allowed fields, and anything
else is refused. These four have not been tried in a cluster or with an operator.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tamiz_server.access.access import OPEN
from tamiz_server.config.config import Config
from tamiz_server.config.flags import parse_config, variable
from tamiz_server.telemetry.metrics import metric_table

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
PAGE = (ROOT / "deploy/README.md").read_text()
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
MODELS = sorted(path.name for path in (KUBERNETES / "components").glob("models-*"))
BUILDS = [*OVERLAYS, *MODELS, "kserve"]
VERSIONS = ["1.30", kubernetes_validate.latest_version()]

ALIVE, SERVER = "grpc.health.v1.Health", ""
OF_KSERVE = {"model", "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
"""Of a predictor, what is not of its pod."""
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",  # since Kubernetes 1.33
    "persistentVolumeClaim",
    "projected",
    "secret",
}
"""The sources that pod security `restricted` lets in."""


def _object(required=(), **properties):
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


TEXT, COUNT, LABELS = (
    {"type": "string"},
    {"type": "integer"},
    {"type": "object", "additionalProperties": {"type": "string"}},
)
RULE = _object(
    ["expr"],
    alert=TEXT,
    record=TEXT,
    expr={"type": ["string", "integer"]},
    labels=LABELS,
    annotations=LABELS,
    **{"for": TEXT, "keep_firing_for": TEXT},
)
RELABELING = _object(
    ["sourceLabels", "targetLabel"],
    sourceLabels={"type": "array", "items": TEXT},
    regex=TEXT,
    replacement=TEXT,
    targetLabel=TEXT,
)
SECRET_KEY = _object(["name", "key"], name=TEXT, key=TEXT)
FORMAT = _object(["name"], name=TEXT, version=TEXT, autoSelect={"type": "boolean"})
OTHERS = {
    "PodMonitor": (
        "monitoring.coreos.com/v1",
        _object(
            ["selector", "podMetricsEndpoints"],
            selector=_object(["matchLabels"], matchLabels=LABELS),
            podMetricsEndpoints={
                "type": "array",
                "minItems": 1,
                "items": _object(
                    ["port"],
                    port=TEXT,
                    path=TEXT,
                    interval=TEXT,
                    scheme={"enum": ["http", "https"]},
                    tlsConfig=_object(
                        ["serverName", "ca"], serverName=TEXT, ca=_object(["secret"], secret=SECRET_KEY)
                    ),
                    authorization=_object(["credentials"], credentials=SECRET_KEY),
                    relabelings={"type": "array", "items": RELABELING},
                ),
            },
        ),
    ),
    "PrometheusRule": (
        "monitoring.coreos.com/v1",
        _object(
            groups={
                "type": "array",
                "items": _object(
                    ["name", "rules"],
                    name=TEXT,
                    interval=TEXT,
                    labels=LABELS,
                    rules={"type": "array", "items": RULE},
                ),
            }
        ),
    ),
    "ClusterServingRuntime": (
        "serving.kserve.io/v1alpha1",
        _object(
            ["containers", "supportedModelFormats", "protocolVersions"],
            annotations=LABELS,
            supportedModelFormats={"type": "array", "minItems": 1, "items": FORMAT},
            protocolVersions={"type": "array", "items": {"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]}},
            containers={"type": "array", "minItems": 1},  # containers of Kubernetes, held to its schema below
        ),
    ),
    "InferenceService": (
        "serving.kserve.io/v1beta1",
        _object(
            ["predictor"],
            predictor=_object(
                ["model"],
                minReplicas=COUNT,
                maxReplicas=COUNT,
                scaleMetric={"enum": ["cpu", "memory"]},  # all that there is without Knative
                scaleTarget=COUNT,
                # What follows is of a pod, and held to the schema of Kubernetes below.
                automountServiceAccountToken={"type": "boolean"},
                enableServiceLinks={"type": "boolean"},
                terminationGracePeriodSeconds=COUNT,
                topologySpreadConstraints={"type": "array", "minItems": 1},
                model=_object(
                    ["modelFormat", "storageUri"],
                    modelFormat=_object(["name"], name=TEXT, version=TEXT),
                    protocolVersion={"const": "grpc-v2"},
                    runtime=TEXT,
                    storageUri={"type": "string", "pattern": "^(pvc|s3|gs|oci|https)://"},
                ),
            ),
        ),
    ),
}


@pytest.fixture(scope="module")
def built(run, tmp_path_factory):
    """What Kustomize makes of every overlay, of the base with every source of models, and of kserve."""
    folders = {name: KUBERNETES / "overlays" / name for name in OVERLAYS} | {"kserve": ROOT / "deploy/kserve"}
    for name in MODELS:
        folders[name] = tmp_path_factory.mktemp(name).resolve()
        base, component = (
            os.path.relpath(KUBERNETES / part, folders[name]) for part in ("base", f"components/{name}")
        )
        overlay = {"namespace": "test", "resources": [base], "components": [component]}
        overlay["images"] = [{"name": "tamiz-server", "newTag": "0.1.0"}]
        (folders[name] / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return {
        name: list(yaml.safe_load_all(run("kubectl", "kustomize", folder)))
        for name, folder in folders.items()
    }


def of_kind(objects, kind):
    return [each for each in objects if each["kind"] == kind]


def pods(objects):
    """Return the pod specifications of all workloads; of KServe's, as it puts them together."""
    specs = [each["spec"]["template"]["spec"] for each in objects if "template" in each.get("spec", {})]
    for service in of_kind(objects, "InferenceService"):
        predictor = service["spec"]["predictor"]
        [runtime] = [
            each
            for each in of_kind(objects, "ClusterServingRuntime")
            if each["metadata"]["name"] == predictor["model"]["runtime"]
        ]
        own = {key: value for key, value in predictor.items() if key not in OF_KSERVE}
        specs.append(own | {"containers": runtime["spec"]["containers"]})
    assert specs
    return specs


def containers(pod):
    return [*pod.get("initContainers", ()), *pod["containers"]]


def server(pod):
    [container] = [each for each in pod["containers"] if each["name"] in {"server", "kserve-container"}]
    return container


def settings(objects, pod, tmp_path):
    """Return the Config that the server in a pod would have."""
    container, environment = server(pod), {}
    for source in container.get("envFrom", ()):
        [values] = [
            each["data"]
            for each in of_kind(objects, "ConfigMap")
            if each["metadata"]["name"] == source["configMapRef"]["name"]
        ]
        environment |= values
    environment |= {each["name"]: each["value"] for each in container.get("env", ())}
    known = {variable(name) for name in Config.__dataclass_fields__}
    assert environment.keys() <= known, environment.keys() - known
    arguments = [text.replace("/mnt/models", str(tmp_path)) for text in container.get("args", ())]
    if "TAMIZ_MODEL_REPOSITORY" in environment:
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        assert environment["TAMIZ_MODEL_REPOSITORY"] == mounts["models"]
        environment["TAMIZ_MODEL_REPOSITORY"] = str(tmp_path)
    return parse_config(arguments, environment)


def probes(container):
    return {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", BUILDS)
def test_every_object_is_valid(built, name, version):
    if (name, version) == ("models-image-volume", "1.30"):
        with pytest.raises(kubernetes_validate.ValidationError, match="image"):
            validate(built[name], version)
        return  # as its first line says: Kubernetes 1.30 has no image volumes
    validate(built[name], version)


def validate(objects, version):
    for each in objects:
        if each["kind"] in OTHERS:
            api, schema = OTHERS[each["kind"]]
            assert each["apiVersion"] == api
            jsonschema.validate(each["spec"], schema)
        else:
            kubernetes_validate.validate(each, version, strict=True)
    for spec in pods(objects):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"}, "spec": spec}
        kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.parametrize("name", BUILDS)
def test_every_workload_is_restricted(built, name):
    for pod in pods(built[name]):
        is_restricted(pod)


def is_restricted(pod):
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    for volume in pod.get("volumes", ()):
        assert volume.keys() - {"name"} <= RESTRICTED_VOLUMES
    for container in containers(pod):
        context = pod.get("securityContext", {}) | container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not context.get("privileged")
        for kind in ("requests", "limits"):
            assert container["resources"][kind].keys() == {"cpu", "memory"}
        _, colon, tag = container["image"].rpartition(":")
        assert colon
        assert tag != "latest"


@pytest.mark.parametrize("name", BUILDS)
def test_what_a_pod_mounts_it_has(built, name):
    for pod in pods(built[name]):
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        for container in containers(pod):
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes
        assert all(mount["readOnly"] for mount in server(pod).get("volumeMounts", ()))


@pytest.mark.parametrize("name", OVERLAYS)
def test_accounts_have_no_token_either(built, name):
    accounts = {each["metadata"]["name"]: each for each in of_kind(built[name], "ServiceAccount")}
    for pod in pods(built[name]):
        assert accounts[pod["serviceAccountName"]]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", [*OVERLAYS, "kserve"])
def test_all_is_in_one_namespace_where_the_cluster_refuses_less(built, name):
    [namespace] = of_kind(built[name], "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for each in built[name]:
        if each["kind"] in {"Namespace", "ClusterServingRuntime"}:
            assert "namespace" not in each["metadata"], "it is of the whole cluster"
        else:
            assert each["metadata"]["namespace"] == namespace["metadata"]["name"]


@pytest.mark.parametrize("name", BUILDS)
def test_the_server_takes_its_settings_and_listens_where_it_is_asked(built, name, tmp_path):
    for pod in pods(built[name]):
        config, container = settings(built[name], pod, tmp_path), server(pod)
        assert config.host == "0.0.0.0"
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert ports.get("grpc", ports.get("h2c")) == config.grpc_port
        assert ports.get("metrics", config.metrics_port) == config.metrics_port
        if config.tls_certificate:
            continue  # see the hardened overlay below
        for probe in probes(container).values():
            assert probe["grpc"]["port"] == config.grpc_port
        assert pod["terminationGracePeriodSeconds"] >= config.drain_delay_s + config.drain_timeout_s + 5


@pytest.mark.parametrize("name", OVERLAYS)
def test_endpoints_notice_before_the_server_stops(built, name, tmp_path):
    """With more than one replica, the drain delay outlasts the readiness probe and the endpoints' update."""
    for pod in pods(built[name]):
        readiness = probes(server(pod))["readiness"]
        delay_s = settings(built[name], pod, tmp_path).drain_delay_s
        if of_kind(built[name], "HorizontalPodAutoscaler"):
            assert delay_s >= readiness["periodSeconds"] * readiness["failureThreshold"] + 5
        else:
            assert delay_s == 0


@pytest.mark.parametrize("name", [name for name in BUILDS if name != "hardened"])
def test_only_readiness_depends_on_models(built, name):
    for pod in pods(built[name]):
        asked = {each: probe["grpc"].get("service", SERVER) for each, probe in probes(server(pod)).items()}
        assert asked == {"startup": ALIVE, "liveness": ALIVE, "readiness": SERVER}


def test_the_hardened_overlay_reads_secrets_where_they_are_mounted_and_probes_with_tls(built, tmp_path):
    objects = built["hardened"]
    [pod] = pods(objects)
    config, container = settings(objects, pod, tmp_path), server(pod)
    sources = {each["name"]: each.get("secret", {}).get("secretName") for each in pod["volumes"]}
    mounted = {each["mountPath"]: sources[each["name"]] for each in container["volumeMounts"]}
    assert all(each["secret"]["defaultMode"] == 0o440 for each in pod["volumes"] if "secret" in each)
    files = {
        config.tls_certificate: "tamiz-tls",
        config.tls_key: "tamiz-tls",
        config.tokens_file: "tamiz-tokens",
        config.require_signature: "tamiz-signers",
    }
    for file, secret in files.items():
        assert mounted[str(Path(file).parent)] == secret
        assert secret in PAGE
        assert Path(file).name in PAGE or secret == "tamiz-tls"  # kubectl names these files
    assert config.metrics_tls
    assert not config.reflection
    assert not config.allow_release_rollback
    asked = {
        name: probe.keys() & {"grpc", "tcpSocket", "httpGet"} for name, probe in probes(container).items()
    }
    assert asked == {name: {"httpGet"} for name in ("startup", "liveness", "readiness")}
    for name, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/healthz")):
        probe = probes(container)[name]["httpGet"]
        assert probe == {"scheme": "HTTPS", "path": path, "port": "metrics"}
        assert path in OPEN
    for service in of_kind(objects, "Service"):
        assert "appProtocol" not in service["spec"]["ports"][0]
    [endpoint] = of_kind(objects, "PodMonitor")[0]["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["authorization"]["credentials"]["name"] in PAGE
    assert [each["kind"] for each in objects if each["kind"] == "Secret"] == [], (
        "no secret is in the repository"
    )


@pytest.mark.parametrize("name", [*OVERLAYS, *MODELS])
def test_everything_that_selects_pods_selects_these(built, name):
    objects = built[name]
    [deployment] = of_kind(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    port_names = {each["name"] for each in server(deployment["spec"]["template"]["spec"])["ports"]}

    def selects(labels_wanted):
        assert labels_wanted
        assert labels_wanted.items() <= labels

    selects(deployment["spec"]["selector"]["matchLabels"])
    for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
        selects(spread["labelSelector"]["matchLabels"])
    services = of_kind(objects, "Service")
    assert [each["spec"].get("clusterIP") for each in services].count("None") == 1
    assert len(services) == 2
    for service in services:
        selects(service["spec"]["selector"])
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= port_names
    [budget] = of_kind(objects, "PodDisruptionBudget")
    selects(budget["spec"]["selector"]["matchLabels"])
    [policy] = of_kind(objects, "NetworkPolicy")
    selects(policy["spec"]["podSelector"]["matchLabels"])
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    assert "egress" not in policy["spec"]
    for rule in policy["spec"]["ingress"]:
        assert rule["from"]
        assert {port["port"] for port in rule["ports"]} <= port_names
    callers = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert callers == {"tamiz.dev/client": "true"}, "labels of ours on it would shut everybody out"
    for monitor in of_kind(objects, "PodMonitor"):
        selects(monitor["spec"]["selector"]["matchLabels"])
        assert {each["port"] for each in monitor["spec"]["podMetricsEndpoints"]} <= port_names
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
        assert "replicas" not in deployment["spec"], "every deployment would undo the autoscaler's number"
    for claim in of_kind(objects, "PersistentVolumeClaim"):
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        assert claim["metadata"]["name"] in {
            volume.get("persistentVolumeClaim", {}).get("claimName") for volume in volumes
        }


def test_the_queue_overlay_scales_by_a_metric_of_the_server_that_the_adapter_offers(built, run, tmp_path):
    [scaler] = of_kind(built["production-queue"], "HorizontalPodAutoscaler")
    [metric] = scaler["spec"]["metrics"]
    values = (KUBERNETES / "overlays/production-queue/prometheus-adapter-values.yaml").read_text()
    [rule] = yaml.safe_load(values)["rules"]["custom"]
    [series] = re.findall(r"^\w+", rule["seriesQuery"])
    assert metric["pods"]["metric"]["name"] == series == "tamiz_queue_rows"
    assert f"`{series}` | gauge" in metric_table()
    config = Config(model_repository=tmp_path)
    assert metric["pods"]["target"]["averageValue"] == str(config.max_batch_size)
    query = (
        rule["metricsQuery"]
        .replace("<<.Series>>", series)
        .replace("<<.LabelMatchers>>", 'namespace="tamiz",pod=~"a|b"')
        .replace("<<.GroupBy>>", "pod")
    )
    lines = {("a", "m"): "0+20x10", ("a", "n"): "10x10", ("b", "m"): "0x10", ("other", "m"): "99x10"}
    (tmp_path / "rules.yml").write_text("groups: []")
    unit = {
        "interval": "15s",
        "input_series": [
            {
                "series": f'{series}{{namespace="tamiz",pod="{pod}",model="{model}",version="1"}}',
                "values": line,
            }
            for (pod, model), line in lines.items()
        ],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": "2m",
                # Of m the mean over the last minute: of 80 … 160, or of 100 … 160 where its start does not
                # belong to it.
                "exp_samples": [{"labels": '{pod="a"}', "value": MEAN}, {"labels": '{pod="b"}', "value": 0}],
            }
        ],
    }
    (tmp_path / "unit.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [unit]}))
    run("promtool", "test", "rules", tmp_path / "unit.yml")


MEAN = (80 + 100 + 120 + 140 + 160) / 5 + 10
"""Of five scrapes in a closed minute, as Prometheus 2 takes it, and 10 of the other model."""


def test_the_rules_in_kubernetes_are_those_of_prometheus(built, run, tmp_path):
    made = runpy.run_path(str(KUBERNETES / "generate.py"))
    assert made["TARGET"].read_text() == made["prometheus_rule"](made["RULES"]), "run `make manifests`"
    [rule] = of_kind(built["production"], "PrometheusRule")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    run("promtool", "check", "rules", tmp_path / "rules.yml")


def test_rules_of_several_files_are_put_together_in_order(tmp_path):
    for name, group in (("b.yml", "second"), ("a.yml", "first")):
        rules = [{"alert": "Down", "expr": "up == 0", "for": "1m"}]
        (tmp_path / name).write_text(yaml.safe_dump({"groups": [{"name": group, "rules": rules}]}))
    made = runpy.run_path(str(KUBERNETES / "generate.py"))["prometheus_rule"](tmp_path)
    spec = yaml.safe_load(made)["spec"]
    assert [group["name"] for group in spec["groups"]] == ["first", "second"]
    jsonschema.validate(spec, OTHERS["PrometheusRule"][1])


def test_the_models_are_copied_by_the_init_container(built, run, tmp_path):
    """Its command, with folders of this machine in the place of the pod's."""
    [pod] = pods(built["models-init-container"])
    [copy] = pod["initContainers"]
    (tmp_path / "bundles/m/1").mkdir(parents=True)
    (tmp_path / "bundles/m/1/model.onnx").write_bytes(b"x")
    (tmp_path / "models").mkdir()
    [mount] = copy["volumeMounts"]
    assert mount["mountPath"] == "/models"
    program, *arguments = [
        re.sub("^/", f"{tmp_path}/", each) if each.startswith("/") else each for each in copy["command"]
    ]
    assert "/bundles/." in copy["command"], shlex.join(copy["command"])
    run(program, *arguments)
    assert (tmp_path / "models/m/1/model.onnx").read_bytes() == b"x"


def test_kserve_starts_a_server_that_speaks_its_protocol(built, make_bundle, start_server, tmp_path):
    """The runtime's own flags over what KServe mounts, except ports and folder. test_oip tests OIP."""
    import grpc  # noqa: PLC0415  only here

    make_bundle("churn/1")
    [pod] = pods(built["kserve"])
    taken = ("--model-repository=", "--grpc-port=", "--metrics-port=", "--drain-delay-s=")
    flags = [flag for flag in server(pod)["args"] if not flag.startswith(taken)]
    running = start_server(*flags)
    with grpc.insecure_channel(running.target) as channel:
        ready = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")
        assert ready(b"\x0a\x05churn", timeout=60) == b"\x08\x01"
        alive = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert alive(b"\x0a\x15" + ALIVE.encode(), timeout=60) == b"\x08\x01"
    assert running.stop() == 0
    [runtime] = of_kind(built["kserve"], "ClusterServingRuntime")
    [service] = of_kind(built["kserve"], "InferenceService")
    wanted = service["spec"]["predictor"]["model"]
    assert wanted["modelFormat"].items() <= runtime["spec"]["supportedModelFormats"][0].items()
    assert wanted["protocolVersion"] in runtime["spec"]["protocolVersions"]


def test_kserve_runs_the_server_with_the_settings_of_production(built, tmp_path):
    configs = [
        settings(built[name], pod, tmp_path) for name in ("kserve", "production") for pod in pods(built[name])
    ]
    assert configs[0] == configs[1]


def test_kserve_scales_as_the_autoscaler_of_kubernetes_does(built):
    [service] = of_kind(built["kserve"], "InferenceService")
    [scaler] = of_kind(built["production"], "HorizontalPodAutoscaler")
    [metric] = scaler["spec"]["metrics"]
    predictor = service["spec"]["predictor"]
    assert predictor["scaleMetric"] == metric["resource"]["name"]
    assert predictor["scaleTarget"] == metric["resource"]["target"]["averageUtilization"]
    for bound in ("minReplicas", "maxReplicas"):
        assert predictor[bound] == scaler["spec"][bound]
    cores = [
        server(pod)["resources"]["requests"]["cpu"]
        for name in ("kserve", "production")
        for pod in pods(built[name])
    ]
    assert len(set(cores)) == 1, "the target is a share of what is requested"


def test_kserve_finds_its_models(built):
    [service] = of_kind(built["kserve"], "InferenceService")
    [claim] = of_kind(built["kserve"], "PersistentVolumeClaim")
    [other] = of_kind(built["production"], "PersistentVolumeClaim")
    assert service["spec"]["predictor"]["model"]["storageUri"].split("/")[2] == claim["metadata"]["name"]
    assert claim["spec"] == other["spec"]


def test_everything_that_selects_pods_of_kserve_selects_those_of_the_service(built):
    """KServe puts the label on all pods that it makes for a service."""
    [service] = of_kind(built["kserve"], "InferenceService")
    labels = {"serving.kserve.io/inferenceservice": service["metadata"]["name"]}
    selecting = [*of_kind(built["kserve"], "PodMonitor"), *of_kind(built["kserve"], "PodDisruptionBudget")]
    assert [each["spec"]["selector"]["matchLabels"] for each in selecting] == [labels, labels]
    for spread in service["spec"]["predictor"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == labels


def test_kserve_and_prometheus_get_the_metrics_where_the_server_has_them(built, run, tmp_path):
    """What the operator makes of the PodMonitor, and Prometheus of that, for two ports of a pod."""
    [monitor], [pod] = of_kind(built["kserve"], "PodMonitor"), pods(built["kserve"])
    [endpoint], [port] = monitor["spec"]["podMetricsEndpoints"], server(pod)["ports"]
    config = settings(built["kserve"], pod, tmp_path)
    name = "__meta_kubernetes_pod_container_port_name"
    targets = [
        {"targets": [f"{address}:{port['containerPort']}"], "labels": {name: label}}
        for address, label in (("10.0.0.7", port["name"]), ("[fd00::7]", port["name"]), ("10.0.0.8", "other"))
    ]
    job = {
        "job_name": "of-the-operator",
        "static_configs": targets,
        "relabel_configs": [
            {"source_labels": [name], "regex": endpoint["port"], "action": "keep"},
            *({snake_case(key): value for key, value in each.items()} for each in endpoint["relabelings"]),
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    said = run("promtool", "check", "service-discovery", tmp_path / "prometheus.yml", job["job_name"])
    found = [each["labels"].get("__address__") for each in yaml.safe_load(said) if each["labels"]]
    assert sorted(found) == [f"10.0.0.7:{config.metrics_port}", f"[fd00::7]:{config.metrics_port}"]
    [runtime] = of_kind(built["kserve"], "ClusterServingRuntime")
    assert runtime["spec"]["annotations"]["prometheus.kserve.io/port"] == str(config.metrics_port)
    assert endpoint["path"] == runtime["spec"]["annotations"]["prometheus.kserve.io/path"]


def test_models_are_copied_into_the_claim_by_a_pod_that_a_restricted_namespace_takes(built):
    pod = yaml.safe_load((KUBERNETES / "copy-models.yaml").read_text())
    for version in VERSIONS:
        kubernetes_validate.validate(pod, version, strict=True)
    is_restricted(pod["spec"])
    [container], [volume] = pod["spec"]["containers"], pod["spec"]["volumes"]
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"]]
    for name in ("production", "kserve"):
        [claim] = of_kind(built[name], "PersistentVolumeClaim")
        assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}


def test_grafana_collects_every_dashboard(run):
    maps = list(yaml.safe_load_all(run("kubectl", "kustomize", ROOT / "deploy/grafana")))
    files = {path.name: path.read_text() for path in ROOT.glob("deploy/grafana/dashboards/*.json")}
    assert {name: text for each in maps for name, text in each["data"].items()} == files
    for each in maps:
        kubernetes_validate.validate(each, VERSIONS[0], strict=True)
        assert each["metadata"]["labels"] == {"grafana_dashboard": "1"}


def snake_case(name):
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def test_alerts_know_every_job_that_a_monitor_makes(built):
    """The operator names a job after namespace and name of its PodMonitor."""
    alerts = (ROOT / "deploy/prometheus/rules/alerts.yml").read_text()
    patterns = re.findall(r'\bjob=~"([^"]+)"', alerts)
    assert patterns
    monitors = [each for name in (*OVERLAYS, "kserve") for each in of_kind(built[name], "PodMonitor")]
    assert len(monitors) == 4
    for monitor in monitors:
        job = f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}"
        assert all(re.fullmatch(pattern, job) for pattern in patterns), job
