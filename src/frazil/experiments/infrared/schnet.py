"""SchNet's charges as the dipole model, by schnetpack: what Tang, Bromley & Hammer (2023) used.

Schütt et al., J. Chem. Phys. 148, 241722 (2018). μ = Σ q_i (r_i − r_com), the charges q_i an output of SchNet
made neutral by an equal share of their sum. It runs after the dynamics, on positions that were kept, in an
environment of its own (``make schnet``: Debian's torch for CPUs, 150 MB); nothing here needs JAX.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from ase import Atoms

from frazil.data import hdf5
from frazil.data.frames import read_extxyz
from frazil.errors import UserError
from frazil.experiments.infrared.dipoles import read_dipoles
from frazil.experiments.infrared.settings import SchnetTraining
from frazil.files import write_atomic
from frazil.seeds import derived_seed, rng

FRAMES_PER_CALL = 4096
"""Frames that are predicted at once."""


def train_schnet(learned: Path, out: Path, settings: SchnetTraining) -> None:
    """Train on ``learned``/frames.extxyz, write the network (HDF5) to ``out`` and beside it OUT.csv.

    The table holds the error on ``learned``/test.extxyz. Raises UserError for frames without dipoles.
    """
    torch = ready_torch()
    frames, test = (_labelled(learned / f"{name}.extxyz") for name in ("frames", "test"))
    torch.manual_seed(derived_seed(settings.seed, "schnet"))
    network = _network(settings)
    held_out = frames[9::10]
    train = [atoms for number, atoms in enumerate(frames) if number % 10 != 9]
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    falling = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.01 ** (1 / settings.schnet_epochs))
    best, least = None, np.inf
    for epoch in range(settings.schnet_epochs):
        order = rng(settings.seed, "schnet-batches", epoch).permutation(len(train))
        for first in range(0, len(train), settings.batch_size):
            part = [train[i] for i in order[first : first + settings.batch_size]]
            optimizer.zero_grad()
            loss = ((_forward(network, part) - _dipoles(torch, part)) ** 2).mean()
            loss.backward()
            optimizer.step()
        falling.step()
        error = _error(network, held_out)
        if error < least:
            best, least = {name: value.clone() for name, value in network.state_dict().items()}, error
    if best is None:
        raise UserError("SchNet's error was never a number; lower its learning rate")
    network.load_state_dict(best)
    level = str(frames[0].info.get("label_level", "not stated"))
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    hdf5.write(out, {**asdict(settings), "label_level": level}, weights)
    row = {"n_train": len(train), "n_test": len(test), "dipole_rmse_e_A": _error(network, test)}
    with write_atomic(out.with_suffix(".csv")) as partial:
        pandas.DataFrame([row]).to_csv(partial, index=False, float_format="%.6g")


def schnet_dipoles(model: Path, dipoles: Path, out: Path) -> None:
    """Write a file of dipoles anew, with SchNet's at the positions that it keeps (and those left out).

    Raises UserError for a file without positions.
    """
    torch = ready_torch()
    given = read_dipoles(dipoles)
    if given.positions_A is None or given.numbers is None:
        raise UserError(f"{dipoles} keeps no positions; run run_dipoles.py with --keep-positions")
    attributes, weights = hdf5.read(model, "train_schnet.py")
    names = SchnetTraining.__dataclass_fields__
    if not set(names) <= set(attributes):
        raise UserError(f"{model} is no SchNet of train_schnet.py; give one that it wrote")
    network = _network(SchnetTraining(**{name: attributes[name].item() for name in names}))
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    flat = given.positions_A.reshape(-1, len(given.numbers), 3)
    whole = np.isfinite(flat).all(axis=(1, 2))
    found = np.full((len(flat), 3), np.nan)
    for first in range(0, len(flat), FRAMES_PER_CALL):
        here = first + np.flatnonzero(whole[first : first + FRAMES_PER_CALL])
        if len(here):
            with torch.no_grad():
                found[here] = _forward(network, [Atoms(given.numbers, flat[i]) for i in here]).numpy()
    shape = given.dipoles_e_A.shape
    replace(given, dipoles_e_A=found.reshape(shape), positions_A=None, numbers=None).write(out)


def ready_torch() -> Any:
    """Return torch, ready for schnetpack."""
    try:
        import torch  # type: ignore[import-not-found,unused-ignore]
        import torch.distributed  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UserError(
            "there is no torch here; `make schnet` makes the environment of SchNet, "
            "`make images IMAGES=schnet` its image"
        ) from error
    # Debian's torch 1.13 cannot import its sharded tensors under Python 3.11; lightning asks for them where
    # this says that it may.
    torch.distributed.is_available = lambda: False
    torch.set_num_threads(1)
    return torch


def _network(settings: SchnetTraining) -> Any:
    import schnetpack  # type: ignore[import-not-found,unused-ignore]
    import schnetpack.nn  # type: ignore[import-not-found,unused-ignore]
    import torch

    return torch.nn.ModuleList(
        [
            schnetpack.representation.SchNet(
                settings.n_features,
                settings.n_interactions,
                schnetpack.nn.GaussianRBF(settings.n_gaussians, settings.cutoff_A),
                schnetpack.nn.CosineCutoff(settings.cutoff_A),
            ),
            schnetpack.atomistic.DipoleMoment(settings.n_features),
        ]
    )


def _forward(network: Any, frames: Sequence[Atoms]) -> Any:
    """Return dipoles (frames, 3), e Å, from the centres of mass; all pairs, the cutoff function ends them."""
    import schnetpack.properties as names  # type: ignore[import-not-found,unused-ignore]
    import torch

    sizes = np.array([len(atoms) for atoms in frames])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    pairs = {n: np.argwhere(~np.eye(n, dtype=bool)) for n in set(sizes.tolist())}
    both = np.concatenate([pairs[n] + start for n, start in zip(sizes, starts, strict=True)])
    centred = np.concatenate([atoms.positions - atoms.get_center_of_mass() for atoms in frames])
    positions = torch.tensor(centred, dtype=torch.float32)
    first, second = torch.from_numpy(both[:, 0].copy()), torch.from_numpy(both[:, 1].copy())
    inputs = {
        names.Z: torch.tensor(np.concatenate([atoms.numbers for atoms in frames])),
        names.R: positions,
        names.idx_i: first,
        names.idx_j: second,
        names.Rij: positions[second] - positions[first],
        names.idx_m: torch.tensor(np.repeat(np.arange(len(frames)), sizes)),
        names.n_atoms: torch.tensor(sizes),
    }
    for part in network:
        inputs = part(inputs)
    return inputs[names.dipole_moment]


def _labelled(path: Path) -> list[Atoms]:
    try:
        frames = read_extxyz(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); give a folder of gather_learned.py") from error
    if any(atoms.calc is None or "dipole" not in atoms.calc.results for atoms in frames):
        raise UserError(f"{path} holds frames without a dipole; give a folder of gather_learned.py")
    return frames


def _dipoles(torch: Any, frames: Sequence[Atoms]) -> Any:
    return torch.tensor(np.array([atoms.calc.results["dipole"] for atoms in frames]), dtype=torch.float32)


def _error(network: Any, frames: Sequence[Atoms]) -> float:
    """Return the root mean square error of a component, e Å."""
    import torch

    with torch.no_grad():
        missed = _forward(network, frames) - _dipoles(torch, frames)
    return float((missed**2).mean().sqrt())
