"""What a run or a step is going to cost: said before it starts, and asked from some hours on.

Core hours of a 2.6 GHz server core, from what docs/benchmarks.md and docs/validation.md measured, good to a
factor of two or three: enough to tell minutes from months. Standard library only: a login node asks it, too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from frazil.errors import UserError
from frazil.files import compositions
from frazil.systems.settings import composition_of

SAID_h, ASKED_h = 0.5, 2.0
"""Core hours from which a cost is said, and from which it must be agreed to."""
COST_s, COST_OF_ATOMS, COST_OF_BASIS = 4.9e-3, 1.7, 0.9
"""Of a density functional's label: COST_s × atoms^… × (basis functions)^…, one core of 2026."""
BASIS_FUNCTIONS = {
    "def2-svp": (5, 14), "def2-tzvp": (6, 31), "def2-qzvp": (30, 57), "cc-pvtz": (14, 30),
    "cc-pvqz": (30, 55), "aug-cc-pvdz": (9, 23), "aug-cc-pvtz": (23, 46),
}  # fmt: skip
"""Of a hydrogen and of an atom of the second row."""
FACTORS = {"hessian": 10, "polarizability": 2}
"""What a label may be asked for besides energy, forces and dipole, and how many times as much it costs."""
RELAXATION_LABELS = 40
"""Of a structure that is nearly at rest."""
COUPLED_CLUSTER = 30.0
"""A small dimer by CCSD(T), in labels by a functional in the same basis; a guess, nothing measured."""
TIGHT_BINDING = ("gfn1-xtb", "gfn2-xtb")
PAIR_s = 3e-8
"""An analytic potential in the engine: per pair of atoms and step."""
EWALD, EWALD_s = "q-tip4p-f", 1.1e-7
"""The potential whose charges in a cell take Ewald's sum: per pair of atoms and step (48 atoms: 0.27 ms)."""
MOVED = {"deepmd": (20.6e-6, 141e-12), "gmnn": (3.3e-6, 65e-12)}
"""Dynamics: s per atom and step, and that per weight of the network (LAMMPS; the engine)."""
TRAINED = {"deepmd": (1.2, 3.0), "gmnn": (6.0, 6.0)}
"""A training step, in those."""
SHALLOW_TRAINING = 1.3
"""A training of several heads, in those of one: what it may cost, not a measurement."""
RELAXING_STEPS = 300
"""Of a minimization towards a binding site."""
AS_LARGE = "training, if the data set is as large as the paper's"
CLUSTER_ATOMS = 24
"""Of a frame of Table 1 of the sticking paper, in the mean; of one of more molecules in proportion."""
BARE_FRAMES, BARE_ATOMS = 0.03, 0.084
"""Of that table's frames, and of their atoms, what has no projectile."""
EPOCHS_OF_A_PLATEAU = 2.0
"""Of a learning rate, in those that its plateau waits; a guess."""
DENSITY_FACTOR, RESPONSE_FACTOR, STEPS_FACTOR = 0.6, 2.0, 0.8
"""Of a density, which has no forces, in labels; with its response; a step of the field and what judges it."""
MODEL_s = 5e-4
"""Learning a density and its response: per model or member, training frame and sparse environment."""
MOST_PAIRS = 40
"""Neighbours of an atom within 5 Å of matter, about."""


def said(parts: Mapping[str, float]) -> str:
    """Return a cost for people: in all, and what of it takes most. Empty below half a core hour."""
    total = sum(parts.values())
    if not total >= SAID_h:
        return ""
    most = sorted(parts.items(), key=lambda part: -part[1])[:3]
    listed = ", ".join(f"{name} {_round(hours)}" for name, hours in most if hours >= 0.05 * total)
    return f"estimated cost: {_round(total)} core hours, to a factor of two or three" + (
        f" ({listed})" if len(parts) > 1 else ""
    )


def agreed(parts: Mapping[str, float], yes: bool) -> str:
    """Return what is said of a cost. Raises UserError for one that must be agreed to and is not."""
    text = said(parts)
    if text and sum(parts.values()) >= ASKED_h and not yes:
        raise UserError(f"{text}; give --yes to start it, or smaller numbers")
    return text


