"""Settings of infrared spectra: minima, active learning, dipoles along dynamics, spectra."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frazil.analysis.settings import ModelError, Spectrum
from frazil.labels.settings import DFT, SEMIEMPIRICAL, Seed, dataset_problems
from frazil.learning.settings import GmnnArchitecture, GmnnTraining
from frazil.settings import given, is_multiple, part, same_as, setting, settings, step

ENGINES = ("model", "label")
MEMBERS = ("each", "mean")
"""Every member of a committee by itself, or all together."""
MOST_STEPS = 1_000_000_000
MOST_ROUNDS = 63
"""The graph has places for 64 rounds, the first of which begins (subworkflows/learn.nf)."""


@settings
class Learning:
    """How the rounds of active learning go."""

    level: str = setting(
        "Labelling level of energies, forces and dipoles",
        default="pbe0/def2-svp",
        choices=(*SEMIEMPIRICAL, *DFT),
    )
    n_initial: int = setting(
        "Frames displaced along normal modes, of each structure (farthest-point sampling of four times as many)",
        default=100, minimum=20,
    )  # fmt: skip
    initial_temperatures_K: tuple[float, ...] = setting(
        "Lowest and highest temperature whose energy the displaced modes get",
        default=(100.0, 1000.0), above=0, length=2, repeated=True,
    )  # fmt: skip
    max_rounds: int = setting("Rounds of exploration, at most", default=40, minimum=1, maximum=MOST_ROUNDS)
    patience: int = setting(
        "Rounds without a better harmonic error after which the rounds end", default=5, minimum=1
    )
    learning_temperatures_K: tuple[float, ...] = setting(
        "Temperatures of the exploring replicas (Berendsen)", default=(100.0, 400.0, 800.0, 1200.0), above=0
    )
    n_learning_replicas: int = setting(
        "Exploring replicas of each structure and temperature", default=1, minimum=1
    )
    learning_duration_fs: float = setting("Longest exploring run of a round", default=5000.0, above=0)
    timestep_fs: float = setting("Time step of all runs of the model", default=0.5, above=0, maximum=2)
    damping_fs: float = setting("Time constant of the exploring replicas' thermostat", default=100.0, above=0)
    max_frames: int = setting("Frames labelled in a round, at most", default=20, minimum=1)
    max_force_error_eV_per_A: float = setting(
        "Calibrated committee spread of the worst atom's force at which a frame is uncertain; 0 does not ask",
        default=0.2, minimum=0,
    )  # fmt: skip
    max_energy_error_meV_per_atom: float = setting(
        "The same of the energy; 0 does not ask", default=0, minimum=0
    )
    max_energy_eV: float = setting(
        "Frames higher above the minimum are unphysical: not labelled, not trained on", default=4.0, above=0
    )
    max_force_eV_per_A: float = setting("The same of the largest force on an atom", default=15.0, above=0)
    n_test: int = setting(
        "Test frames of each structure and temperature, from runs of the last committee",
        default=20,
        minimum=1,
    )
    retraining_epochs: int = setting(
        "Passes over the training frames in later rounds, which begin from the round before",
        default=500, minimum=1, maximum=1_000_000,
    )  # fmt: skip

    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if max(self.max_force_error_eV_per_A, self.max_energy_error_meV_per_atom) <= 0:
            yield (
                "max_force_error_eV_per_A",
                "allowed: a limit above 0 of this or of [max_energy_error_meV_per_atom]",
            )
        if self.learning_duration_fs / self.timestep_fs > MOST_STEPS:
            yield "learning_duration_fs", f"allowed: at most {MOST_STEPS:g} steps of [timestep_fs]"


@settings
class Training:
    """How the committee of infrared spectra is trained."""

    n_members: int = setting(
        "Networks of the committee, trained side by side; its members, but for n_heads > 1", default=3, minimum=1,
        maximum=50,
    )  # fmt: skip
    n_heads: int = same_as(GmnnTraining, "n_heads")
    n_epochs: int = same_as(GmnnTraining, "n_epochs", default=2000)
    batch_size: int = same_as(GmnnTraining, "batch_size")
    learning_rate: float = same_as(GmnnTraining, "learning_rate", default=0.03)
    energy_weight: float = same_as(GmnnTraining, "energy_weight")
    force_weight: float = same_as(GmnnTraining, "force_weight", default=10)
    dipole_weight: float = same_as(GmnnTraining, "dipole_weight", default=10, minimum=None, above=0)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is no committee."""
        if self.n_members * self.n_heads < 2:
            yield "n_members", "allowed: at least 2, or 1 with several heads, [n_heads]"


