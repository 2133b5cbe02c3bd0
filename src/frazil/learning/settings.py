"""Settings of training: DeePMD-kit's models and Gaussian-moment networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frazil.labels.settings import Seed
from frazil.settings import given, part, same_as, setting, settings, step

WIDEST = 4096
"""Neurons of a layer, at most."""


@settings
class DeepmdTraining:
    """Hyper-parameters of one DeePMD model (se_e2_a); the defaults are the paper's, except ``sel``.

    The paper's sel is 29 for C and O. A 50-CO aggregate can hold 30 C within 6.5 Å, and DeePMD-kit would then
    drop the farthest without a word; 40 leaves room.
    """

    n_steps: int = setting(
        "Training steps of the final models", default=400_000, minimum=1, maximum=100_000_000
    )
    batch_size: int = setting("Frames in a training step", default=1, minimum=1, maximum=1024)
    learning_rate_start: float = setting("Learning rate at the first step", default=1e-2, above=0, maximum=1)
    learning_rate_stop: float = setting(
        "Learning rate at the last step (exponential decay)", default=1e-3, above=0, maximum=1
    )
    cutoff_A: float = setting("Cutoff radius of the descriptor", default=6.5, minimum=2, maximum=20)
    smooth_A: float = setting(
        "Radius from which the descriptor is switched off smoothly", default=0.5, above=0, maximum=20
    )
    embedding: tuple[int, ...] = setting(
        "Neurons of the embedding network", default=(50, 50, 50), minimum=1, maximum=WIDEST, repeated=True
    )
    axis: int = setting("Size of the submatrix of the embedding", default=8, minimum=1, maximum=64)
    fitting: tuple[int, ...] = setting(
        "Neurons of the fitting network", default=(250, 250, 250), minimum=1, maximum=WIDEST, repeated=True
    )
    sel: tuple[int, ...] = setting(
        "Neighbours reserved per type C, O, X1, X2 (the paper's 29 is too few for dense aggregates of 50 CO)",
        default=(40, 40, 1, 1), minimum=1, maximum=WIDEST, repeated=True, length=4,
    )  # fmt: skip
    energy_prefactors: tuple[float, ...] = setting(
        "Weight of the energy in the loss at the first and at the last step",
        default=(1.0, 8.0), minimum=0, repeated=True, length=2,
    )  # fmt: skip
    force_prefactors: tuple[float, ...] = setting(
        "Weight of the forces in the loss at the first and at the last step",
        default=(1000.0, 1.0), minimum=0, repeated=True, length=2,
    )  # fmt: skip

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what cannot be trained."""
        if self.learning_rate_stop > self.learning_rate_start:
            yield "learning_rate_stop", "allowed: at most [learning_rate_start]"
        if self.smooth_A >= self.cutoff_A:
            yield "smooth_A", "allowed: below [cutoff_A]"
        if self.axis > self.embedding[-1]:
            yield "axis", "allowed: at most the last width of [embedding]"


@settings
class DeepmdModel:
    """What a DeePMD model is besides its hyper-parameters."""

    excited_types: bool = setting(
        "Give the excited molecule's atoms types of their own (X1, X2); false trains them as C and O, for comparison",
        default=True,
    )
    compress: bool = setting(
        "Tabulate the embedding network (twice as fast at the paper's size, nothing gained for small networks)",
        default=True,
    )


@settings
class Deepmd:
    """Training of the DeePMD committee (se_e2_a)."""

    n_models: int = setting("Committee members, which differ by seed only", default=5, minimum=2, maximum=50)
    training: DeepmdTraining = part(DeepmdTraining)
    model: DeepmdModel = part(DeepmdModel)
    bond_baseline: bool = setting(
        "Take the isolated molecule's own curve out of the labels and add it as a table where the model runs; not in "
        "the paper, a third of the error at equal cost",
        default=False,
    )


