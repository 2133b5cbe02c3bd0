#!/usr/bin/env python3
"""Do total intervals of harmonic lines hold the truth? A hundred small committees of one molecule of water.

    committee_coverage.py OUT_FOLDER

Each committee of four GM-NN learns frames of its own, drawn from the harmonic ensemble of q-TIP4P/F at 600 K,
with the truth's energies and forces. Its members' lines, each at its own minimum, give the total interval of
the experiment vibrations; α is calibrated on held-out frames. Counted is how often the truth's own line is
inside, with α and without. A member without a minimum is left out, as there. Writes coverage.csv.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas
import scipy.stats
from ase import Atoms
from stages import labelled

import frazil
from frazil.analysis.estimates import spread_calibration, two_way
from frazil.checkpoints import TimeLimit
from frazil.learning import gmnn
from frazil.learning.settings import GmnnTraining
from frazil.potentials.gmnn.architecture import Architecture
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.surface import ModelSurface
from frazil.potentials.registry import load
from frazil.potentials.surface import members_of
from frazil.systems.minima import Minimum, model_minimum, model_modes
from frazil.systems.starts import canonical

NETWORK = Architecture(elements=("H", "O"), cutoff_A=4.0, n_radial=3, hidden=(32, 32))
TEMPERATURE_K, N_MEMBERS = 600.0, 4
COLUMNS = ("committee", "spread", "mode", "alpha", "error_cm1", "spread_cm1", "inside")
WATER = Atoms("OHH", 0.95 * np.array([[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]]))


def drawn(minimum: Minimum, calculator: Any, committee: int, n: int) -> list[Atoms]:
    """Labelled frames of a committee's own."""
    found = []
    for number in range(n):
        atoms = minimum.atoms.copy()
        atoms.positions, _ = canonical(minimum, TEMPERATURE_K, 1, "coverage", committee, number)
        found.append(labelled(atoms, calculator))
    return found


def main() -> None:
    """Train all committees, count, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--n-committees", type=int, default=100)
    parser.add_argument("--n-frames", type=int, default=40)
    parser.add_argument("--n-epochs", type=int, default=500)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    begun = time.process_time()
    minimum = model_minimum(WATER, "water", members_of(load("q-tip4p-f"), WATER))
    truth, calculator, rows = minimum.modes.wavenumbers_cm1, frazil.load("q-tip4p-f"), []
    for committee in range(given.n_committees):
        frames = drawn(minimum, calculator, committee, given.n_frames + 30)
        train, held = frames[: given.n_frames], frames[given.n_frames :]
        settings = GmnnTraining(
            seed=committee, n_members=N_MEMBERS, n_epochs=given.n_epochs, batch_size=5, learning_rate=0.03
        )
        with tempfile.TemporaryDirectory() as folder, TimeLimit() as limit:
            state = gmnn.fit(NETWORK, settings, train, held[:10], Path(folder) / "training.npz", limit)
        surface = ModelSurface(Model(NETWORK, state.best, {}), minimum.atoms)
        forces = np.array(
            [[surface.surface(atoms.positions, k)[1] for atoms in held[10:]] for k in range(N_MEMBERS)]
        )
        errors = forces.mean(axis=0) - np.array([atoms.get_forces() for atoms in held[10:]])
        alpha = spread_calibration(errors.ravel(), forces.std(axis=0, ddof=1).ravel(), N_MEMBERS)
        own = model_modes(surface, N_MEMBERS, minimum.atoms, "water").members_cm1
        own = own[np.isfinite(own).all(axis=1)]
        if len(own) < 2:
            print(f"committee {committee}: {len(own)} members have a minimum")
            continue
        for told, factor in (("calibrated", alpha), ("as it is", 1.0)):
            lines = two_way(np.stack([own, own], axis=1)).estimate(factor)
            inside = (truth >= lines.total_low_95) & (truth <= lines.total_high_95)
            for mode in range(len(truth)):
                rows.append((committee, told, mode + 1, alpha, float(lines.value[mode] - truth[mode]),
                             float(own.std(axis=0, ddof=1)[mode]), bool(inside[mode])))  # fmt: skip
        table = pandas.DataFrame(rows, columns=COLUMNS)
        table.to_csv(given.out / "coverage.csv", index=False)
        if committee % 10 == 9:
            print(committee + 1, table.groupby("spread")["inside"].mean().to_dict(), flush=True)
    if not rows:
        raise SystemExit("no committee has two members with a minimum; train longer (--n-epochs)")
    for by_mode, part in table.groupby(["spread", "mode"]):
        error = np.sqrt((part["error_cm1"] ** 2).mean())
        print(f"{by_mode}: inside {part['inside'].mean():.3f}, error {error:.2f} cm⁻¹ (rms), "
              f"members' {part['spread_cm1'].mean():.2f}, α {part['alpha'].median():.2f}")  # fmt: skip
    for by, own_rows in table.groupby("spread"):
        hits = own_rows.groupby("committee")["inside"].mean()
        half = scipy.stats.t.ppf(0.975, len(hits) - 1) * hits.std(ddof=1) / np.sqrt(len(hits))
        print(f"{by}: {hits.mean():.3f} ± {half:.3f} of {len(hits)} committees' lines hold the truth")
    print(f"{time.process_time() - begun:.0f} s of processor time")


if __name__ == "__main__":
    main()
