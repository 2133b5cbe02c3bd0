#!/usr/bin/env python3
"""Wells of dimers: a committee trained on interactions against rigid scans labelled at the same level.

    dimer_wells.py interactions LABELLED.extxyz OUT.extxyz
    dimer_wells.py wells MODEL.h5 LABELLED.extxyz SCANS.extxyz OUT_FOLDER

The first takes the molecules' own curves out of labels (then: prepare_dataset.py --molecules any, and
train_gmnn.py). The second writes wells.csv, wells_points.csv and wells.png. The scans' frames carry ``scan``
and ``distance_A``; none of them may be in the training set.
"""

import sys
from pathlib import Path

import numpy as np
import pandas
from ase.units import invcm
from scipy.interpolate import CubicSpline

from frazil.data.frames import fingerprint, load_frames, write_frames
from frazil.files import write_atomic
from frazil.labels.interaction import curves, interaction
from frazil.report.plot import BLACK, CYCLE, new


def minimum(distance_A: np.ndarray, energy_eV: np.ndarray) -> tuple[float, float]:
    """Return where a spline through the points is lowest, and its value there."""
    fine = np.linspace(distance_A[0], distance_A[-1], 4001)
    values = CubicSpline(distance_A, energy_eV)(fine)
    return float(fine[values.argmin()]), float(values.min())


def wells(model: str, labelled: str, scans: str, out: Path) -> None:
    """Write the tables and the figure."""
    from frazil.potentials.gmnn.committee import Committee
    from frazil.potentials.gmnn.files import read_model

    training, given = load_frames(labelled), load_frames(scans)
    seen = {fingerprint(atoms) for atoms in training}
    assert not any(fingerprint(atoms) in seen for atoms in given), "a scanned frame was trained on"
    frames = interaction(given, curves(training))
    committee = Committee(read_model(Path(model)))
    parts = [atoms[[2 * i, 2 * i + 1]] for atoms in frames for i in (0, 1)]
    alone = (
        np.array([p.energies_eV for p in committee.predict(parts)]).reshape(len(frames), 2, -1).sum(axis=1)
    )
    members = np.array([p.energies_eV for p in committee.predict(frames)]) - alone
    table = pandas.DataFrame(
        {
            "scan": [atoms.info["scan"] for atoms in frames],
            "distance_A": [atoms.info["distance_A"] for atoms in frames],
            "reference_eV": [atoms.get_potential_energy() for atoms in frames],
            "committee_eV": members.mean(axis=1),
            "spread_eV": members.std(axis=1, ddof=1),
        }
    )
    rows = []
    names = list(dict.fromkeys(table["scan"]))
    canvas, axes = new(columns=len(names), width_in=2.6 * len(names), height_in=2.8)
    for axis, name in zip(axes[0], names, strict=True):
        own = table[table["scan"] == name]
        where, depth = minimum(own["distance_A"].to_numpy(), own["reference_eV"].to_numpy())
        found, guess = minimum(own["distance_A"].to_numpy(), own["committee_eV"].to_numpy())
        rows.append((name, where, -depth / invcm, found, -guess / invcm, guess / depth - 1))
        energies, spread = own["committee_eV"] * 1e3, own["spread_eV"] * 1e3
        axis.errorbar(
            own["distance_A"], energies, spread, color=CYCLE[0], fmt="o-", ms=3, label="committee ± spread"
        )
        axis.plot(own["distance_A"], own["reference_eV"] * 1e3, "x", color=BLACK, zorder=3, label="labels")
        low = own[["reference_eV", "committee_eV"]].to_numpy().min() * 1e3
        axis.set(title=name, xlabel="distance of centres (Å)", ylim=(1.3 * low, -1.3 * low))
    axes[0][0].set_ylabel("interaction energy (meV)")
    axes[0][-1].legend()
    columns = ["scan", "reference_A", "reference_cm1", "committee_A", "committee_cm1", "relative_error"]
    summary = pandas.DataFrame(rows, columns=columns)
    print(summary.to_string(index=False))
    for stem, content in (("wells", summary), ("wells_points", table)):
        with write_atomic(out / f"{stem}.csv") as partial:
            content.to_csv(partial, index=False, float_format="%.6g")
    with write_atomic(out / "wells.png") as partial:
        canvas.savefig(partial, format="png", dpi=110)


def main() -> None:
    """Run one of the two commands."""
    if len(sys.argv) == 4 and sys.argv[1] == "interactions":
        frames = load_frames(sys.argv[2])
        write_frames(Path(sys.argv[3]), interaction(frames, curves(frames)))
    elif len(sys.argv) == 6 and sys.argv[1] == "wells":
        wells(sys.argv[2], sys.argv[3], sys.argv[4], Path(sys.argv[5]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