@settings
class GmnnTraining:
    """What training a Gaussian-moment network takes; defaults are those of the sticking paper.

    Weights are 1 and 100 Å², 32 frames a step, 5000 epochs. The optimizer is another: the paper's AMSGrad at
    0.03 keeps the large gradients of the first steps as its scale for good, and ends at four times the force
    error (docs/benchmarks.md).

    The loss of a frame is energy_weight ΔE²/N + force_weight Σ|ΔF|²/(3N) + dipole_weight |Δμ|²/3, times its
    own weight (``info["weight"]``, else 1). weight_scale_eV s > 0 weighs frames by (s/(s + E))², E their
    energy above the lowest frame of their composition: walls of eV no longer outweigh wells of meV.
    """

    n_members: int = setting(
        "GM-NN models of the committee, trained side by side",
        default=3,
        minimum=1,
        maximum=50,
        of="sticking.n_members",
    )
    n_heads: int = setting(
        "Heads of each GM-NN model: members that share all of it but the last layer (a shallow ensemble), so that one "
        "evaluation serves all; 1 is an ordinary model",
        default=1, minimum=1, maximum=64,
    )  # fmt: skip
    seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    n_epochs: int = setting(
        "Passes over the training frames, at most", default=5000, minimum=1, maximum=1_000_000
    )
    batch_size: int = setting("Frames in a training step", default=32, minimum=1, maximum=1024)
    learning_rate: float = setting(
        "Learning rate of the layers at the first step; falls linearly to 1 %",
        default=0.02,
        above=0,
        maximum=1,
    )
    optimizer: str = setting(
        "amsgrad (with rate 0.03) is the published one; it ends at four times the force error (docs/benchmarks.md)",
        default="adam", choices=("adam", "amsgrad"),
    )  # fmt: skip
    energy_weight: float = setting("Weight of the energies in the loss", default=1, minimum=0)
    force_weight: float = setting("Weight of the forces in the loss, Å²", default=100, minimum=0)
    dipole_weight: float = setting(
        "Weight of the dipoles in the loss, Å⁻²; 0 trains no charges", default=0, minimum=0
    )
    weight_scale_eV: float = setting(
        "s of a frame's weight (s/(s + E))², E its energy above the lowest frame of its composition; 0 counts all "
        "frames alike",
        default=0, minimum=0,
    )  # fmt: skip
    patience: int = setting(
        "Epochs without a better test loss of any member after which training ends", default=500, minimum=1
    )
    checkpoint_every: int = given("Epochs between checkpoints", default=50, minimum=1)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what cannot be trained."""
        if max(self.energy_weight, self.force_weight, self.dipole_weight) == 0:
            yield "force_weight", "allowed: one weight above 0; [energy_weight], [dipole_weight]"


@settings
class GmnnArchitecture:
    """The size of a Gaussian-moment network."""

    cutoff_A: float = setting("Cutoff radius", default=6.0, minimum=2, maximum=20)
    n_radial: int = setting(
        "Radial functions; 5 give 360 features, 3 give 94", default=5, minimum=1, maximum=8
    )
    n_basis: int = setting("Gaussians that a radial function is made of", default=7, minimum=1, maximum=64)
    hidden: tuple[int, ...] = setting(
        "Neurons of the hidden layers", default=(256, 128), minimum=1, maximum=WIDEST, repeated=True
    )
    precision: str = setting(
        "Numbers of the network; energies are summed in float64",
        default="float32",
        choices=("float32", "float64"),
    )


@settings
class RolloutTraining:
    """What dynamic training takes; defaults are the published code's, for its graph network (EGNN).

    A stage of subsequences of S frames ends where the learning rate would fall to its smallest; the next has
    S + 1. At S = 1 the loss is that of energies and forces; at S > 1 λ_1 of the first frame's forces and 1 of
    the others', and no energies unless ``along_energy_weight`` asks for them.
    """

    seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    longest: int = setting(
        "Frames of the longest subsequences that are trained on", default=11, minimum=1, maximum=1000
    )
    rollout_loss: str = setting(
        "published (mean absolute errors, of forces by species) or squared (that of ordinary training)",
        default="published", choices=("published", "squared"),
    )  # fmt: skip
    first_weight: float = setting(
        "Weight of the first frame's forces in subsequences of more than one", default=50, minimum=0
    )
    along_energy_weight: float = setting(
        "Weight of the energies in subsequences of more than one frame; the published loss has none",
        default=0, minimum=0,
    )  # fmt: skip
    squared_force_weight: float = setting(
        "Weight of the forces beside the energies in the squared loss, Å²", default=100, above=0
    )
    batch_size: int = setting("Subsequences in a training step", default=32, minimum=1, maximum=1024)
    starts_per_epoch: int = setting(
        "Subsequences of an epoch, drawn anew for each; 0 takes all", default=0, minimum=0
    )
    n_epochs: int = setting(
        "Epochs of all stages together, at most", default=5000, minimum=1, maximum=1_000_000
    )
    learning_rate: float = setting("Learning rate of the first stage", default=1e-3, above=0, maximum=1)
    reset_rate: float = setting(
        "Learning rate that every later stage begins with", default=1e-4, above=0, maximum=1
    )
    smallest_rate: float = setting("Learning rate at which a stage ends", default=2e-6, above=0, maximum=1)
    rate_factor: float = setting("Factor of the learning rate at a plateau", default=0.33, above=0, below=1)
    plateau_epochs: int = setting(
        "Epochs without a better validation error that make a plateau", default=15, minimum=0
    )
    clip_norm: float = setting("Largest norm of a gradient; 0 clips nothing", default=1, minimum=0)
    validation_frames: int = setting(
        "Frames of the trajectories that validate", default=60, minimum=2, maximum=100_000
    )
    n_validation: int = setting("Trajectories that validate", default=64, minimum=1, maximum=100_000)
    rollout_skin_A: float = setting(
        "How far beyond the cutoff the reference's neighbour lists reach", default=0.3, minimum=0, maximum=5
    )
    checkpoint_every: int = given("Epochs between checkpoints", default=10, minimum=1)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what cannot be trained."""
        for name in ("learning_rate", "reset_rate"):
            if getattr(self, name) * self.rate_factor <= self.smallest_rate:
                yield name, "allowed: above [smallest_rate] by more than [rate_factor]"


