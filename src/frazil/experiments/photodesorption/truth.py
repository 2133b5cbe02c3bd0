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
from frazil.experiments.photodesorption.tables import (
    AGREEMENT,
    AIMD_DISTRIBUTIONS,
    BESIDE_AIMD,
    DISTRIBUTIONS,
    DRIFT,
    NET_FORCE,
)
from frazil.seeds import rng

WIDEST = 0.25
"""Probabilities whose difference is known to no better than this cannot be said to agree."""
FRAMES_PER_CALL = 64
"""Frames that the teacher labels at once."""


def agreement(
    model: Ensemble, teacher: Ensemble, times_fs: list[float], campaign_seed: int, who: str = "teacher"
) -> pandas.DataFrame:
    """Compare model and teacher on the starts that both ran; one row per quantity (table ``truth.csv``).

    ``who`` "aimd": the second ensemble has starts of its own, all of both count, nothing is paired
    (``aimd.csv``).

    Probabilities: Jeffreys intervals, and Newcombe's interval of the difference, taken as unpaired
    (trajectories are chaotic after about 1 ps: equal starts say little about equal ends); ``paired_*`` is the
    interval by bootstrap over the shared trajectory ids. Medians and means: bootstrap over trajectories, of
    the difference with shared draws. ``agrees``: "yes" where the interval of the difference holds 0, else
    "no"; "cannot tell" where fewer than 5 values are on either side, and of probabilities where the interval
    that holds 0 reaches farther than ``WIDEST`` (0 of 6 against 0 of 6).
    """
    pair = _pair(model, teacher, who)
    rows = [_probability_row(pair, time, campaign_seed, who) for time in times_fs]
    quantities: list[tuple[str, str, Callable[[np.ndarray], float], Callable[[Ensemble], Clustered]]] = [
        ("median first desorption time", "fs", median, lambda e: e.first_desorptions),
        ("median translational energy", "meV", median, lambda e: e.of("translational_energy_meV")),
        ("mean translational energy", "meV", mean, lambda e: e.of("translational_energy_meV")),
        ("mean rotational quantum number", "", mean, lambda e: e.of("rotational_quantum_number")),
    ]
    for name, unit, statistic, values in quantities:
        samples = [values(ensemble) for ensemble in pair]
        rows.append(_value_row(name, unit, statistic, samples, _ids_of(pair), campaign_seed, who))
    return (AGREEMENT if who == "teacher" else BESIDE_AIMD).frame(rows)


def _pair(model: Ensemble, other: Ensemble, who: str) -> tuple[Ensemble, Ensemble]:
    """Return both on shared starts, or both whole, the second's ids moved beyond the first's."""
    if who == "teacher":
        ids = np.intersect1d(model.ids, other.ids)
        return model.restricted(ids), other.restricted(ids)
    first_id = int(model.ids.max()) + 1
    moved = {
        name: (table := getattr(other, name)).assign(trajectory_id=table["trajectory_id"] + first_id)
        for name in ("trajectories", "desorbed", "crossings")
    }
    return model, Ensemble(**moved)


def _ids_of(pair: tuple[Ensemble, Ensemble]) -> np.ndarray:
    """Return the trajectories of both; a draw among all of unpaired ones draws each side's number too."""
    return np.union1d(pair[0].ids, pair[1].ids)


def _probability_row(
    pair: tuple[Ensemble, Ensemble], time_fs: float, campaign_seed: int, who: str
) -> dict[str, object]:
    n = [len(ensemble.ids) for ensemble in pair]
    desorbed = []
    for ensemble in pair:
        times = ensemble.first_desorptions
        left = np.isin(ensemble.ids, times.clusters[times.values <= time_fs]).astype(float)
        desorbed.append(Clustered(left, ensemble.ids))
    k = [int(item.values.sum()) for item in desorbed]
    low, high = difference_unpaired(k[0], n[0], k[1], n[1])
    paired = (NAN, NAN)
    if who == "teacher":
        draws = rng(campaign_seed, "truth", round(time_fs))
        paired = cluster_bootstrap(lambda a, b: mean(a) - mean(b), desorbed, _ids_of(pair), draws)
    return _row(
        f"desorption probability by {time_fs:g} fs", "", (n[0], n[1]),
        [item / size if size else NAN for item, size in zip(k, n, strict=True)],
        [jeffreys(k[0], n[0]), jeffreys(k[1], n[1])], (low, high), paired, "Newcombe, unpaired", who, WIDEST,
    )  # fmt: skip


def _value_row(
    name: str,
    unit: str,
    statistic: Callable[[np.ndarray], float],
    samples: list[Clustered],
    ids: np.ndarray,
    campaign_seed: int,
    who: str,
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
    paired = who == "teacher"
    return _row(
        name, unit, sizes, values, intervals, difference, difference if paired else (NAN, NAN),
        "bootstrap, paired" if paired else "bootstrap, unpaired", who,
    )  # fmt: skip


def _row(
    name: str,
    unit: str,
    sizes: tuple[int, int],
    values: list[float],
    intervals: list[tuple[float, float]],
    difference: tuple[float, float],
    paired: tuple[float, float],
    method: str,
    who: str,
    widest: float = np.inf,
) -> dict[str, object]:
    low, high = difference
    return {
        "quantity": name, "unit": unit, "n_model": sizes[0], f"n_{who}": sizes[1],
        "model": values[0], "model_low_95": intervals[0][0], "model_high_95": intervals[0][1],
        who: values[1], f"{who}_low_95": intervals[1][0], f"{who}_high_95": intervals[1][1],
        "difference": values[0] - values[1], "difference_low_95": low, "difference_high_95": high,
        "agrees": _agrees(low, high, widest),
        "paired_low_95": paired[0], "paired_high_95": paired[1], "interval": method,
    }  # fmt: skip


def _agrees(low: float, high: float, widest: float) -> str:
    if low > 0 or high < 0:
        return "no"
    return "yes" if max(-low, high) <= widest else "cannot tell"  # nan is not


def distributions(
    model: Ensemble, teacher: Ensemble, campaign_seed: int, who: str = "teacher"
) -> pandas.DataFrame:
    """Return KS test and Wasserstein distance (with interval) of whole distributions, on shared starts.

    ``who`` as in ``agreement``.
    """
    one, two = _pair(model, teacher, who)
    ids = _ids_of((one, two))
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
                "quantity": name, "unit": unit, "n_model": found.n1, f"n_{who}": found.n2,
                "ks_statistic": NAN if few else found.ks_statistic, "ks_p": NAN if few else found.ks_p,
                "wasserstein": NAN if few else found.wasserstein,
                "wasserstein_low_95": NAN if few else found.wasserstein_low,
                "wasserstein_high_95": NAN if few else found.wasserstein_high,
            }
        )  # fmt: skip
    return (DISTRIBUTIONS if who == "teacher" else AIMD_DISTRIBUTIONS).frame(rows)


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