def label_s(level: str, composition: Mapping[str, float]) -> float:
    """Return the seconds of one label of some atoms (number by element)."""
    n_atoms = sum(composition.values())
    cheap = {**dict.fromkeys(TIGHT_BINDING, 9e-5 * n_atoms**2), "gfn-ff": 2e-4 * n_atoms}
    if level in cheap or "/" not in level:
        return cheap.get(level, 2e-6 * n_atoms**2)
    method, basis = level.split("/")
    hydrogen, heavy = BASIS_FUNCTIONS.get(basis, BASIS_FUNCTIONS["aug-cc-pvtz"])
    n_basis = sum(n * (hydrogen if symbol == "H" else heavy) for symbol, n in composition.items())
    seconds = COST_s * n_atoms**COST_OF_ATOMS * n_basis**COST_OF_BASIS
    return seconds * (COUPLED_CLUSTER if method.startswith("ccsd") else 1.0)


def minimum_s(level: str, composition: Mapping[str, int]) -> float:
    """Return the seconds of a structure's minimum: labels of its relaxation, and its second derivatives.

    A level of PySCF gives these itself; others are differentiated, six labels an atom.
    """
    second = FACTORS["hessian"] if "/" in level else 6 * sum(composition.values())
    return (RELAXATION_LABELS + second) * label_s(level, composition)


def times_asked(*extras: str) -> float:
    """Return how many times a plain label's cost one with these extras takes."""
    return 1.0 + sum(FACTORS[name] for name in extras)


def network_s(kind: str, weights: float, training: bool = False) -> float:
    """Return the seconds per atom and step of dynamics, or of training."""
    parts = TRAINED[kind] if training else (1.0, 1.0)
    return parts[0] * MOVED[kind][0] + parts[1] * MOVED[kind][1] * weights


def deepmd_weights(settings: Any) -> float:
    """Return the weights that each atom passes, of an se_e2_a network."""
    fitting = tuple(settings.fitting)
    return float(settings.embedding[-1] * settings.axis * fitting[0] + _products(fitting))


def gmnn_weights(settings: Any) -> float:
    """Return the weights that each atom passes, of a Gaussian-moment network; a longer cutoff counts more."""
    products = _products((round(14.4 * settings.n_radial**2), *settings.hidden, 1))
    return float(products * max(1.0, (settings.cutoff_A / 5.5) ** 2))


def of_run(run: Any) -> dict[str, float]:
    """Return the core hours of a run (``parameters.resolve``) by what takes them.

    Files that cannot be read are left to the task that refuses them.
    """
    found: dict[str, float] = {}
    for name in run.experiments:
        try:
            for what, seconds in RUNS.get(name, _nothing)(run):
                found[what] = found.get(what, 0.0) + seconds / 3600
        except (OSError, ValueError, LookupError):
            continue
    return found


def of_step(name: str, made: Any) -> dict[str, float]:
    """Return the core hours of a step by hand; none where it is short, or its files cannot be read."""
    try:
        return {name: STEPS[name](made) / 3600} if name in STEPS else {}
    except (OSError, ValueError, LookupError):
        return {}


def _nothing(run: Any) -> Iterator[tuple[str, float]]:
    return iter(())