@settings
class Runs:
    """Temperatures, replicas of each, and how long: equilibration_fs come before duration_fs."""

    temperatures_K: tuple[float, ...] = setting(
        "Temperatures of the spectra (Nosé-Hoover chains)", default=(100.0, 400.0, 800.0), above=0
    )
    n_replicas: int = setting(
        "Independent runs of each structure, temperature and member", default=8, minimum=1
    )
    duration_fs: float = setting("Length of a run after equilibration", default=35000.0, above=0)
    equilibration_fs: float = setting("Dropped at the start of every run", default=5000.0, minimum=0)
    timestep_fs: float = same_as(Learning, "timestep_fs")
    dipole_every_fs: float = setting(
        "Time between dipoles; a whole number of time steps", default=1.0, above=0
    )
    period_fs: float = setting("Period of the Nosé-Hoover chain", default=100.0, above=0)
    chain: int = setting("Thermostats in the chain", default=3, minimum=1, maximum=10)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if not is_multiple(self.dipole_every_fs, self.timestep_fs):
            yield "dipole_every_fs", "allowed: a whole number of [timestep_fs]"
        if not is_multiple(self.duration_fs, self.dipole_every_fs):
            yield "duration_fs", "allowed: a whole number of [dipole_every_fs]"
        if self.equilibration_fs and not is_multiple(self.equilibration_fs, self.dipole_every_fs):
            yield "equilibration_fs", "allowed: a whole number of [dipole_every_fs]"
        if (self.duration_fs + self.equilibration_fs) / self.timestep_fs > MOST_STEPS:
            yield "duration_fs", f"allowed: at most {MOST_STEPS:g} steps of [timestep_fs]"


@settings
class ClusterSpectrum:
    """How the spectra of clusters are made: up to 2000 cm⁻¹, where silicates absorb."""

    depth_fs: float = same_as(Spectrum, "depth_fs")
    window: str = same_as(Spectrum, "window")
    padding: int = same_as(Spectrum, "padding")
    correction: str = same_as(Spectrum, "correction")
    highest_cm1: float = same_as(Spectrum, "highest_cm1", default=2000.0)


@settings
class Infrared:
    """Infrared spectra of clusters by active learning and molecular dynamics."""

    structures: Path | None = setting(
        "Neutral clusters, xyz or extended XYZ, one or many frames; those of (MgSiO3)N and (Mg2SiO4)N in the paper. "
        "When not set: one MgSiO3",
        default=None, path="file",
    )  # fmt: skip
    isomers: Path | None = setting(
        "Clusters that are not trained on, for transferability", default=None, path="file"
    )
    dataset: Path | None = setting(
        "Labelled frames of your own to begin with, at the run's level, in place of frames displaced along normal "
        "modes (as labels.dataset)",
        default=None, path="any",
    )  # fmt: skip
    on_no_minimum: str = setting(
        "What to do with a structure that is no minimum at this level",
        default="refuse",
        choices=("refuse", "relax"),
    )
    learning: Learning = part(Learning)
    training: Training = part(Training)
    architecture: GmnnArchitecture = part(GmnnArchitecture)
    runs: Runs = part(Runs)
    members: str = setting(
        "Run every member of the committee by itself (the committee's part of the error is known), or their mean",
        default="each", choices=MEMBERS,
    )  # fmt: skip
    dipole_model: str = setting(
        "Whose dipoles the spectra are of: the committee's charges, or SchNet's at the same positions (make schnet)",
        default="charges", choices=("charges", "schnet"),
    )  # fmt: skip
    schnet_epochs: int = setting(
        "Passes of SchNet's training over the learned frames", default=300, minimum=1, maximum=1_000_000
    )
    structures_per_task: int = setting(
        "Clusters that one task runs, those of like size in one batch; 1 spreads them over the nodes of a cluster "
        "without GPUs",
        default=100, minimum=1,
    )  # fmt: skip
    n_label_replicas: int = setting(
        "Runs under the labelling level itself, from starts of their own, at each temperature (GFN-xTB only); 0 runs none",
        default=0, minimum=0,
    )  # fmt: skip
    label_timestep_fs: float = setting(
        "Their time step; a whole part of dipole_every_fs", default=0.5, above=0, maximum=2
    )
    spectrum: ClusterSpectrum = part(ClusterSpectrum)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        yield from dataset_problems(self.dataset)
        if self.spectrum.depth_fs > self.runs.duration_fs:
            yield "depth_fs", "allowed: at most [duration_fs]"
        if self.n_label_replicas and self.learning.level not in SEMIEMPIRICAL:
            yield "n_label_replicas", "allowed: 0 with [level], whose dynamics would take months"
        if self.n_label_replicas > self.runs.n_replicas:
            yield "n_label_replicas", "allowed: at most [n_replicas]"
        if self.n_label_replicas and not is_multiple(self.runs.dipole_every_fs, self.label_timestep_fs):
            yield "label_timestep_fs", "allowed: a whole part of [dipole_every_fs]"


