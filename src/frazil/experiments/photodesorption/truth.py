"""Truth check: the same starts under model and teacher, and the teacher's energy along the model's paths."""

from collections.abc import Callable
from pathlib import Path

import ase
import numpy as np
import pandas

from frazil.analysis.statistics import (
    Clustered,
    cluster_bootstrap,
    compare,
    difference_unpaired,
    jeffreys,
    mean,
    median,
)
from frazil.experiments.photodesorption.shards import Ensemble
from frazil.experiments.photodesorption.statistics import FEWEST, NAN
from frazil.experiments.photodesorption.tables import AGREEMENT, DISTRIBUTIONS, DRIFT, NET_FORCE
from frazil.seeds import rng

WIDEST = 0.25
"""Probabilities whose difference is known to no better than this cannot be said to agree."""
FRAMES_PER_CALL = 64
"""Frames that the teacher labels at once."""


def agreement(
    model: Ensemble, teacher: Ensemble, times_fs: list[float], campaign_seed: int
) -> pandas.DataFrame:
    """Compare model and teacher on the starts that both ran; one row per quantity (table ``truth.csv``).

    Probabilities: Jeffreys intervals, and Newcombe's interval of the difference, taken as unpaired
    (trajectories are chaotic after about 1 ps: equal starts say little about equal ends); ``paired_*`` is the
    interval by bootstrap over the shared trajectory ids. Medians and means: bootstrap over trajectories, of
    the difference with shared draws. ``agrees``: "yes" where the interval of the difference holds 0, else
    "no"; "cannot tell" where fewer than 5 values are on either side, and of probabilities where the interval
    that holds 0 reaches farther than ``WIDEST`` (0 of 6 against 0 of 6).
    """
    ids = np.intersect1d(model.ids, teacher.ids)
    pair = (model.restricted(ids), teacher.restricted(ids))
    rows = [_probability_row(pair, ids, time, campaign_seed) for time in times_fs]
    quantities: list[tuple[str, str, Callable[[np.ndarray], float], Callable[[Ensemble], Clustered]]] = [
        ("median first desorption time", "fs", median, lambda e: e.first_desorptions),
        ("median translational energy", "meV", median, lambda e: e.of("translational_energy_meV")),
        ("mean translational energy", "meV", mean, lambda e: e.of("translational_energy_meV")),
        ("mean rotational quantum number", "", mean, lambda e: e.of("rotational_quantum_number")),
    ]
    for name, unit, statistic, values in quantities:
        samples = [values(ensemble) for ensemble in pair]
        rows.append(_value_row(name, unit, statistic, samples, ids, campaign_seed))
    return AGREEMENT.frame(rows)


def _probability_row(
    pair: tuple[Ensemble, Ensemble], ids: np.ndarray, time_fs: float, campaign_seed: int
) -> dict[str, object]:
    n = len(ids)
    desorbed = []
    for ensemble in pair:
        times = ensemble.first_desorptions
        desorbed.append(np.isin(ids, times.clusters[times.values <= time_fs]).astype(float))
    k = [int(item.sum()) for item in desorbed]
    low, high = difference_unpaired(k[0], n, k[1], n)
    samples = [Clustered(item, ids) for item in desorbed]
    paired = cluster_bootstrap(
        lambda a, b: mean(a) - mean(b), samples, ids, rng(campaign_seed, "truth", round(time_fs))
    )
    return _row(
        f"desorption probability by {time_fs:g} fs", "", (n, n), [item / n if n else NAN for item in k],
        [jeffreys(k[0], n), jeffreys(k[1], n)], (low, high), paired, "Newcombe, unpaired", WIDEST,
    )  # fmt: skip


