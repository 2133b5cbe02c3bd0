"""Settings of photodesorption (of CO, or any molecule): frames, thermalization, the ensemble and its analysis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frazil.analysis.settings import LEAST_HALFWIDTH, MOST_UNTIL_ENOUGH, ModelError
from frazil.labels.settings import (
    KNOWN_TRUTHS,
    OF_ONE_KIND,
    Labels,
    Seed,
    dataset_problems,
    window_problems,
)
from frazil.settings import given, is_multiple, part, same_as, setting, settings, step
from frazil.systems.settings import FORMULAS, MOLECULE, MOLECULES, molecule_problem

MOST_STEPS = 1_000_000_000
CO, TRAINED, LEARNT = "CO", "deepmd", "gmnn"
"""The molecule of the published study, the potential that is trained of it here, and that of any molecules."""
TEACHER = "van-hemert"
"""The analytic field of CO, for its labels and its first frames."""
UNLEARNABLE_CONTACT_A = 1.85
"""Frames with atoms of two molecules nearer than this spoil a fit (docs/validation.md)."""
SNAPSHOT_EVERY_fs = 10.0
"""Thermalization looks at the temperature in this interval."""
SNAPSHOTS_PER_REPLICA = 1_000_000
"""A snapshot's id is replica × this + its number."""