KEEPS_FRAMES = True
GROUPS = {"infrared": Infrared}


@step("frazil.experiments.infrared.minima:find_minima", group="infrared")
class FindMinima:
    """Minima of clusters at a labelling level, with the second derivatives that harmonic spectra follow from."""

    structures: tuple[Path, ...] = given("xyz or extended XYZ; info 'name' names them", path="file")
    only: tuple[str, ...] = given("Names of those that are wanted; all if none is given", default=())
    level: str = same_as(Learning, "level")
    on_no_minimum: str = same_as(Infrared, "on_no_minimum")
    n_workers: int = given("Processes for labels that cost much", default=1, minimum=1, maximum=4096)
    checkpoints: Path | None = given(
        "Folder of finished labels, so that a killed run goes on", default=None, path="new folder"
    )
    out: Path = given("Minima, extxyz", path="new file")
    out_names: Path | None = given("Their names, one a line", default=None, path="new file")


@step("frazil.experiments.infrared.minima:split_structures", group="infrared")
class SplitStructures:
    """Write every structure into a file of its own, and say what their minima will cost."""

    structures: tuple[Path, ...] = given("xyz or extended XYZ; info 'name' names them", path="file")
    level: str = same_as(Learning, "level")
    out: Path = given("Folder for 0000-NAME.extxyz, …", path="new folder")


@step("frazil.experiments.infrared.minima:gather_minima")
class GatherMinima:
    """Put minima together, with a file of their names."""

    minima: tuple[Path, ...] = given("Files of find-minima, in order", path="file")
    out: Path = given("Minima, extxyz", path="new file")
    out_names: Path = given("Their names, one a line", path="new file")


@step("frazil.experiments.infrared.learning:displace_minima", group="infrared")
class DisplaceMinima:
    """Displace minima along their normal modes: the first frames to label."""

    minima: Path = given("Minima of find-minima, extxyz", path="file")
    n_initial: int = same_as(Learning, "n_initial")
    initial_temperatures_K: tuple[float, ...] = same_as(Learning, "initial_temperatures_K")
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Frames, extxyz", path="new file")


@step("frazil.experiments.infrared.learning:learn_round", group="infrared")
class LearnRound:
    """Train a committee on all frames so far, and say which frames it does not know."""

    minima: Path = given("Minima of find-minima, extxyz", path="file")
    frames: tuple[Path, ...] = given(
        "Labelled frames, extxyz: those to begin with, then those of each round", path="file"
    )
    round_number: int = given(
        "Number of the round; round 0 begins", default=0, minimum=0, maximum=MOST_ROUNDS
    )
    before: Path | None = given("Folder of the round before", default=None, path="folder")
    settings: Learning = part(Learning)
    training: Training = part(Training)
    architecture: GmnnArchitecture = part(GmnnArchitecture)
    checkpoints: Path = given("Folder that outlives the task", path="new folder")
    out: Path = given("Folder of the round: model.h5, candidates.extxyz, tables", path="new folder")


