import shutil
import subprocess
from pathlib import Path


def test_the_set_up_of_another_checkout_is_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other/venv").mkdir(parents=True)
    (tmp_path / "here/scripts").mkdir(parents=True)
    shutil.copy(root / "scripts/setup.sh", tmp_path / "here/scripts")
    (tmp_path / "here/.frazil").symlink_to(tmp_path / "other")
    run = subprocess.run([tmp_path / "here/scripts/setup.sh"], capture_output=True, text=True)
    assert (run.returncode, run.stderr.count("is a link to")) == (2, 1)
    assert (tmp_path / "other/venv").is_dir()