def _value_row(
    name: str,
    unit: str,
    statistic: Callable[[np.ndarray], float],
    samples: list[Clustered],
    ids: np.ndarray,
    campaign_seed: int,
) -> dict[str, object]:
    sizes = (len(samples[0].values), len(samples[1].values))
    values = [statistic(sample.values) if len(sample.values) else NAN for sample in samples]
    intervals, difference = [(NAN, NAN), (NAN, NAN)], (NAN, NAN)
    if min(sizes) >= FEWEST:
        stream = f"truth {name}"
        intervals = [
            cluster_bootstrap(statistic, [sample], ids, rng(campaign_seed, stream, index))
            for index, sample in enumerate(samples)
        ]
        difference = cluster_bootstrap(
            lambda a, b: statistic(a) - statistic(b), samples, ids, rng(campaign_seed, stream, 2)
        )
    return _row(name, unit, sizes, values, intervals, difference, difference, "bootstrap, paired")


def _row(
    name: str,
    unit: str,
    sizes: tuple[int, int],
    values: list[float],
    intervals: list[tuple[float, float]],
    difference: tuple[float, float],
    paired: tuple[float, float],
    method: str,
    widest: float = np.inf,
) -> dict[str, object]:
    low, high = difference
    return {
        "quantity": name, "unit": unit, "n_model": sizes[0], "n_teacher": sizes[1],
        "model": values[0], "model_low_95": intervals[0][0], "model_high_95": intervals[0][1],
        "teacher": values[1], "teacher_low_95": intervals[1][0], "teacher_high_95": intervals[1][1],
        "difference": values[0] - values[1], "difference_low_95": low, "difference_high_95": high,
        "agrees": _agrees(low, high, widest),
        "paired_low_95": paired[0], "paired_high_95": paired[1], "interval": method,
    }  # fmt: skip


def _agrees(low: float, high: float, widest: float) -> str:
    if low > 0 or high < 0:
        return "no"
    return "yes" if max(-low, high) <= widest else "cannot tell"  # nan is not


def distributions(model: Ensemble, teacher: Ensemble, campaign_seed: int) -> pandas.DataFrame:
    """Return KS test and Wasserstein distance (with interval) of whole distributions, on shared starts."""
    ids = np.intersect1d(model.ids, teacher.ids)
    one, two = model.restricted(ids), teacher.restricted(ids)
    pairs = [
        ("first desorption time", "fs", one.first_desorptions, two.first_desorptions),
        *(
            (name, unit, one.of(column), two.of(column))
            for name, unit, column in (
                ("translational energy", "meV", "translational_energy_meV"),
                ("rotational quantum number", "", "rotational_quantum_number"),
                ("vibrational energy", "meV", "vibrational_energy_meV"),
            )
        ),
    ]
    rows = []
    for index, (name, unit, first, second) in enumerate(pairs):
        found = compare(first, second, ids, rng(campaign_seed, "distributions", index))
        few = min(found.n1, found.n2) < FEWEST
        rows.append(
            {
                "quantity": name, "unit": unit, "n_model": found.n1, "n_teacher": found.n2,
                "ks_statistic": NAN if few else found.ks_statistic, "ks_p": NAN if few else found.ks_p,
                "wasserstein": NAN if few else found.wasserstein,
                "wasserstein_low_95": NAN if few else found.wasserstein_low,
                "wasserstein_high_95": NAN if few else found.wasserstein_high,
            }
        )  # fmt: skip
    return DISTRIBUTIONS.frame(rows)


