"""The files in deploy/ pass the linters of their formats."""

from __future__ import annotations

import yaml

from .observed import ROOT

PAGE = (ROOT / "deploy/README.md").read_text()


def test_the_yaml_reads_alike(run):
    run("yamllint", "--strict", "--config-file", ROOT / ".yamllint", ROOT / "deploy")


def test_the_dockerfile_is_as_hadolint_wants_it(run):
    run("hadolint", ROOT / "Dockerfile")


def test_the_scripts_are_as_shellcheck_wants_them(run):
    scripts = sorted(ROOT.glob("deploy/**/*.sh"))
    assert scripts
    run("shellcheck", *scripts)


def test_every_file_the_page_names_is_there():
    for word in PAGE.replace("`", " ").replace("(", " ").replace(")", " ").split():
        if word.startswith(("deploy/", "kubernetes/", "kserve/", "components/")):
            homes = (ROOT, ROOT / "deploy", ROOT / "deploy/kubernetes")
            assert any((home / word.rstrip(".,:;")).exists() for home in homes), word


def test_every_component_and_overlay_is_on_the_page():
    for folder in (*ROOT.glob("deploy/kubernetes/components/*"), *ROOT.glob("deploy/kubernetes/overlays/*")):
        assert f"{folder.parent.name}/{folder.name}" in PAGE, folder
        head = (folder / "kustomization.yaml").read_text()
        assert head.startswith("# "), f"{folder}: when to take it?"
        yaml.safe_load(head)