@settings
class Excitation:
    """The molecule that is excited, and how much."""

    bond: tuple[int, ...] = setting(
        "The two atoms of the bond that is excited, counted from 0 within the molecule (carbon first, then from heavy to "
        "light, hydrogen last); empty: the only bond of a diatomic", default=(), minimum=0, maximum=10000,
    )  # fmt: skip
    excitation: str = setting(
        "Internal energy of the excited molecule: as given in eV, or that of the vibrational quantum number on the "
        "model's or the labels' bond curve",
        default="energy", choices=("energy", "model_curve", "label_curve"),
    )  # fmt: skip
    excitation_energy_eV: float = setting(
        "Internal energy above the minimum of the bond, for excitation 'energy'",
        default=8.26,
        above=0,
        maximum=11,
    )
    vibrational_quantum_number: int = setting(
        "Vibrational state, for excitation 'model_curve' and 'label_curve'", default=40, minimum=1, maximum=60
    )
    core_radius_A: float = setting(
        "The excited molecule is one whose centre of mass is this close to the aggregate's",
        default=4.5,
        above=0,
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is no bond."""
        if len(self.bond) not in (0, 2):
            yield "bond", "allowed: two atoms, or none for a diatomic's only bond"


@settings
class Limits:
    """What counts as desorbed, dissociated and unphysical."""

    criteria_A: tuple[float, ...] = setting(
        "Distances beyond the aggregate's surface at which desorption is counted",
        default=(2.0, 3.0, 4.0, 5.0),
        above=0,
    )
    criterion_A: float = setting("The one of them that decides the outcome", default=3.0, above=0)
    dissociation_A: float = setting(
        "A bond longer than this has dissociated", default=3.0, minimum=2, maximum=10
    )
    unphysical_contact_A: float = setting(
        "A trajectory in which atoms of two molecules come closer has failed: the model has a hole there",
        default=1.2, above=0, maximum=3,
    )  # fmt: skip

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.criterion_A not in self.criteria_A:
            yield "criterion_A", "allowed: one of [criteria_A]"


@settings
class Trajectories:
    """How the trajectories of the ensemble run, and what counts as their outcome."""

    duration_fs: float = setting("Length of a trajectory", default=5000.0, above=0)
    timestep_fs: float = setting("Time step (velocity Verlet)", default=0.1, above=0, maximum=1)
    observe_fs: float = setting(
        "Interval between observations of the running trajectory", default=10.0, above=0
    )
    limits: Limits = part(Limits)
    keep_frames_trajectories: int = setting(
        "The first so many trajectories keep frames, on which the labels' energy is computed afterwards",
        default=20, minimum=0,
    )  # fmt: skip
    keep_frames_every_fs: float = setting("Interval between kept frames", default=50.0, above=0)

    @property
    def n_steps(self) -> int:
        """Steps of one trajectory."""
        return round(self.duration_fs / self.timestep_fs)

    @property
    def observe_every(self) -> int:
        """Steps between two observations."""
        return round(self.observe_fs / self.timestep_fs)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what makes no trajectory."""
        if not is_multiple(self.observe_fs, self.timestep_fs):
            yield "observe_fs", "allowed: a whole number of [timestep_fs]"
        if not is_multiple(self.duration_fs, self.observe_fs):
            yield "duration_fs", "allowed: a whole number of [observe_fs]"
        if self.duration_fs / self.timestep_fs > MOST_STEPS:
            yield "duration_fs", f"allowed: at most {MOST_STEPS:g} steps of [timestep_fs]"


@settings
class Photodesorption:
    """Photodesorption: trajectories of an aggregate with one vibrationally excited molecule (CO, or any other)."""

    molecule: str = setting(
        "Molecule of the aggregates, of which one is excited: a name that ASE knows, smiles:…, or a file of one molecule; "
        "others than CO need gmnn, a potential by name, or a model that is ready",
        default=CO, pattern=MOLECULE, examples=MOLECULES,
    )  # fmt: skip
    other_molecules: tuple[str, ...] = setting(
        "Molecules of other kinds in the aggregates, none of which is excited at the start", default=(),
        pattern=MOLECULE, examples=("N2", "H2O", "smiles:CO", "methanol.xyz"),
    )  # fmt: skip
    parts: tuple[float, ...] = setting(
        "Part of [molecule] and of each of [other_molecules] of all molecules, in any unit; empty: equal parts",
        default=(), above=0, maximum=1e6, repeated=True,
    )  # fmt: skip
    potential: str = setting(
        "What drives everything: a DeePMD committee of CO, or a GM-NN committee of any molecules (gmnn), trained here on "
        "labels; a potential by its name; or any ASE calculator, which a function of no arguments returns",
        default=TRAINED, pattern=rf"{TRAINED}|{LEARNT}|{'|'.join(FORMULAS)}|ase:\w+(\.\w+)+",
        examples=(TRAINED, LEARNT, *FORMULAS[:2], "ase:MODULE.FUNCTION"),
    )  # fmt: skip
    n_members: int = setting(
        "GM-NN models of a committee that is trained here; each has gmnn.n_heads members", default=3, minimum=1,
        maximum=50,
    )  # fmt: skip
    model: Path | None = setting(
        "Folder of any potential that is ready (model.json, or what training wrote), in place of training one: its members "
        "take turns with model_error", default=None, path="folder",
    )  # fmt: skip

    n_trajectories: int = setting(
        "Trajectories of the ensemble, one per snapshot", default=11000, minimum=1, maximum=10_000_000
    )
    shard_size: int = setting("Trajectories in one task; changes no result", default=100, minimum=1)
    target_halfwidth: float = setting(
        "Half-width of the total interval of the desorption probability that is enough: rounds of shards run until then, "
        "n_trajectories at most; 0 runs them all", default=0, minimum=0, below=0.5,
    )  # fmt: skip
    n_compared: int = setting(
        "Where the members' part alone is wider than target_halfwidth: so many starts run under every member, and frames "
        "along those that end differently are written for labelling", default=24, minimum=2, maximum=10_000,
    )  # fmt: skip
    max_worth_labelling: int = setting("Most of these frames", default=200, minimum=1, maximum=100_000)
    engine: str = setting(
        "What runs the DeePMD models, exploring too: frazil's batched engine, or LAMMPS (lammps), whose trajectories part "
        "from the engine's after some picoseconds of chaos while their statistics agree",
        default="frazil", choices=("frazil", "lammps"),
    )  # fmt: skip
    precision: str = setting(
        "Numbers of the models' networks in frazil's engine; positions, energies and forces are summed in float64. Where "
        "the processor has no compiled kernel all is float64",
        default="float32", choices=("float32", "float64"),
    )  # fmt: skip
    excite: Excitation = part(Excitation)
    trajectories: Trajectories = part(Trajectories)
    model_error: bool = setting(
        "Let each trajectory run under one member of the committee, by its id, so that the model's part of the errors "
        "shows; false: all under the selected model",
        default=True,
    )
    n_truth: int = setting(
        "Trajectories that the teacher itself repeats from the same starts (0: no truth check)",
        default=400,
        minimum=0,
    )
    truth_margin: float = setting(
        "How far the desorption probability may be from the teacher's, the 95 % interval of the difference included, "
        "for the gates to pass: few trajectories do not", default=0.15, above=0, maximum=1,
    )  # fmt: skip
    n_control: int = setting(
        "Control trajectories: the model without excitation, and the teacher without coupling",
        default=50,
        minimum=0,
    )
    aimd: Path | None = setting(
        "Trajectories of your own, such as ab initio ones, that are told by the same criteria and set beside the model's: "
        "a samplesheet (CSV), or one file (as labels.dataset)",
        default=None, path="any",
    )  # fmt: skip

    @property
    def trains(self) -> bool:
        """Whether a committee of CO is trained here on labels."""
        return self.potential == TRAINED and self.model is None

    @property
    def learns(self) -> bool:
        """Whether a committee of these molecules is trained here on labels."""
        return self.potential == LEARNT and self.model is None

    @property
    def is_co(self) -> bool:
        """Whether aggregates are of CO alone."""
        return self.molecule == CO and not self.other_molecules

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the system, the samplesheet of trajectories, and a target that no rule has."""
        yield from dataset_problems(self.aimd, "aimd")
        yield from self._system_problems()
        if 0 < self.target_halfwidth < LEAST_HALFWIDTH:
            yield "target_halfwidth", f"allowed: 0 (all trajectories), or from {LEAST_HALFWIDTH:g} on"
        if self.target_halfwidth and self.n_trajectories > MOST_UNTIL_ENOUGH:
            yield "n_trajectories", f"allowed: up to {MOST_UNTIL_ENOUGH} with [target_halfwidth]"

    def _system_problems(self) -> Iterator[tuple[str, str]]:
        """Yield what molecule, potential and settings of a committee that is trained do not have in common."""
        if self.model is not None and self.potential != TRAINED:
            yield "model", "allowed: none with [potential], which is one by its name"
        for name, what in (
            ("molecule", self.molecule),
            *(("other_molecules", other) for other in self.other_molecules),
        ):
            if problem := molecule_problem(what):
                yield name, problem
        if self.parts and len(self.parts) != 1 + len(self.other_molecules):
            yield (
                "parts",
                "allowed: one for [molecule] and one for each of [other_molecules], or none for equal parts",
            )
        if self.trains:
            if not self.is_co:
                yield (
                    "other_molecules" if self.molecule == CO else "molecule",
                    f"allowed: CO alone with [potential], whose committees are of CO; for others give {LEARNT}, a "
                    "potential by its name, or a model that is ready",
                )
            if self.excite.bond:
                yield "bond", "allowed: none with CO, which has one"
            return
        if self.engine != "frazil":
            yield (
                "engine",
                "allowed: frazil with [potential], or a model that is ready; LAMMPS runs DeePMD committees of CO",
            )
        if self.aimd is not None:
            yield (
                "aimd",
                "allowed: none with [potential], or a model that is ready; trajectories are followed of CO beside a "
                "DeePMD committee",
            )
        if self.n_truth:
            yield (
                "n_truth",
                "trajectories of the analytic teacher of CO; allowed: 0 with [potential], or a model that is ready",
            )


@settings
class Thermalization:
    """Snapshots of the ground-state aggregate (LAMMPS, Nosé-Hoover)."""

    temperature_K: float = setting("Temperature of the thermostat", default=15.0, above=0, maximum=60)
    damping_fs: float = setting("Coupling time of the thermostat", default=10.0, above=0)
    timestep_fs: float = setting("Time step", default=0.1, above=0, maximum=1)
    equilibration_fs: float = setting(
        "First part of each run, which gives no snapshots", default=20000.0, minimum=0
    )
    duration_fs: float = setting("Length of each run after equilibration", default=1_250_000.0, above=0)
    n_replicas: int = setting(
        "Independent runs, in tasks of their own; aggregates take turns", default=32, minimum=1, maximum=1000
    )
    n_snapshots: int = setting(
        "Snapshots wanted from all runs together", default=11000, minimum=1, maximum=10_000_000
    )
    temperature_low_K: float = setting(
        "Lowest instantaneous temperature of a snapshot", default=13.0, minimum=0
    )
    temperature_high_K: float = setting(
        "Highest instantaneous temperature of a snapshot", default=17.0, above=0
    )

    @property
    def snapshots_per_replica(self) -> int:
        """Snapshots of each run."""
        return -(-self.n_snapshots // self.n_replicas)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what no run can meet."""
        if self.temperature_low_K >= self.temperature_high_K:
            yield "temperature_low_K", "allowed: below [temperature_high_K]"
        elif not self.temperature_low_K <= self.temperature_K <= self.temperature_high_K:
            yield (
                "temperature_K",
                "allowed: inside the window of the snapshots, [temperature_low_K] to [temperature_high_K]",
            )
        if not is_multiple(SNAPSHOT_EVERY_fs, self.timestep_fs):
            yield (
                "timestep_fs",
                f"allowed: a whole part of {SNAPSHOT_EVERY_fs:g} fs, the interval of observations",
            )
        if self.snapshots_per_replica * SNAPSHOT_EVERY_fs > self.duration_fs:
            yield (
                "n_snapshots",
                f"allowed: for each of [n_replicas] at most one in {SNAPSHOT_EVERY_fs:g} fs of [duration_fs]",
            )
        if (self.duration_fs + self.equilibration_fs) / self.timestep_fs > MOST_STEPS:
            yield "duration_fs", f"allowed: at most {MOST_STEPS:g} steps of [timestep_fs]"


@settings
class Sampling:
    """What is sampled for labels."""

    potential: str = setting(
        "What the first frames move under, before they are labelled: the analytic field of CO, a potential by its name, or "
        "any ASE calculator that lets bonds break, which a function of no arguments returns", default=TEACHER,
        pattern=rf"{TEACHER}|{'|'.join(FORMULAS)}|ase:\w+(\.\w+)+", examples=(TEACHER, *FORMULAS[2:], "ase:MODULE.FUNCTION"),
    )  # fmt: skip
    model: Path | None = setting(
        "Folder of any potential that is ready, such as a committee trained before, that they move under in place of it",
        default=None, path="folder",
    )  # fmt: skip
    n_molecules: int = setting("Molecules in an aggregate", default=50, minimum=3, maximum=500)
    aggregate_radius_A: float = setting(
        "Radius of the sphere in which Packmol places the molecules at random",
        default=8.2,
        above=0,
        maximum=100,
    )
    packing_distance_A: float = setting(
        "Distance between atoms of different molecules at which Packmol places them; water wants some 2",
        default=2.8, minimum=1, maximum=5,
    )  # fmt: skip
    n_aggregates: int = setting(
        "Independent aggregates; trajectories of one are not independent", default=32, minimum=1, maximum=1000
    )
    n_packings: int = setting(
        "Random packings that are followed for 2 ps on their way down to aggregates",
        default=64,
        minimum=0,
        maximum=10000,
    )
    n_thermal: int = setting(
        "Ground-state trajectories at the thermalization temperature", default=8, minimum=1, maximum=10000
    )
    thermal_duration_fs: float = setting("Length of a ground-state trajectory", default=5000.0, above=0)
    n_excited: int = setting(
        "Trajectories with one vibrationally excited molecule", default=100, minimum=1, maximum=10000
    )
    excited_duration_fs: float = setting("Length of an excited trajectory", default=5000.0, above=0)
    timestep_fs: float = setting("Time step of these trajectories", default=0.1, above=0, maximum=1)
    damping_fs: float = setting(
        "Relaxation time of the thermostat of ground-state trajectories", default=100.0, above=0
    )
    bond_spread_A: float = setting(
        "Standard deviation by which the bonds of unexcited molecules are stretched in every second frame, so that "
        "their stiffness can be learnt",
        default=0.03, minimum=0, maximum=0.1,
    )  # fmt: skip
    n_bonds: int = setting(
        "Frames of molecules far apart, of many bond lengths, excited ones among them",
        default=80,
        minimum=0,
        maximum=10000,
    )
    n_contacts: int = setting(
        "Repulsive-wall frames: two molecules turned at random and pulled to a close contact",
        default=2000, minimum=0, maximum=100000,
    )  # fmt: skip
    contact_low_A: float = setting(
        "Shortest distance of atoms in a repulsive-wall frame",
        default=2.2,
        minimum=UNLEARNABLE_CONTACT_A,
        maximum=4,
    )
    contact_high_A: float = setting(
        "Longest distance of the closest atoms in a repulsive-wall frame",
        default=3.4, minimum=UNLEARNABLE_CONTACT_A, maximum=5,
    )  # fmt: skip
    n_compressed: int = setting(
        "Aggregates drawn together or apart, every molecule turned at random: they close the false minima of dense "
        "aggregates",
        default=1000, minimum=0, maximum=100000,
    )  # fmt: skip

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.contact_low_A >= self.contact_high_A:
            yield "contact_low_A", "allowed: below [contact_high_A]"


@settings
class Frames:
    """Training frames made by the toolkit: aggregates and trajectories at the labelling level."""

    sampling: Sampling = part(Sampling)


@settings
class ExplorationLimits:
    """What makes a frame worth a label, and what ends an exploring trajectory."""

    deviation_low_eV_per_A: float = setting(
        "Frames with an excited molecule on whose forces the committee disagrees by more are labelled",
        default=0.15, above=0,
    )  # fmt: skip
    ground_deviation_low_eV_per_A: float = setting(
        "The same for frames without an excited molecule", default=0.05, above=0
    )
    deviation_high_eV_per_A: float = setting(
        "Frames on whose forces the committee disagrees by more are taken for broken and left out",
        default=5.0,
        above=0,
    )
    shortest_contact_A: float = setting(
        "Frames with a closer contact of two molecules are unlearnable and left out", default=1.85, above=0
    )
    unphysical_contact_A: float = same_as(
        Limits, "unphysical_contact_A", of="photodesorption.unphysical_contact_A"
    )
    clean_fraction: float = setting(
        "A round is clean, and the last, when fewer frames than this part are above the lower deviation",
        default=0.05, minimum=0, maximum=1,
    )  # fmt: skip

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield limits in the wrong order."""
        for name in ("deviation_low_eV_per_A", "ground_deviation_low_eV_per_A"):
            if getattr(self, name) >= self.deviation_high_eV_per_A:
                yield name, "allowed: below [deviation_high_eV_per_A]"
        if self.unphysical_contact_A > self.shortest_contact_A:
            yield "shortest_contact_A", "allowed: at least [unphysical_contact_A]"


@settings
class Exploration:
    """Rounds in which the committee finds the frames that it does not know, and has them labelled."""

    rounds: int = setting(
        "Most rounds of exploration; they stop early when one is clean", default=4, minimum=0, maximum=64
    )
    n_steps: int = setting(
        "Training steps in each round; rounds and final models start from new weights",
        default=100_000, minimum=1, maximum=100_000_000,
    )  # fmt: skip
    n_trajectories: int = setting(
        "Short excited trajectories in each round", default=64, minimum=1, maximum=10000
    )
    n_ground: int = setting(
        "Short trajectories without excitation in each round", default=64, minimum=1, maximum=10000
    )
    duration_fs: float = setting("Length of an exploring trajectory", default=2500.0, above=0)
    timestep_fs: float = setting("Time step of an exploring trajectory", default=0.1, above=0, maximum=1)
    limits: ExplorationLimits = part(ExplorationLimits)
    max_frames: int = setting("Most frames that a round adds", default=500, minimum=1)


KEEPS_FRAMES = True
GROUPS = {
    "frames": Frames,
    "exploration": Exploration,
    "thermalization": Thermalization,
    "photodesorption": Photodesorption,
}


def contradictions(run: Any) -> Iterator[tuple[str, str]]:
    """Yield what does not go together between the groups of a run of photodesorption."""
    if "photodesorption" not in run.experiments:
        return
    trajectories = run.photodesorption.trajectories
    if run.thermalization.n_snapshots < run.photodesorption.n_trajectories:
        yield (
            "photodesorption.n_trajectories",
            "each needs a snapshot of its own; allowed: up to [thermalization.n_snapshots]",
        )
    if not is_multiple(trajectories.observe_fs, run.exploration.timestep_fs):
        yield "exploration.timestep_fs", "allowed: a whole part of [photodesorption.observe_fs]"
    if not is_multiple(run.exploration.duration_fs, trajectories.observe_fs):
        yield "exploration.duration_fs", "allowed: a whole number of [photodesorption.observe_fs]"
    yield from _of_given_potentials(run)
    yield from _of_learnt_potentials(run)
    if run.photodesorption.trains and run.labels.level in KNOWN_TRUTHS:
        only = OF_ONE_KIND[run.labels.level]
        yield (
            "labels.level",
            f"a level of {only}; allowed: one that labels CO with [photodesorption.potential]",
        )
    if run.photodesorption.trains and run.labels.level != "van-hemert" and run.photodesorption.n_truth > 0:
        yield (
            "photodesorption.n_truth",
            "trajectories of the analytic teacher; allowed: 0 with [labels.level], which has none",
        )
    for name in ("window_starts_fs", "window_intervals_fs"):
        if any(t and not is_multiple(t, run.frames.sampling.timestep_fs) for t in getattr(run.labels, name)):
            yield f"labels.{name}", "allowed: whole numbers of [frames.timestep_fs]"


def _of_given_potentials(run: Any) -> Iterator[tuple[str, str]]:
    """Yield what a potential that is given has no use for, or lacks."""
    own = run.photodesorption
    if own.trains:
        return
    if own.excite.excitation == "label_curve" and run.labels.bond_curve_file is None:
        yield (
            "photodesorption.excitation",
            "labels have no curve with [photodesorption.potential], or a model that is ready; allowed: energy, "
            "model_curve, or a curve as [labels.bond_curve_file]",
        )
    if run.labels.dataset is not None and not own.learns:
        yield "labels.dataset", "allowed: none with a potential that is given, for which nothing is trained"


def _of_learnt_potentials(run: Any) -> Iterator[tuple[str, str]]:
    """Yield what a committee of any molecules that is trained here lacks."""
    own, moves = run.photodesorption, run.frames.sampling
    if not own.learns:
        return
    if run.exploration.rounds:
        yield (
            "exploration.rounds",
            "allowed: 0 with [photodesorption.potential]; rounds are of DeePMD committees of CO",
        )
    if own.n_members * run.gmnn.training.n_heads < 2:
        yield (
            "photodesorption.n_members",
            "allowed: two or more, or several [gmnn.n_heads]: errors need a committee",
        )
    if run.gmnn.adsorbate.adsorbate:
        yield (
            "gmnn.adsorbate",
            "allowed: none with [photodesorption.potential], in which nothing is an adsorbate",
        )
    if own.is_co:
        return
    if moves.model is None and moves.potential == TEACHER and run.labels.dataset is None:
        yield (
            "frames.potential",
            f"the analytic field of CO; allowed: {', '.join(FORMULAS)}, ase:MODULE.FUNCTION, or a folder as "
            "[frames.model], with [photodesorption.molecule] and [photodesorption.other_molecules]",
        )
    only = OF_ONE_KIND.get(run.labels.level, "")
    if only and any(name != only for name in (own.molecule, *own.other_molecules)):
        yield (
            "labels.level",
            f"a level of {only}; allowed: another, such as gfn2-xtb, pbe-d4/def2-tzvp or one of your own, with "
            "[photodesorption.molecule] and [photodesorption.other_molecules]",
        )


@step("frazil.experiments.photodesorption.sampling:sample_files", group="frames")
class SampleFrames:
    """Make unlabelled frames of aggregates: thermal, excited, compressed, stretched, in close contact."""

    molecule: str = same_as(Photodesorption, "molecule", of="photodesorption.molecule")
    other_molecules: tuple[str, ...] = same_as(
        Photodesorption, "other_molecules", of="photodesorption.other_molecules"
    )
    parts: tuple[float, ...] = same_as(Photodesorption, "parts", of="photodesorption.parts")
    bond: tuple[int, ...] = same_as(Excitation, "bond", of="photodesorption.bond")
    coupling_eV: float = same_as(Labels, "coupling_eV", of="labels.coupling_eV")
    sampling: Sampling = part(Sampling)
    thermal_temperature_K: float = same_as(Thermalization, "temperature_K", of="thermalization.temperature_K")
    excitation_energy_eV: float = same_as(
        Excitation, "excitation_energy_eV", of="photodesorption.excitation_energy_eV"
    )
    core_radius_A: float = same_as(Excitation, "core_radius_A", of="photodesorption.core_radius_A")
    window_starts_fs: tuple[float, ...] = same_as(Labels, "window_starts_fs", of="labels.window_starts_fs")
    window_intervals_fs: tuple[float, ...] = same_as(
        Labels, "window_intervals_fs", of="labels.window_intervals_fs"
    )
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Frames, extxyz", path="new file")
    out_aggregates: Path | None = given(
        "Minima, extxyz; not set: beside the frames", default=None, path="new file"
    )
    out_snapshots: Path | None = given(
        "Thermal starts, extxyz; not set: beside the frames", default=None, path="new file"
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        yield from window_problems(self.window_starts_fs, self.window_intervals_fs)


@step("frazil.experiments.photodesorption.exploration:explore_round", group="exploration")
class ExploreCommittee:
    """Run a committee of models, excited and not, and choose the frames it should learn next."""

    models: tuple[Path, ...] = given("Model folders, at least two", path="any")
    snapshots: Path = given("Thermal starts: snapshots.extxyz of sample-frames", path="file")
    bond_curves: Path = given("Table of bond-curve, which the excitation follows", path="file")
    n_trajectories: int = same_as(Exploration, "n_trajectories")
    n_ground: int = same_as(Exploration, "n_ground")
    excitation_energy_eV: float = same_as(
        Excitation, "excitation_energy_eV", of="photodesorption.excitation_energy_eV"
    )
    core_radius_A: float = same_as(Excitation, "core_radius_A", of="photodesorption.core_radius_A")
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    duration_fs: float = same_as(Exploration, "duration_fs")
    timestep_fs: float = same_as(Exploration, "timestep_fs")
    observe_fs: float = same_as(Trajectories, "observe_fs", of="photodesorption.observe_fs")
    limits: ExplorationLimits = part(ExplorationLimits)
    max_frames: int = same_as(Exploration, "max_frames")
    round_number: int = given("Number of the round", default=1, minimum=1)
    n_processes: int = given("Processes that run at a time", default=1, minimum=1)
    engine: str = same_as(Photodesorption, "engine", of="photodesorption.engine")
    precision: str = same_as(Photodesorption, "precision", of="photodesorption.precision")
    out: Path = given("Folder to write", path="new folder")


@step("frazil.experiments.photodesorption.evaluation:evaluate_model")
class EvaluateModel:
    """Errors of one model on its data set's subsets, and its bond curve beside the labels'."""

    model: Path = given("Model folder of train-deepmd", path="any")
    dataset: Path = given("Folder with train, test and validation.extxyz", path="folder")
    bond_curve: Path = given("Labels of one CO: the out-fine of bond-curve", path="file")
    out: Path = given("Folder to write", path="new folder")


@step("frazil.experiments.photodesorption.validation:select_model")
class SelectModel:
    """Choose the model with the lowest training and validation error; tables, figures, section."""

    models: tuple[Path, ...] = given("Model folders of train-deepmd", path="any")
    evaluations: tuple[Path, ...] = given("Their folders of evaluate-model", path="folder")
    explorations: tuple[Path, ...] = given("exploration.csv of each round", default=(), path="file")
    reference: Path | None = given("Table of a paper's values to print beside", default=None, path="file")
    out: Path = given("Folder to write", path="new folder")


@step("frazil.experiments.photodesorption.aggregates:prepare", group="photodesorption")
class PrepareAggregates:
    """Check molecules, a bond and a potential; pack and relax aggregates, scan the excited bond."""

    molecule: str = same_as(Photodesorption, "molecule")
    other_molecules: tuple[str, ...] = same_as(Photodesorption, "other_molecules")
    parts: tuple[float, ...] = same_as(Photodesorption, "parts")
    model: str = given("Folder of a potential, its name, or ase:MODULE.FUNCTION")
    excite: Excitation = part(Excitation)
    dissociation_A: float = same_as(Limits, "dissociation_A")
    n_molecules: int = same_as(Sampling, "n_molecules", of="frames.n_molecules")
    aggregate_radius_A: float = same_as(Sampling, "aggregate_radius_A", of="frames.aggregate_radius_A")
    packing_distance_A: float = same_as(Sampling, "packing_distance_A", of="frames.packing_distance_A")
    n_aggregates: int = same_as(Sampling, "n_aggregates", of="frames.n_aggregates")
    model_error: bool = same_as(Photodesorption, "model_error")
    bond_curve_file: Path | None = given(
        "Table of a bond curve (bond_length_A, label_eV) that the excitation follows in place of the potential's",
        default=None, path="file",
    )  # fmt: skip
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Folder to write", path="new folder")


@step("frazil.experiments.photodesorption.thermalization:thermalize", group="thermalization")
class Thermalize:
    """Thermalize one aggregate under a potential and take snapshots inside a window of temperature."""

    settings: Thermalization = part(Thermalization)
    model: str = given(
        "Model folder, a DeePMD model's .pb file, or with the engine frazil a potential's name"
    )
    engine: str = given(
        "What runs it: LAMMPS (a DeePMD model of CO), or frazil's engine (any potential)",
        default="lammps", choices=("lammps", "frazil"),
    )  # fmt: skip
    aggregates: Path = given("Relaxed aggregates, extxyz; replicas take turns", path="file")
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    replica: int = given("Number of this replica", default=0, minimum=0, maximum=1000)
    out: Path = given("Folder to write", path="new folder")


@step("frazil.experiments.photodesorption.initial:make_initial_states", group="photodesorption")
class Excite:
    """Choose snapshots, excite one molecule in each, and write initial states of trajectories (HDF5)."""

    snapshots: tuple[Path, ...] = given("snapshots.extxyz of thermalize", path="file")
    n_trajectories: int = given("Initial states to make, a snapshot of its own for each", minimum=1)
    first_id: int = given("Trajectory id of the first", default=0, minimum=0, maximum=2**32 - 1)
    excitation: str = same_as(
        Excitation, "excitation", choices=("energy", "model_curve", "label_curve", "none"), of=""
    )
    excitation_energy_eV: float = same_as(Excitation, "excitation_energy_eV")
    vibrational_quantum_number: int = same_as(Excitation, "vibrational_quantum_number")
    bond_curves: Path | None = given(
        "bond_curves.csv of select-model or prepare-aggregates", default=None, path="file"
    )
    bond: tuple[int, ...] = same_as(Excitation, "bond")
    core_radius_A: float = same_as(Excitation, "core_radius_A")
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("HDF5 file to write", path="new file")


@step("frazil.experiments.photodesorption.trajectories:run_shard", group="photodesorption")
class RunTrajectories:
    """Run one shard of NVE trajectories under DeePMD models, any potential, or the van Hemert teacher; one thread."""

    engine: str = same_as(Photodesorption, "engine", choices=("frazil", "lammps", "van-hemert"))
    precision: str = same_as(Photodesorption, "precision")
    model: tuple[Path, ...] = given(
        "Model folders, several take turns by a trajectory's id; or the name of a potential, with the engine frazil",
        default=(),
    )
    coupling_eV: float = same_as(Labels, "coupling_eV", of="labels.coupling_eV")
    states: Path = given("initial_states.h5 of excite", path="file")
    bond_curves: tuple[Path, ...] = given(
        "bond_curves.csv of each model, or of each member of the one that is given", path="file"
    )
    first_id: int = given("Trajectory id of the first", default=0, minimum=0, maximum=2**32 - 1)
    n_trajectories: int = given("Number of trajectories", minimum=1)
    settings: Trajectories = part(Trajectories)
    checkpoints: Path = given("Folder for finished rows that outlives the task", path="new folder")
    out: Path = given("Folder of the shard to write", path="new folder")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.engine != "van-hemert" and not self.model:
            yield "model", "needed: a model folder of train-deepmd, with [engine]"


@step("frazil.experiments.photodesorption.disagreement:choose_frames", group="photodesorption")
class ChooseFrames:
    """Choose frames to label along trajectories that end differently under the members of a committee."""

    shards: tuple[Path, ...] = given(
        "Folders of run-trajectories: the same starts under each model, with kept frames", path="folder"
    )
    models: tuple[Path, ...] = given("Model folders of train-deepmd, in the order of the shards", path="any")
    n_frames: int = same_as(Photodesorption, "max_worth_labelling", of="photodesorption.max_worth_labelling")
    shortest_contact_A: float = same_as(
        ExplorationLimits, "shortest_contact_A", of="exploration.shortest_contact_A"
    )
    out: Path = given("Folder to write", path="new folder")


@step("frazil.experiments.photodesorption.given:follow", group="photodesorption")
class FollowTrajectories:
    """Tell the outcome of trajectories that another program ran, by the model's criteria."""

    dataset: Path = given(
        "Samplesheet (CSV), or one file of trajectories: times, positions, energies", path="any"
    )
    staged: tuple[Path, ...] = given(
        "The sheet's files, in order, if they lie elsewhere", default=(), repeated=True
    )
    names: tuple[str, ...] = given("What the sheet calls them", default=(), repeated=True)
    bond_curves: Path = given("Table of bond-curve, for vibrational energies", path="file")
    settings: Trajectories = part(Trajectories)
    excitation_energy_eV: float = same_as(Excitation, "excitation_energy_eV")
    out: Path = given("Folder of the shard to write", path="new folder")


@step("frazil.experiments.photodesorption.analysis:analyse", group="photodesorption")
class AnalysePhotodesorption:
    """Tables, figures, gates and report section of CO photodesorption, from shards of trajectories."""

    model_shards: Path = given("Folder of shards run under the model", path="folder")
    teacher_shards: Path | None = given(
        "Folder of shards of the same starts under the teacher", default=None, path="folder"
    )
    teacher_control_shards: Path | None = given(
        "Folder of shards under the teacher without coupling", default=None, path="folder"
    )
    model_control_shards: Path | None = given(
        "Folder of shards under the model without excitation", default=None, path="folder"
    )
    aimd_shards: Path | None = given(
        "Folder of the shard of follow-trajectories", default=None, path="folder"
    )
    decision: Path | None = given(
        "JSON of enough-trajectories, where the campaign ran until it was enough", default=None, path="file"
    )
    worth_labelling: Path | None = given(
        "Folder of choose-frames, where more trajectories do not help", default=None, path="folder"
    )
    criteria_A: tuple[float, ...] = same_as(Limits, "criteria_A")
    criterion_A: float = same_as(Limits, "criterion_A")
    duration_fs: float = same_as(Trajectories, "duration_fs")
    level: str = same_as(Labels, "level", of="labels.level")
    coupling_eV: float = same_as(Labels, "coupling_eV", of="labels.coupling_eV")
    model: Path | None = given("Model folder or file, for net forces on molecules", default=None, path="any")
    reference: Path = given("The paper's values: assets/reference/photodesorption.csv", path="file")
    frames_potential: str = same_as(Sampling, "potential", of="frames.potential")
    frames_model: str = given("frames.model, where the first frames moved under one; empty: none", default="")
    potential: str = same_as(Photodesorption, "potential")
    n_aggregates: int = same_as(Sampling, "n_aggregates", of="frames.n_aggregates")
    truth_margin: float = same_as(Photodesorption, "truth_margin")
    model_error_scale: float = same_as(ModelError, "model_error_scale", of="model_error_scale")
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Folder of results", path="new folder")
