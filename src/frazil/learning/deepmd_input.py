"""Hyper-parameters of a DeePMD-kit model, DeePMD-kit's input file, and whether they suit the data."""

from collections.abc import Iterable, Sequence
from typing import Any

import ase
import numpy as np

from frazil.errors import UserError
from frazil.learning.deepmd_process import CHECKPOINT, CURVE
from frazil.learning.settings import DeepmdTraining
from frazil.potentials.deepmd.model import UNTAGGED_TYPE_MAP
from frazil.seeds import derived_seed
from frazil.systems.co import TYPE_MAP, deepmd_types

_PAIRS_PER_CHUNK = 2_000_000


def type_map(excited_types: bool) -> list[str]:
    """Return the types of the model, with or without those of the excited molecule."""
    return list(TYPE_MAP if excited_types else UNTAGGED_TYPE_MAP)


def to_input(settings: DeepmdTraining, seed: int, excited_types: bool) -> dict[str, Any]:
    """Return the content of DeePMD-kit's ``input.json`` (its data in ``data/train`` and ``data/test``).

    Args:
        settings: hyper-parameters.
        seed: the model's; descriptor, fitting net and order of the data derive their own from it.
        excited_types: whether X1 and X2 are types of their own.
    """
    types = type_map(excited_types)
    net = {"activation_function": "tanh", "precision": "float64"}
    report_every = max(1, settings.n_steps // 100)
    return {
        "model": {
            "type_map": types,
            "descriptor": {
                "type": "se_e2_a", "rcut": settings.cutoff_A, "rcut_smth": settings.smooth_A,
                "sel": list(settings.sel[: len(types)]), "neuron": list(settings.embedding),
                "axis_neuron": settings.axis, "type_one_side": True, "resnet_dt": False,
                "seed": derived_seed(seed, "descriptor"), **net,
            },
            "fitting_net": {
                "neuron": list(settings.fitting), "resnet_dt": True,
                "seed": derived_seed(seed, "fitting"), **net,
            },
        },
        "learning_rate": {
            "type": "exp", "start_lr": settings.learning_rate_start, "stop_lr": settings.learning_rate_stop,
            "decay_steps": max(1, min(5000, settings.n_steps // 100)),
        },
        "loss": {
            "type": "ener",
            "start_pref_e": settings.energy_prefactors[0], "limit_pref_e": settings.energy_prefactors[1],
            "start_pref_f": settings.force_prefactors[0], "limit_pref_f": settings.force_prefactors[1],
            "start_pref_v": 0, "limit_pref_v": 0,
        },
        "training": {
            "training_data": {"systems": "data/train", "batch_size": settings.batch_size},
            "validation_data": {"systems": "data/test", "batch_size": settings.batch_size, "numb_btch": 4},
            "numb_steps": settings.n_steps, "seed": derived_seed(seed, "order"),
            "disp_file": CURVE, "disp_freq": report_every,
            "save_ckpt": CHECKPOINT, "save_freq": report_every * max(1, min(10, 2000 // report_every)),
            "max_ckpt_keep": 2, "time_training": False,
        },
    }  # fmt: skip


def check_neighbours(frames: Sequence[ase.Atoms], settings: DeepmdTraining) -> None:
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