def energy_along_paths(
    frames: list[ase.Atoms], teacher_energies_eV: np.ndarray
) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Return the total energy under the model and under the teacher along the model's own trajectories.

    Potential energy of the teacher plus the kinetic energy of the model's path, relative to the trajectory's
    first frame, per atom: where the model agrees with its teacher it stays at 0.

    Args:
        frames: kept frames with momenta, info ``trajectory_id``, ``time_fs`` and the model's energy.
        teacher_energies_eV: (n,) teacher's potential energy of each frame.

    Returns:
        One row per frame, and one per trajectory (standard deviation and largest deviation).
    """
    rows = [
        {
            "trajectory_id": atoms.info["trajectory_id"],
            "time_fs": float(atoms.info["time_fs"]),
            "n_atoms": len(atoms),
            "kinetic_energy_eV": float(atoms.get_kinetic_energy()),
            "model_potential_energy_eV": _model_energy(atoms),
            "teacher_potential_energy_eV": float(energy),
        }
        for atoms, energy in zip(frames, teacher_energies_eV, strict=True)
    ]
    path = pandas.DataFrame(rows).sort_values(["trajectory_id", "time_fs"], ignore_index=True)
    for who in ("model", "teacher"):
        total = path[f"{who}_potential_energy_eV"] + path["kinetic_energy_eV"]
        start = total.groupby(path["trajectory_id"]).transform("first")
        path[f"{who}_deviation_meV_per_atom"] = 1000 * (total - start) / path["n_atoms"]
    summary = []
    for trajectory_id, part in path.groupby("trajectory_id"):
        row: dict[str, object] = {"trajectory_id": trajectory_id, "n_frames": len(part)}
        for who in ("model", "teacher"):
            deviation = part[f"{who}_deviation_meV_per_atom"].to_numpy(float)
            row[f"{who}_std_meV_per_atom"] = deviation.std(ddof=1) if len(deviation) > 1 else NAN
            row[f"{who}_max_meV_per_atom"] = np.abs(deviation).max()
        summary.append(row)
    return path.drop(columns="n_atoms"), DRIFT.frame(summary)


def _model_energy(atoms: ase.Atoms) -> float:
    if "potential_energy_eV" in atoms.info:
        return float(atoms.info["potential_energy_eV"])
    return float(atoms.get_potential_energy()) if atoms.calc is not None else NAN


def net_forces(
    frames: list[ase.Atoms], model_forces: list[np.ndarray], teacher_forces: list[np.ndarray]
) -> pandas.DataFrame:
    """Return how well the net force on whole molecules (C + O) is met, for ground and excited molecules.

    It is what moves a molecule's centre of mass; atomic errors are dominated by the stiff bond and hide it.
    """
    excited = np.concatenate([np.asarray(atoms.arrays["excited"])[::2] != 0 for atoms in frames])
    net = [
        np.concatenate([np.asarray(force).reshape(-1, 2, 3).sum(axis=1) for force in forces])
        for forces in (model_forces, teacher_forces)
    ]
    rows = []
    for name, chosen in (("ground", ~excited), ("excited", excited), ("all", np.ones_like(excited))):
        error, signal = (net[0] - net[1])[chosen], net[1][chosen]
        filled = len(signal) > 0
        rows.append(
            {
                "molecules": name,
                "n": len(signal),
                "net_force_rms_eV_per_A": float(np.sqrt((signal**2).mean())) if filled else NAN,
                "error_rmse_eV_per_A": float(np.sqrt((error**2).mean())) if filled else NAN,
                "error_max_eV_per_A": float(np.abs(error).max()) if filled else NAN,
            }
        )
    return NET_FORCE.frame(rows)


def teacher_labels(
    frames: list[ase.Atoms], level: str, coupling_eV: float
) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """Return the teacher's energies (eV) and forces (eV/Å); None for a level that is no force field."""
    if level != "van-hemert":
        return None
    from frazil.potentials.analytic.van_hemert import evaluate

    energies, forces = np.empty(len(frames)), [np.empty((0, 3))] * len(frames)
    sizes = np.array([len(atoms) for atoms in frames])
    for size in np.unique(sizes):
        members = np.nonzero(sizes == size)[0]
        for first in range(0, len(members), FRAMES_PER_CALL):
            some = members[first : first + FRAMES_PER_CALL]
            full = np.resize(some, FRAMES_PER_CALL)  # one shape: compiled once per size
            energy, force, _ = evaluate(np.array([frames[index].positions for index in full]), coupling_eV)
            energies[some] = np.asarray(energy)[: len(some)]
            for index, one in zip(some, np.asarray(force), strict=False):
                forces[index] = one
    return energies, forces


def model_forces(model: Path | str, frames: list[ase.Atoms]) -> list[np.ndarray]:
    """Return the forces (eV/Å) of a DeePMD model (directory or file) on frames."""
    from frazil.potentials.deepmd.model import evaluate, model_file_of

    return list(evaluate(model_file_of(model), frames)[1])
