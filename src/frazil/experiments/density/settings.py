"""Settings of learned electron densities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frazil.labels.settings import DFT
from frazil.settings import setting, settings

CAMPAIGN = "frazil.experiments.density.physics"
AUXILIARIES = (
    "def2-universal-jfit", "def2-universal-jkfit", "cc-pvdz-jkfit", "cc-pvtz-jkfit", "cc-pvqz-jkfit",
    "cc-pvqz-ri", "aug-cc-pvdz-jkfit", "aug-cc-pvtz-jkfit",
)  # fmt: skip
LEVELS = (
    *DFT,
    *(
        f"{name}/{basis}"
        for name in ("pbe", "pbe0", "b3lyp-d4")
        for basis in ("aug-cc-pvdz", "cc-pvtz", "cc-pvqz")
    ),
)


@settings
class Density:
    """Electron densities and their response to a field, learned by symmetry-adapted regression."""

    frames: Path | None = setting(
        "Neutral free molecules or clusters, extended XYZ; the last [n_large] are larger ones, the "
        "others are divided for training, validation and test. When not set: water, single, in pairs, "
        "and eight together",
        default=None, path="file",
    )  # fmt: skip
    level: str = setting("Level of theory of the densities", default="pbe/def2-svp", choices=LEVELS)
    auxiliary: str = setting(
        "Auxiliary basis that densities are fitted in, by PySCF's name", default="def2-universal-jkfit",
        choices=AUXILIARIES,
    )  # fmt: skip
    n_diffuse: int = setting(
        "Diffuse functions added to it for each element and λ up to 2", default=0, minimum=0, maximum=4
    )
    response: bool = setting(
        "Learn the response to a uniform field, hence polarizabilities, too (of frames that are not large)",
        default=True,
    )
    n_trajectories: int = setting(
        "Frames that are labelled: the first of the file, and its last as the large ones",
        default=164, minimum=6, maximum=100_000,
    )  # fmt: skip
    shard_size: int = setting("Frames in one task; changes no result", default=20, minimum=1)
    n_large: int = setting(
        "Larger frames, never learned from: they say how far the model can be taken",
        default=4, minimum=0, maximum=10_000,
    )  # fmt: skip
    n_test: int = setting("Frames held out for the test", default=30, minimum=2, maximum=10_000)
    n_validation: int = setting(
        "Frames held out to choose the regularization by", default=20, minimum=1, maximum=10_000
    )
    n_train: tuple[int, ...] = setting(
        "Frames that are learned from, a model for each number; each holds the frames of the one before",
        default=(20, 50, 110), minimum=2, maximum=100_000,
    )  # fmt: skip
    n_environments: int = setting(
        "Sparse environments of each element, at most those of the training frames",
        default=40, minimum=2, maximum=2000,
    )  # fmt: skip
    n_members: int = setting(
        "Members of the committee, each learned from frames drawn again with replacement; 0 leaves the "
        "model's error unknown",
        default=8, minimum=0, maximum=64,
    )  # fmt: skip
    cutoff_A: float = setting("Radius of an environment", default=4.0, minimum=2, maximum=12)
    n_steps: int = setting(
        "Frames, of the test's and of the large ones each, for which a step of the self-consistent field "
        "is made",
        default=6, minimum=0, maximum=1000,
    )  # fmt: skip
    n_cubes: int = setting(
        "Test frames whose predicted density and its error are written as Gaussian cube files",
        default=0, minimum=0, maximum=100,
    )  # fmt: skip

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        left = self.n_trajectories - self.n_large - self.n_test - self.n_validation
        if list(self.n_train) != sorted(set(self.n_train)) or not self.n_train:
            yield "n_train", "allowed: rising numbers"
        elif self.n_train[-1] > left:
            yield (
                "n_train",
                f"allowed: at most {max(left, 0)}, [n_trajectories] less [n_large], [n_test] and "
                "[n_validation]",
            )
        if self.n_members == 1:
            yield "n_members", "allowed: 0, or 2 and more"


GROUPS = {"density": Density}


def shipped(own: Density) -> dict[str, str]:
    """Return the files of ``assets`` that stand for those that are not set."""
    return {"frames": "structures/water.extxyz"} if own.frames is None else {}
