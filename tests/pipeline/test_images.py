"""A run starts with the images that were built of its own code, or not at all (lib/Images.groovy)."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from snapshots import Run


def test_images_that_are_gone_stale_or_altered_stop_the_run(
    run_pipeline: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = [root / "containers/build.sh", "content"]
    content = subprocess.run(build, capture_output=True, text=True, check=True).stdout.strip()
    folder = tmp_path / "images"
    names = {"cpu": f"altered-{content}", "gpu": "stale-0123456789ab", "long": f"gone-{content}"}
    images = {label: folder / f"frazil-{name}.sif" for label, name in names.items()}
    folder.mkdir()
    for label in ("cpu", "gpu"):
        images[label].write_bytes(b"an image")
        digest = hashlib.sha256(b"an image").hexdigest()
        images[label].with_name(images[label].name + ".sha256").write_text(digest + "\n")
    images["cpu"].write_bytes(b"an image, altered")
    by_label = [f"withLabel: {label} {{ container = '{image}' }}" for label, image in images.items()]
    config = "\n".join(["container = 'docker.io/frazil:latest'", *by_label])
    (folder / "images.config").write_text(f"process {{\n{config}\n}}\n")

    monkeypatch.setenv("FRAZIL_IMAGES", str(folder))
    done = run_pipeline(tmp_path, "-profile", "apptainer", "--yes", status=2)
    assert sorted(done.stderr.splitlines()) == sorted(
        [
            f"error: container {images['cpu']}: not the file that was built (its digest differs); "
            "remove it, and build it again with `make images`",
            f"error: container {images['gpu']}: made of other code than this checkout ({content}); "
            "build the present one with `make images`",
            f"error: container {images['long']}: there is no such image with its .sha256; "
            "build it with `make images`",
            "error: container docker.io/frazil:latest: given without its digest; "
            "allowed: a file of `make images`, or NAME@sha256:DIGEST",
        ]
    )
    assert not list(tmp_path.rglob(".command.sh"))


@pytest.mark.parametrize(
    ("profile", "asked", "says"),
    [
        ("docker", "", "error: no container images; name one by FRAZIL_IMAGE=NAME@sha256:DIGEST"),
        ("docker", "hub.example/frazil:1", "given without its digest"),
        ("singularity", "", "error: no container images; build them with `make images`"),
    ],
)
def test_other_containers_are_profiles_too(
    run_pipeline: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, asked: str, says: str
) -> None:
    monkeypatch.setenv("FRAZIL_IMAGES", str(tmp_path))
    monkeypatch.setenv("FRAZIL_IMAGE", asked)
    done = run_pipeline(tmp_path, "-profile", f"test,{profile}", "--yes", status=2)
    assert says in done.stderr


@pytest.mark.parametrize("engine", ["docker", "singularity"])
def test_nextflow_reads_their_configuration(nextflow: Path, root: Path, tmp_path: Path, engine: str) -> None:
    done = subprocess.run(
        [nextflow, "config", root, "-profile", f"test,{engine}", "-flat"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "FRAZIL_IMAGE": "hub.example/frazil@sha256:0123"},
    )  # fmt: skip
    enabled = {line for line in done.stdout.splitlines() if line.endswith(".enabled = true")}
    assert f"{engine}.enabled = true" in enabled
    assert enabled.isdisjoint(
        {f"{other}.enabled = true" for other in {"apptainer", "docker", "singularity"} - {engine}}
    )
    assert ("process.container = 'hub.example/frazil@sha256:0123'" in done.stdout) == (engine == "docker")