@step("frazil.experiments.infrared.learned:gather_learned", group="infrared")
class GatherLearned:
    """Put together what the rounds of active learning have learned: committee, frames, tables."""

    minima: Path = given("Minima of find-minima, extxyz", path="file")
    rounds: tuple[Path, ...] = given("Folders of learn-round, in order", path="folder")
    frames: tuple[Path, ...] = given(
        "Labelled frames, extxyz: those to begin with, then those of each round", path="file"
    )
    failed: tuple[Path, ...] = given("failed.csv of each round", default=(), path="file")
    settings: Learning = part(Learning)
    out: Path = given("Folder of model.h5, frames.extxyz and tables", path="new folder")


@step("frazil.experiments.infrared.dynamics:run_dipoles", group="infrared")
class RunDipoles:
    """Dipoles of many replicas of clusters at several temperatures, by a committee or by the labelling level."""

    minima: Path = given("Minima of find-minima, extxyz", path="file")
    structures: tuple[str, ...] = given("Names of those that are run")
    engine: str = given("What gives forces and dipoles", default="model", choices=ENGINES)
    model: Path | None = given("model.h5 of a committee", default=None, path="any")
    members: str = same_as(Infrared, "members")
    settings: Runs = part(Runs)
    keep_positions: bool = given("Write positions too, for schnet-dipoles", default=False)
    checkpoints: Path = given("Folder that outlives the task", path="new folder")
    out: Path = given("Folder for dipoles-STRUCTURE-ENGINE.h5", path="new folder")


@settings
class SchnetTraining:
    """SchNet and its training.

    Mean squared error of dipoles, Adam, the rate falling to a hundredth, best on every tenth frame.
    """

    seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    n_features: int = given("Features of an atom", default=64, minimum=1, maximum=4096)
    n_interactions: int = given("Interaction blocks", default=3, minimum=1, maximum=20)
    n_gaussians: int = given("Radial functions", default=25, minimum=1, maximum=1000)
    cutoff_A: float = same_as(GmnnArchitecture, "cutoff_A")
    schnet_epochs: int = same_as(Infrared, "schnet_epochs")
    batch_size: int = given("Frames in a training step", default=16, minimum=1, maximum=1024)
    learning_rate: float = given("Learning rate of Adam, at the start", default=2e-3, above=0, maximum=1)


@step("frazil.experiments.infrared.schnet:train_schnet", group="infrared")
class TrainSchnet:
    """Train SchNet's charges on the dipoles of the frames that were learned (environment: make schnet)."""

    learned: Path = given("Folder of gather-learned", path="folder")
    settings: SchnetTraining = part(SchnetTraining)
    out: Path = given("The network, HDF5; its error goes beside as CSV", path="new file")


@step("frazil.experiments.infrared.schnet:schnet_dipoles")
class SchnetDipoles:
    """Dipoles of SchNet's charges along dynamics whose positions were kept (environment: make schnet)."""

    model: Path = given("Network of train-schnet", path="file")
    dipoles: Path = given("File of run-dipoles with positions", path="file")
    out: Path = given("The same runs with SchNet's dipoles, HDF5", path="new file")


@step("frazil.experiments.infrared.results:analyse", group="infrared")
class AnalyseInfrared:
    """Tables, figures, gates and report section of infrared spectra."""

    minima: Path = given("Minima of find-minima, extxyz", path="file")
    learned: Path = given("Folder of gather-learned", path="folder")
    dipoles: tuple[Path, ...] = given("Files of run-dipoles", path="file")
    isomers: Path | None = given("Minima that were not trained on", default=None, path="file")
    spectrum: ClusterSpectrum = part(ClusterSpectrum)
    model_error_scale: float = same_as(ModelError, "model_error_scale", of="model_error_scale")
    out: Path = given("Folder of tables, figures and section", path="new folder")
