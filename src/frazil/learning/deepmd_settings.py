"""Hyper-parameters of a DeePMD-kit model, DeePMD-kit's input file, and whether they suit the data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np

from frazil.errors import UserError, check_counts
from frazil.learning.deepmd_process import CHECKPOINT, CURVE
from frazil.potentials.deepmd.model import UNTAGGED_TYPE_MAP
from frazil.seeds import derived_seed
from frazil.systems.co import TYPE_MAP, deepmd_types

_PAIRS_PER_CHUNK = 2_000_000


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of one model; the defaults are the paper's, except ``sel``.

    The paper's sel is 29 for C and O. A 50-CO aggregate can hold 30 C within 6.5 Å, and DeePMD-kit would then
    drop the farthest without a word; 40 leaves room.
    """

    n_steps: int = 400_000
    batch_size: int = 1
    learning_rate_start: float = 1e-2
    learning_rate_stop: float = 1e-3
    cutoff_A: float = 6.5
    smooth_A: float = 0.5
    embedding: Sequence[int] = (50, 50, 50)
    axis: int = 8
    fitting: Sequence[int] = (250, 250, 250)
    sel: Sequence[int] = (40, 40, 1, 1)
    energy_prefactors: Sequence[float] = (1.0, 8.0)
    force_prefactors: Sequence[float] = (1000.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            UserError: a value is outside its range.
        """
        check_counts(self, "n_steps", "batch_size", "axis")
        if not 0 < self.learning_rate_stop <= self.learning_rate_start:
            raise UserError(
                f"learning rate goes from {self.learning_rate_start:g} to {self.learning_rate_stop:g}; "
                "allowed is 0 < stop <= start"
            )
        if not 0 < self.smooth_A < self.cutoff_A:
            raise UserError(
                f"smooth_A {self.smooth_A:g}, cutoff_A {self.cutoff_A:g}; allowed: 0 < smooth < cutoff"
            )
        if len(self.sel) != len(TYPE_MAP) or min(self.sel) < 1:
            raise UserError(f"sel is {listed(self.sel)}; give four numbers from 1, for {listed(TYPE_MAP)}")
        if not self.embedding or not self.fitting or min(*self.embedding, *self.fitting) < 1:
            raise UserError(
                f"embedding {listed(self.embedding)}, fitting {listed(self.fitting)}; widths start at 1"
            )
        if self.axis > self.embedding[-1]:
            raise UserError(f"axis is {self.axis}; at most the last embedding width, {self.embedding[-1]}")
        for name in ("energy_prefactors", "force_prefactors"):
            pair = getattr(self, name)
            if len(pair) != 2 or min(pair) < 0:
                raise UserError(f"{name} is {listed(pair)}; give start,limit, neither negative")

    def type_map(self, excited_types: bool) -> list[str]:
        """Return the types of the model, with or without those of the excited molecule."""
        return list(TYPE_MAP if excited_types else UNTAGGED_TYPE_MAP)

    def to_input(self, seed: int, excited_types: bool) -> dict[str, Any]:
        """Return the content of DeePMD-kit's ``input.json`` (its data in ``data/train`` and ``data/test``).

        Args:
            seed: the model's; descriptor, fitting net and order of the data derive their own from it.
            excited_types: whether X1 and X2 are types of their own.
        """
        type_map = self.type_map(excited_types)
        net = {"activation_function": "tanh", "precision": "float64"}
        report_every = max(1, self.n_steps // 100)
        return {
            "model": {
                "type_map": type_map,
                "descriptor": {
                    "type": "se_e2_a", "rcut": self.cutoff_A, "rcut_smth": self.smooth_A,
                    "sel": list(self.sel[: len(type_map)]), "neuron": list(self.embedding),
                    "axis_neuron": self.axis, "type_one_side": True, "resnet_dt": False,
                    "seed": derived_seed(seed, "descriptor"), **net,
                },
                "fitting_net": {
                    "neuron": list(self.fitting), "resnet_dt": True,
                    "seed": derived_seed(seed, "fitting"), **net,
                },
            },
            "learning_rate": {
                "type": "exp", "start_lr": self.learning_rate_start, "stop_lr": self.learning_rate_stop,
                "decay_steps": max(1, min(5000, self.n_steps // 100)),
            },
            "loss": {
                "type": "ener",
                "start_pref_e": self.energy_prefactors[0], "limit_pref_e": self.energy_prefactors[1],
                "start_pref_f": self.force_prefactors[0], "limit_pref_f": self.force_prefactors[1],
                "start_pref_v": 0, "limit_pref_v": 0,
            },
            "training": {
                "training_data": {"systems": "data/train", "batch_size": self.batch_size},
                "validation_data": {"systems": "data/test", "batch_size": self.batch_size, "numb_btch": 4},
                "numb_steps": self.n_steps, "seed": derived_seed(seed, "order"),
                "disp_file": CURVE, "disp_freq": report_every,
                "save_ckpt": CHECKPOINT, "save_freq": report_every * max(1, min(10, 2000 // report_every)),
                "max_ckpt_keep": 2, "time_training": False,
            },
        }  # fmt: skip


def check_neighbours(frames: Sequence[ase.Atoms], settings: Settings) -> None:
    """Refuse a ``sel`` below the number of neighbours in the data, tagged or not (DeePMD-kit drops the rest).

    Raises:
        UserError: with the largest counts found.
    """
    largest = np.zeros(len(TYPE_MAP), dtype=int)
    groups: dict[bytes, list[ase.Atoms]] = {}
    for frame in frames:
        groups.setdefault(np.asarray(deepmd_types(frame), dtype=np.int64).tobytes(), []).append(frame)
    for key, members in groups.items():
        tagged = np.frombuffer(key, dtype=np.int64)
        chunk = max(1, _PAIRS_PER_CHUNK // len(tagged) ** 2)
        for first in range(0, len(members), chunk):
            positions = np.array([frame.positions for frame in members[first : first + chunk]])
            squared = ((positions[:, :, None] - positions[:, None]) ** 2).sum(axis=-1)
            near = squared < settings.cutoff_A**2
            near[:, np.arange(len(tagged)), np.arange(len(tagged))] = False
            for types in (tagged, tagged % len(UNTAGGED_TYPE_MAP)):
                for kind in range(len(TYPE_MAP)):
                    count = near[:, :, types == kind].sum(axis=-1).max()
                    largest[kind] = max(largest[kind], count)
    if (largest > settings.sel).any():
        needed = np.maximum(largest, settings.sel)
        raise UserError(
            f"sel {listed(settings.sel)} is too small: the frames hold up to {listed(largest)} neighbours "
            f"of types {listed(TYPE_MAP)} within {settings.cutoff_A:g} Å; give at least {listed(needed)}"
        )


def listed(items: Iterable[Any]) -> str:
    """Return the items as they are typed on the command line."""
    return ",".join(str(item) for item in items)