@settings
class AdsorbateTraining:
    """A network of its own for what an adsorbate adds to the energy, beside that of the surface."""

    adsorbate: tuple[str, ...] = setting(
        "Elements of an adsorbate, which no other molecule has: a network of its own learns what it adds to the energy, "
        "in its own atoms alone; none: one network for all",
        default=(),
    )  # fmt: skip
    adsorbate_cutoff_A: float = setting(
        "Cutoff radius of that network; few atoms have it, so that a long one costs little", default=10, minimum=2,
        maximum=20,
    )  # fmt: skip
    adsorbate_n_radial: int = setting("Radial functions of that network", default=7, minimum=1, maximum=8)
    adsorbate_hidden: tuple[int, ...] = setting(
        "Neurons of its hidden layers", default=(128, 128), minimum=1, maximum=WIDEST, repeated=True
    )
    adsorbate_epochs: int = setting(
        "Passes over the frames that have the adsorbate", default=150, minimum=1, maximum=1_000_000
    )

    @property
    def size(self) -> dict[str, Any]:
        """What differs between that network's architecture and the surface's."""
        return {
            "cutoff_A": self.adsorbate_cutoff_A, "n_radial": self.adsorbate_n_radial,
            "hidden": self.adsorbate_hidden,
        }  # fmt: skip


@settings
class Gmnn:
    """Training of a committee of Gaussian-moment networks (sticking)."""

    training: GmnnTraining = part(GmnnTraining)
    architecture: GmnnArchitecture = part(GmnnArchitecture)
    adsorbate: AdsorbateTraining = part(AdsorbateTraining)


GROUPS = {"deepmd": Deepmd, "gmnn": Gmnn}


@step("frazil.learning.deepmd:train", group="deepmd")
class TrainDeepmd:
    """Train one DeePMD-kit model on a labelled dataset; a rerun goes on from its checkpoint."""

    dataset: Path = given("Folder with train.extxyz and test.extxyz", path="folder")
    model_id: int = given("Number of the model in its committee", default=0, minimum=0)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    settings: DeepmdTraining = part(DeepmdTraining)
    excited_types: bool = same_as(DeepmdModel, "excited_types")
    compress: bool = same_as(DeepmdModel, "compress")
    bond_curve: Path | None = given(
        "bond_curves.csv: its bonds are taken out and kept as a table", default=None, path="file"
    )
    checkpoints: Path = given("Folder for checkpoints that outlives the task", path="new folder")
    out: Path = given("Model folder to write", path="new folder")


@step("frazil.learning.gmnn:train", group="gmnn")
class TrainGmnn:
    """Train a committee of Gaussian-moment neural networks on a labelled dataset; a rerun goes on."""

    dataset: Path = given("Folder with train.extxyz and test.extxyz", path="folder")
    settings: GmnnTraining = part(GmnnTraining)
    architecture: GmnnArchitecture = part(GmnnArchitecture)
    adsorbate: AdsorbateTraining = part(AdsorbateTraining)
    before: Path | None = given(
        "Folder of a committee of the same architecture and level to go on from, for fewer epochs at a lower rate",
        default=None, path="folder",
    )  # fmt: skip
    further_epochs: int = given("Epochs of a training that goes on", default=0, minimum=0)
    oxidation_numbers: tuple[str, ...] = given(
        "With a dipole_weight: the oxidation number of each element (Na:1,Cl:-1), so that dipoles of crystals and liquids "
        "are learnt, which have many values; positions are unwrapped then",
        default=(),
    )  # fmt: skip
    checkpoints: Path = given("Folder for checkpoints that outlives the task", path="new folder")
    out: Path = given("Folder for model.h5 and learning_curve.csv", path="new folder")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.before is None and self.further_epochs:
            yield "further_epochs", "allowed: 0 without [before]"
        if self.before is not None and not self.further_epochs and not self.adsorbate.adsorbate:
            yield (
                "further_epochs",
                "allowed: above 0 with [before], or 0 with an [adsorbate], which is trained beside it",
            )
        if self.oxidation_numbers and not self.settings.dipole_weight:
            yield "oxidation_numbers", "allowed: none without a [dipole_weight]"
        if self.adsorbate.adsorbate and self.settings.dipole_weight:
            yield "adsorbate", "allowed: none with a [dipole_weight]; a network of its own gives no charges"


@step("frazil.learning.polarizability:train")
class TrainPolarizability:
    """Train a committee that gives the polarizability, on frames labelled with it; say its errors."""

    dataset: Path = given("Labelled frames, extended XYZ, with label_polarizability_A3", path="file")
    n_members: int = given(
        "Members, each trained on frames drawn with replacement", default=8, minimum=1, maximum=100
    )
    cutoff_A: float = given(
        "How far an atom's moments see its neighbours", default=5.0, minimum=2, maximum=20
    )
    n_radial: int = given("Gaussians along the distance", default=5, minimum=2, maximum=20)
    test_part: float = given("Part of the frames that is held out", default=0.2, above=0, below=1)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="")
    out: Path = given("Folder to write", path="new folder")
