"""Images: one recipe for both builders; what is asked of Docker (a stand-in: none runs here)."""

import os
import re
import subprocess
from pathlib import Path

DOCKER = """#!/bin/sh
echo "$*" >> {calls}
case $1 in
    push) exit {pushed} ;;
    inspect) echo registry.example/me/frazil@sha256:0123 ;;
esac
"""


def build(root: Path, folder: Path, *arguments: str, pushed: int = 0) -> subprocess.CompletedProcess[str]:
    """Run containers/build.sh docker with a docker that notes how it is called."""
    (folder / "docker").write_text(DOCKER.format(calls=folder / "calls", pushed=pushed))
    (folder / "docker").chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    command = [root / "containers/build.sh", "docker", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_docker_builds_pushes_and_names_an_image(root: Path, tmp_path: Path) -> None:
    done = build(root, tmp_path, "registry.example/me/frazil")
    assert done.stdout == "export FRAZIL_IMAGE=registry.example/me/frazil@sha256:0123\n"
    content = subprocess.run(
        [root / "containers/build.sh", "content"], capture_output=True, text=True, check=True
    ).stdout.strip()
    built, pushed, _ = (tmp_path / "calls").read_text().splitlines()
    assert built.startswith("build --file containers/Dockerfile ")
    assert f"--build-arg content={content} --tag registry.example/me/frazil:{content} ." in built
    assert pushed == f"push registry.example/me/frazil:{content}"


def test_what_docker_cannot_do_is_said(root: Path, tmp_path: Path) -> None:
    nameless = build(root, tmp_path)
    assert nameless.returncode == 2
    assert "error: give a name in a registry" in nameless.stderr
    refused = build(root, tmp_path, "registry.example/me/frazil", pushed=1)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "was built, but not pushed; log in" in refused.stderr


def test_both_builders_follow_one_recipe(root: Path) -> None:
    docker = (root / "containers/Dockerfile").read_text()
    apptainer = (root / "containers/frazil.def").read_text()
    script = root / "containers/install.sh"
    subprocess.run(["sh", "-n", script], check=True)
    for recipe in (docker, apptainer):
        assert len(re.findall(r"containers/install\.sh ", recipe)) == 1
        assert "pip install" not in recipe
        assert "PATH=/opt/frazil/bin:/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 PYTHONNOUSERSITE=1" in recipe
    copied = set(" ".join(re.findall(r"^COPY (.*) \S+$", docker, re.MULTILINE)).split())
    content = set((root / "containers/build.sh").read_text().split("inputs=(")[1].split(")")[0].split())
    assert copied == content | {"README.md", "LICENSE"}, "a name's hash covers what an image is made of"
    kept = {
        line[1:]
        for line in Path(f"{root}/containers/Dockerfile.dockerignore").read_text().split()
        if line[0] == "!"
    }
    assert kept == copied