def _photodesorption(run: Any) -> Iterator[tuple[str, float]]:
    if not run.photodesorption.trains:
        yield from _given_photodesorption(run)
        return
    n_atoms = 2 * run.frames.sampling.n_molecules
    weights = deepmd_weights(run.deepmd.training)
    atom_s = network_s("deepmd", weights)
    step_s, teacher_s = n_atoms * atom_s, PAIR_s * n_atoms**2
    each_s = label_s(run.labels.level, {"C": n_atoms // 2, "O": n_atoms // 2})
    heat, moved, explored = run.thermalization, run.photodesorption.trajectories, run.exploration
    frames = run.frames.sampling
    training = run.deepmd.training
    frame_s = n_atoms * network_s("deepmd", weights, training=True) * training.batch_size
    steps = training.n_steps + explored.rounds * explored.n_steps
    yield "training", run.deepmd.n_models * steps * frame_s
    sampled = _sampled(run)
    length_fs = frames.excited_duration_fs * frames.n_excited + frames.thermal_duration_fs * frames.n_thermal
    if run.labels.dataset is None:
        yield "sampling", length_fs / frames.timestep_fs * teacher_s
        yield "labels", sampled * each_s
    exploring = explored.n_trajectories + explored.n_ground
    yield (
        "exploration",
        explored.rounds * exploring * explored.duration_fs / explored.timestep_fs * step_s
        + explored.rounds * explored.max_frames * each_s,
    )  # fmt: skip
    yield (
        "thermalization",
        heat.n_replicas * (heat.equilibration_fs + heat.duration_fs) / heat.timestep_fs * step_s,
    )
    steps_each = moved.duration_fs / moved.timestep_fs
    photo = run.photodesorption
    yield "trajectories", (photo.n_trajectories + photo.n_control) * steps_each * step_s
    yield "truth", (photo.n_truth + photo.n_control) * steps_each * teacher_s


def _sampled(run: Any) -> float:
    """Return the frames of photodesorption that are sampled and labelled."""
    frames = run.frames.sampling
    sampled = frames.n_contacts + frames.n_compressed + frames.n_bonds
    starts = (*run.labels.window_starts_fs, frames.excited_duration_fs)
    for first, last, every in zip(starts, starts[1:], run.labels.window_intervals_fs):
        sampled += frames.n_excited * max(last - first, 0) / every
    return float(sampled)


PACKING_fs = 2000.0
"""A random packing on its way down to an aggregate, whose frames are labelled too."""


def _given_photodesorption(run: Any) -> Iterator[tuple[str, float]]:
    """Yield what a run of any molecules takes, and of a committee of them its labels and training."""
    own, heat, frames = run.photodesorption, run.thermalization, run.frames.sampling
    ice = _together(_shared((own.molecule, *own.other_molecules), own.parts, frames.n_molecules))
    n_atoms = round(sum(ice.values()))
    weights = gmnn_weights(run.gmnn.architecture) if own.learns else 0.0
    if own.learns:
        n_frames = float(_sampled(run))
        if run.labels.dataset is None:
            length_fs = frames.excited_duration_fs * frames.n_excited + PACKING_fs * frames.n_packings
            length_fs += frames.thermal_duration_fs * frames.n_thermal
            moves = frames.potential if frames.model is None else "gmnn"
            yield "sampling", length_fs / frames.timestep_fs * _step_s(moves, n_atoms, weights)
            yield "labels", n_frames * label_s(run.labels.level, ice)
        counted = _counted(run.labels.dataset)
        _, learnt_atoms = counted or (n_frames, n_frames * n_atoms)
        training = run.gmnn.training
        epoch_s = own.n_members * _heads(training) * run.labels.train_fraction * learnt_atoms
        yield "training", training.n_epochs * epoch_s * network_s("gmnn", weights, training=True)
    step_s = (
        _step_s(own.potential, n_atoms, weights) if own.model is None else _members(own.model, n_atoms)[1]
    )
    length_fs = heat.n_replicas * (heat.equilibration_fs + heat.duration_fs)
    yield "thermalization", length_fs / heat.timestep_fs * step_s
    steps_each = own.trajectories.duration_fs / own.trajectories.timestep_fs
    yield "trajectories", (own.n_trajectories + own.n_control) * steps_each * step_s


def _heads(training: Any) -> float:
    """Return what the heads of a network make its training cost, in trainings of one."""
    return SHALLOW_TRAINING if training.n_heads > 1 else 1.0


def _sticking(run: Any) -> Iterator[tuple[str, float]]:
    from frazil.experiments.sticking.settings import PLACED_FRAMES, PLACED_MOLECULES

    own = run.sticking
    surface, grid, campaign, attempts = own.preparation, own.grid, own.campaign, own.attempts
    weights = gmnn_weights(run.gmnn.architecture)
    if own.trains:
        frames = {10: 20344 * own.training_scale}
        for n in PLACED_MOLECULES:
            frames[n] = frames.get(n, 0.0) + PLACED_FRAMES * own.n_placed / len(PLACED_MOLECULES)
        counted = _counted(own.dataset)
        known_atoms = CLUSTER_ATOMS / 10 * sum(n * count for n, count in frames.items())
        learnt_atoms, beside_s = counted[1] if counted else known_atoms, 0.0
        if run.gmnn.adsorbate.adsorbate:
            learnt_atoms, beside_s = _adsorbed(run, learnt_atoms, counted is not None)
        cut = 2 * own.cutout_rounds * own.cutouts.max_cutouts
        train_s = learnt_atoms * network_s("gmnn", weights, training=True)
        each = own.n_members * run.labels.train_fraction
        anew, from_here = run.gmnn.training.n_epochs, own.model is None
        epochs = anew * from_here + own.cutout_rounds * (own.cutout_epochs or anew)
        surface_s = epochs * _heads(run.gmnn.training) * train_s
        told = "training" if counted or own.dataset is None else AS_LARGE
        yield told, each * (surface_s + (from_here + own.cutout_rounds) * beside_s)
        yield "labels", cut * label_s(own.label_level, _cluster(surface, 15))
        if own.dataset is None:
            for n, count in frames.items():
                yield "labels", count * label_s(own.label_level, _cluster(surface, n))
                yield "exploring clusters", 10 * count * label_s("gfn-ff", _cluster(surface, n))
    each = sum(_together(_shared(surface.molecules, surface.parts, 1)).values())
    for phase in own.phases:
        n_atoms = round(each * getattr(surface, f"n_{phase}")) + _atoms_of(surface.projectile)
        step_s = _step_s(own.potential, n_atoms, weights)
        temperatures = len(campaign.surface_temperatures_K)
        anneal_fs = surface.anneal_fs * (phase == "amorphous")
        length_fs = surface.n_snapshots * (anneal_fs + temperatures * surface.thermalization_fs)
        yield "surfaces", length_fs / surface.surface_timestep_fs * step_s
        n_sites = own.binding_surfaces * grid.binding_area_A2 / grid.binding_spacing_A**2
        yield "binding sites", n_sites * RELAXING_STEPS * step_s
        collisions = campaign.per_phase * campaign.duration_fs / campaign.timestep_fs
        yield "collisions", collisions * (step_s + (PAIR_s * n_atoms**2 if own.truth else 0.0))
        yield "attempts", attempts.n_attempts * attempts.attempts_duration_fs / campaign.timestep_fs * step_s


def _adsorbed(run: Any, n_atoms: float, counted: bool) -> tuple[float, float]:
    """Return the atoms that a surface's network learns in an epoch, and the seconds of all epochs of the
    adsorbate's: one member's, of all frames (``learning.adsorbate.frames_of_surface`` says which).

    ``n_atoms`` are those of all frames, ``counted`` in a file or as the settings will make them.
    """
    from frazil.experiments.sticking.settings import PLACED_BARE, PLACED_FRAMES

    own, beside = run.sticking, run.gmnn.adsorbate
    weights = gmnn_weights(replace(run.gmnn.architecture, **beside.size))
    atom_s = beside.adsorbate_epochs * network_s("gmnn", weights, training=True)
    if counted:
        found = compositions(own.dataset)
        return n_atoms, atom_s * sum(c.get(e, 0) for c in found for e in beside.adsorbate)
    tabled, placed = 20344 * own.training_scale, PLACED_FRAMES * own.n_placed
    tabled_atoms, bare = CLUSTER_ATOMS * tabled, PLACED_BARE / PLACED_FRAMES
    enough = BARE_FRAMES * tabled + bare * placed >= (1 - BARE_FRAMES) * tabled
    learnt = (BARE_ATOMS if enough else 1.0) * tabled_atoms + bare * (n_atoms - tabled_atoms)
    with_it = (1 - BARE_FRAMES) * tabled + (1 - bare) * placed
    return learnt, atom_s * with_it * _atoms_of(own.preparation.projectile)


def _cluster(surface: Any, n_molecules: int) -> dict[str, float]:
    """Return what a cluster of the ice's molecules and the projectile is made of, in the mean."""
    ice = _shared(surface.molecules, surface.parts, n_molecules)
    return _together([*ice, (surface.projectile, 1.0)])


def _shared(names: Sequence[str], parts: Sequence[float], n_molecules: int) -> list[tuple[str, float]]:
    """Return how many of all are of each kind, in the mean; no ``parts`` are equal ones."""
    parts = parts or [1.0] * len(names)
    return [(what, n_molecules * part / sum(parts)) for what, part in zip(names, parts)]


def _together(kinds: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the atoms, by element, of so many of each kind of molecule."""
    found: dict[str, float] = {}
    for what, number in kinds:
        for element, count in _composition_of(what).items():
            found[element] = found.get(element, 0.0) + number * count
    return found


def _infrared(run: Any) -> Iterator[tuple[str, float]]:
    own = run.infrared
    learning, runs = own.learning, own.runs
    path = own.structures or Path(__file__).parents[2] / "assets/structures/mgsio3.extxyz"
    clusters = list(compositions(Path(path)))
    if not clusters:
        return
    atoms = sum(sum(cluster.values()) for cluster in clusters)
    each_s = sum(label_s(learning.level, cluster) for cluster in clusters)
    rounds, mean_atoms = learning.max_rounds, atoms / len(clusters)
    minima_s = sum(minimum_s(learning.level, cluster) for cluster in clusters)
    in_rounds = rounds * learning.max_frames + learning.n_test
    yield "labels", minima_s + learning.n_initial * each_s + in_rounds * each_s / len(clusters)
    weights = gmnn_weights(own.architecture)
    n_networks, n_first = own.training.n_members, learning.n_initial * len(clusters)
    n_members = n_networks * own.training.n_heads
    epochs = n_first * own.training.n_epochs + learning.retraining_epochs * sum(
        n_first + learning.max_frames * number for number in range(1, rounds)
    )
    train_s = mean_atoms * network_s("gmnn", weights, training=True)
    yield "training", n_networks * _heads(own.training) * epochs * train_s
    step_s = atoms * network_s("gmnn", weights)
    exploring = rounds * learning.n_learning_replicas * len(learning.learning_temperatures_K)
    yield "exploration", exploring * learning.learning_duration_fs / runs.timestep_fs * n_members * step_s
    length_fs = len(runs.temperatures_K) * (runs.duration_fs + runs.equilibration_fs)
    yield "dynamics", n_members * runs.n_replicas * length_fs / runs.timestep_fs * step_s
    yield "the label's own dynamics", own.n_label_replicas * length_fs / own.label_timestep_fs * each_s


def _level_of_theory(run: Any) -> Iterator[tuple[str, float]]:
    own = run.level_of_theory
    pairs = (({"C": 1, "O": 1, "H": 2}, own.h2_radii_A), ({"C": 2, "O": 2}, own.co_radii_A))
    for composition, radii in pairs:
        n = own.n_points * len(radii)
        parts = 3 if own.counterpoise else 1
        for level in own.levels:
            yield "levels", n * label_s(level, composition)
        yield "reference", parts * n * label_s(own.reference, composition)


def _dynamic_training(run: Any) -> Iterator[tuple[str, float]]:
    own = run.dynamic_training
    data, training, size = own.data, own.training, own.size
    atoms = 2 * data.trajectory_molecules
    n_train = data.n_trajectories - data.n_test_trajectories - data.n_validation_trajectories
    starts = training.starts_per_epoch or n_train * (data.n_frames - training.longest + 1)
    falls = math.log(training.smallest_rate / training.learning_rate) / math.log(training.rate_factor)
    epochs = EPOCHS_OF_A_PLATEAU * falls * (training.plateau_epochs + 1)
    if size.network == "gmnn":
        weights = gmnn_weights(size)
    else:
        pairs = min(atoms - 1, MOST_PAIRS) * size.n_layers
        weights = float(pairs * size.n_features * (2 * size.n_waves + size.n_features))
    lengths = training.longest * (training.longest + 1) / 2
    frames = starts * epochs * lengths * (1 + ("same-work" in own.arms))
    as_large = (
        "training, if the data set is as large as n_trajectories, n_frames and trajectory_molecules say"
    )
    told = "training" if data.dataset is None else as_large
    yield told, own.n_seeds * frames * atoms * network_s("gmnn", weights, training=True)


def _vibrations(run: Any) -> Iterator[tuple[str, float]]:
    from frazil.parameters import files_of

    own = run.vibrations
    files = files_of("vibrations", own)
    n_atoms = _first(Path(files["structure"]))
    members, step_s = _members(Path(files["model"]), n_atoms)
    steps = own.n_trajectories * members * step_s / own.timestep_fs
    yield "starts", steps * own.equilibration_fs
    yield "dynamics", steps * own.duration_fs


def _raman(run: Any) -> Iterator[tuple[str, float]]:
    from frazil.parameters import files_of

    own = run.raman
    files = files_of("raman", own)
    members, step_s = _members(Path(files["model"]), _first(Path(files["structure"])))
    steps = own.n_trajectories * members * step_s / own.timestep_fs
    yield "starts", steps * own.equilibration_fs
    yield "dynamics, without the polarizabilities along it", steps * own.duration_fs


def _hydrogen_bond(run: Any) -> Iterator[tuple[str, float]]:
    from frazil.experiments.hydrogen_bond.settings import MASS_NODES
    from frazil.parameters import files_of

    own = run.hydrogen_bond
    files = files_of("hydrogen_bond", own)
    structure = Path(files["structure"])
    members, step_s = _members(Path(files["model"]), _first(structure), _in_a_cell(structure))
    path = own.n_restraint_windows + own.n_coupling_windows + own.n_turn_windows * _in_a_cell(structure)
    for n_beads in own.n_beads:
        windows = path + 2 * MASS_NODES * (own.mass_integral and n_beads > 1)
        steps = own.n_trajectories * windows * (own.duration_fs + own.equilibration_fs) / own.timestep_fs
        # The cluster and its parts are two potentials.
        yield f"windows, {n_beads} bead{'s' * (n_beads > 1)}", 2 * members * steps * n_beads * step_s


def _field(run: Any) -> Iterator[tuple[str, float]]:
    from frazil.parameters import files_of

    own = run.field
    files = files_of("field", own)
    structure = Path(files["structure"])
    members, step_s = _members(Path(files["model"]), _first(structure), _in_a_cell(structure))
    starts = own.n_trajectories * members
    steps = (own.duration_fs + own.equilibration_fs) / own.timestep_fs
    for n_beads in own.n_beads:
        name = f"constant fields, {n_beads} bead{'s' * (n_beads > 1)}"
        yield name, starts * len(own.fields_V_per_A) * steps * n_beads * step_s
    yield "a field that changes with time", starts * own.drive_duration_fs / own.drive_timestep_fs * step_s


def _reaction(run: Any) -> Iterator[tuple[str, float]]:
    from frazil.experiments.reaction.settings import NO_TRUTH
    from frazil.parameters import files_of

    own = run.reaction
    files = files_of("reaction", own)
    composition = next(compositions(Path(files["structures"])))
    n_atoms = sum(composition.values())
    if own.model is not None:
        members, step_s = _members(Path(files["model"]), n_atoms)
    else:
        weights, members = gmnn_weights(own.architecture), own.training.n_members
        step_s = n_atoms * network_s("gmnn", weights)
        n_first, rounds = own.sampling.n_initial, own.learning.max_rounds
        frames = [n_first + number * own.learning.max_frames for number in range(rounds + 1)]
        train_s = n_atoms * network_s("gmnn", weights, training=True)
        yield "training", members * own.training.n_epochs * sum(frames) * train_s
        each_s = label_s(own.sampling.label_level, composition)
        # The band's steps, Hessians of the tube by differences, the frames.
        yield "labels", (100 * own.n_images + 5 * 12 * n_atoms + frames[-1]) * each_s
    length_fs = own.duration_fs + own.equilibration_fs
    steps = own.n_trajectories * own.n_windows * length_fs / own.timestep_fs
    for n_beads in own.n_beads:
        isotopes = len(own.isotopes) if n_beads > 1 else 1
        name = f"windows, {n_beads} bead{'s' * (n_beads > 1)}"
        yield name, members * steps * isotopes * n_beads * step_s
    if own.truth != NO_TRUTH:
        samples = own.n_trajectories * members * own.n_windows * own.n_truth_samples
        yield "the truth", samples * label_s(own.truth, composition)


def _density(run: Any) -> Iterator[tuple[str, float]]:
    from frazil.parameters import files_of

    own = run.density
    frames = list(compositions(Path(files_of("density", own)["frames"])))
    ordinary = frames[: own.n_trajectories - own.n_large]
    asked = RESPONSE_FACTOR if own.response else 1.0
    large_s = sum(label_s(own.level, frame) for frame in frames[len(frames) - own.n_large :])
    yield "labels", DENSITY_FACTOR * (asked * sum(label_s(own.level, frame) for frame in ordinary) + large_s)
    yield "models", MODEL_s * (1 + own.n_members) * sum(own.n_train) * own.n_environments
    yield "steps of the field", STEPS_FACTOR * large_s * min(own.n_steps, own.n_large) / max(own.n_large, 1)


def _members(model: Path, n_atoms: int, in_a_cell: bool = False) -> tuple[int, float]:
    """Return the members of a potential's folder, and the seconds of a step of one, by what it says."""
    folder = model if model.is_dir() else model.parent
    described = json.loads((folder / "model.json").read_text())
    kind, members = str(described.get("kind", "gmnn")), int(described.get("members", 1))
    if kind == "committee":
        parts = described["parts"]
        kind, members = str(parts[0]["kind"] if isinstance(parts[0], dict) else parts[0]), len(parts)
    if in_a_cell and kind == EWALD:
        return members, EWALD_s * n_atoms**2
    return members, _step_s(kind, n_atoms, 2.3e5 if kind == "deepmd" else 1.25e5)


def _step_s(kind: str, n_atoms: int, weights: float) -> float:
    """Return the seconds of a step under a potential of a kind; one that is not known is taken for pairs."""
    if kind in TIGHT_BINDING:
        return label_s(kind, {"": n_atoms})
    return n_atoms * network_s(kind, weights) if kind in MOVED else PAIR_s * n_atoms**2


def _atoms_of(what: str) -> int:
    """Return the atoms of a molecule by its formula, its file or, about, its SMILES; 2 where none tells."""
    return sum(_composition_of(what).values())


def _composition_of(what: str) -> dict[str, int]:
    """Return the atoms of a molecule by element, as ``_atoms_of``: of a SMILES heavy ones count as carbon."""
    if what.startswith("smiles:"):  # chains have two hydrogens for each heavy atom
        heavy = len(re.findall(r"Cl|Br|[A-Zcnosp]", what.removeprefix("smiles:")))
        return {"C": heavy, "H": 2 * heavy}
    if Path(what).is_file():
        return next((dict(own) for own in compositions(Path(what))), {"C": 2})
    return composition_of(what) or {"C": 2}


RUNS: dict[str, Callable[[Any], Iterator[tuple[str, float]]]] = {
    "photodesorption": _photodesorption,
    "sticking": _sticking,
    "infrared": _infrared,
    "level_of_theory": _level_of_theory,
    "dynamic_training": _dynamic_training,
    "vibrations": _vibrations,
    "hydrogen_bond": _hydrogen_bond,
    "field": _field,
    "raman": _raman,
    "reaction": _reaction,
    "density": _density,
}
"""Of an experiment of one's own nothing is known."""


def _counted(dataset: Path | None) -> tuple[int, int] | None:
    """Return frames and atoms of a data set that is an XYZ file; None of any other, which is not counted."""
    if dataset is None or dataset.suffix not in (".xyz", ".extxyz") or not dataset.is_file():
        return None
    return _atom_steps(dataset)


def _first(path: Path) -> int:
    """Return the atoms of the first frame of a file."""
    with path.open(encoding="utf-8") as file:
        return int(file.readline())


def _in_a_cell(path: Path) -> bool:
    """Return whether the first frame of a file is periodic."""
    with path.open(encoding="utf-8") as file:
        file.readline()
        comment = file.readline()
    told = re.search(r'pbc="([^"]*)"', comment)
    return "T" in told[1] if told else "Lattice=" in comment


def _atom_steps(path: Path) -> tuple[int, int]:
    """Return frames and atoms of all frames of a file."""
    sizes = [_size(composition) for composition in compositions(path)]
    return len(sizes), sum(sizes)


def _size(composition: Mapping[str, int]) -> int:
    return sum(composition.values())


def _run_trajectories(made: Any) -> float:
    from frazil.experiments.photodesorption.initial_states import read_initial_states

    n_atoms = len(read_initial_states(made.states).molecules.numbers)
    steps = made.n_trajectories * made.settings.duration_fs / made.settings.timestep_fs
    if made.engine == "van-hemert":
        return float(steps * PAIR_s * n_atoms**2)
    return float(steps * _model_step_s(made.model[0], n_atoms))


def _model_step_s(model: Path | str, n_atoms: int) -> float:
    """Return the seconds of a step under a DeePMD model's folder, any other, or a potential by name."""
    if not Path(model).exists():
        return _step_s(str(model), n_atoms, 0.0)
    content = json.loads((Path(model) / "model.json").read_text()) if Path(model).is_dir() else {}
    if content.get("kind", "deepmd") != "deepmd":
        return _members(Path(model), n_atoms)[1]
    return n_atoms * network_s("deepmd", _model_weights(Path(model)))


def _model_weights(model: Path | None) -> float:
    """Return the weights of a DeePMD model's folder by what it says; of the paper's where it does not."""
    import json
    from types import SimpleNamespace

    try:
        content = json.loads((Path(model or "") / "model.json").read_text())
        return deepmd_weights(SimpleNamespace(**{n: content[n] for n in ("embedding", "axis", "fitting")}))
    except (OSError, ValueError, LookupError, TypeError):
        return 2.3e5


def _thermalize(made: Any) -> float:
    steps = (made.settings.equilibration_fs + made.settings.duration_fs) / made.settings.timestep_fs
    return float(steps * _model_step_s(made.model, _first(made.aggregates)))


def _train_deepmd(made: Any) -> float:
    n_atoms = _first(made.dataset / "train.extxyz") * made.settings.batch_size
    weights = deepmd_weights(made.settings)
    return float(made.settings.n_steps * n_atoms * network_s("deepmd", weights, training=True))


def _train_gmnn(made: Any) -> float:
    frames = list(compositions(made.dataset / "train.extxyz"))
    own, n_epochs = made.adsorbate, made.further_epochs if made.before else made.settings.n_epochs

    def spent_s(size: Any, n_atoms: int, epochs: int) -> float:
        return float(n_atoms * epochs * network_s("gmnn", gmnn_weights(size), training=True))

    adsorbed = sum(n for atoms in frames for symbol, n in atoms.items() if symbol in own.adsorbate)
    surface_s = _heads(made.settings) * spent_s(made.architecture, sum(map(_size, frames)), n_epochs)
    beside_s = spent_s(replace(made.architecture, **own.size), adsorbed, own.adsorbate_epochs)
    return float(made.settings.n_members * (surface_s + beside_s))


def _label_frames(made: Any) -> float:
    files = [made.frames] if made.frames.is_file() else []
    asked = [name for name in FACTORS if getattr(made, name)]
    return times_asked(*asked) * sum(label_s(made.level, c) for file in files for c in compositions(file))


def _engine_step_s(made: Any, n_atoms: int) -> float:
    known = str(made.model) == "h2-co-analytic"
    return PAIR_s * n_atoms**2 if known else n_atoms * network_s("gmnn", 1.25e5)


def _run_collisions(made: Any) -> float:
    n_atoms = _first(made.surfaces / "snapshots.extxyz") + 2
    steps = made.n_trajectories * made.campaign.duration_fs / made.campaign.timestep_fs
    return float(steps * _engine_step_s(made, n_atoms))


def _prepare_surface(made: Any) -> float:
    own = made.settings
    length_fs = own.anneal_fs * (own.phase == "amorphous")
    length_fs += len(own.surface_temperatures_K) * own.thermalization_fs
    steps = own.n_snapshots * length_fs / own.surface_timestep_fs
    return float(steps * _engine_step_s(made, 2 * own.n_molecules))


def _bind_sites(made: Any) -> float:
    n_sites = made.binding_surfaces * made.grid.binding_area_A2 / made.grid.binding_spacing_A**2
    n_atoms = _first(made.surfaces / "snapshots.extxyz") + 2
    return float(n_sites * RELAXING_STEPS * _engine_step_s(made, n_atoms))


def _run_dipoles(made: Any) -> float:
    own = made.settings
    clusters = list(compositions(made.minima))
    chosen = min(len(made.structures), len(clusters)) / max(len(clusters), 1)
    atoms = chosen * sum(sum(cluster.values()) for cluster in clusters)
    length_fs = len(own.temperatures_K) * (own.duration_fs + own.equilibration_fs)
    members = 3 if made.members == "each" else 1
    return float(members * own.n_replicas * length_fs / own.timestep_fs * atoms * network_s("gmnn", 1.25e5))


def _find_minima(made: Any) -> float:
    found = (cluster for file in made.structures for cluster in compositions(file))
    return sum(minimum_s(made.level, cluster) for cluster in found)


def _learn_round(made: Any) -> float:
    own = made.settings
    weights = gmnn_weights(made.architecture)
    n_epochs = own.retraining_epochs if made.before else made.training.n_epochs
    trained = sum(_atom_steps(file)[1] for file in made.frames) * n_epochs
    n_replicas = own.n_learning_replicas * len(own.learning_temperatures_K)
    moved = _atom_steps(made.minima)[1] * n_replicas * own.learning_duration_fs / own.timestep_fs
    train_s = trained * _heads(made.training) * network_s("gmnn", weights, training=True)
    move_s = moved * made.training.n_heads * network_s("gmnn", weights)
    return float(made.training.n_members * (train_s + move_s))


STEPS: dict[str, Callable[[Any], float]] = {
    "bind-sites": _bind_sites,
    "find-minima": _find_minima,
    "label-frames": _label_frames,
    "learn-round": _learn_round,
    "prepare-surface": _prepare_surface,
    "run-collisions": _run_collisions,
    "run-dipoles": _run_dipoles,
    "run-trajectories": _run_trajectories,
    "thermalize": _thermalize,
    "train-deepmd": _train_deepmd,
    "train-gmnn": _train_gmnn,
}
"""Seconds of the steps that can take hours, from their settings."""


def _products(widths: Sequence[int]) -> int:
    return sum(first * second for first, second in zip(widths, widths[1:]))


def _round(hours: float) -> str:
    """Return hours with two digits: 1400, 2.3, 0.51."""
    if hours <= 0:
        return "0"
    digits = max(1 - math.floor(math.log10(hours)), -9)
    return f"{round(hours, digits):.{max(digits, 0)}f}"
