"""The pipeline as its tests run it."""

import os
import subprocess
from pathlib import Path

import pytest
from snapshots import Run


@pytest.fixture(scope="session")
def run_pipeline(nextflow: Path, root: Path) -> Run:
    """Call main.nf by ``run_pipeline(folder, *arguments, status=0)`` and require that exit status.

    It runs in ``folder`` and with -profile local where no other is among the arguments.
    """

    def run(folder: Path, *arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        profile = () if "-profile" in arguments else ("-profile", "local")
        done = subprocess.run(
            [nextflow, "run", root / "main.nf", *profile, *arguments],
            cwd=folder,
            env={**os.environ, "NXF_ANSI_LOG": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run
