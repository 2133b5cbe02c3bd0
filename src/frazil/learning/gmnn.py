"""Training of GM-NN committees on energies, forces and dipoles: Adam, best-on-test, exact resume.

**Shallow ensembles** (``n_heads`` > 1). Heads of one network are alike unless their spread is trained too, by
the Gaussian likelihood of the labels: mean and variance are those over the heads (Kellner & Ceriotti, Mach.
Learn.: Sci. Technol. 5, 035006, 2024, arXiv:2402.16621). Of energies it costs nothing. Of forces it costs a
way back for each head, but spreads of forces that were trained by energies only are wrong; so a short
training on the forces' likelihood follows a long one on the energies' (Schäfer, Kellner, Kästner & Ceriotti,
arXiv:2602.15747, 2026). The loss is the likelihood times its variance, which is held fixed there (β-NLL at
β = 1, Seitzer et al., ICLR 2022, arXiv:2203.09168): the mean has the gradient of the squared errors, as a
single model has it, and the variance that of the likelihood.
"""

import csv
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import ase.data
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ase import Atoms

from frazil.checkpoints import Claim, TimeLimit, key_of
from frazil.data.cells import boundary_key
from frazil.data.frames import read_frames
from frazil.errors import UserError
from frazil.files import sha256_of, write_atomic
from frazil.learning import fit as training
from frazil.learning.adsorbate import (
    AdsorbateCommittee,
    Share,
    frames_of_surface,
    shares_of,
    tail_of,
    without_tail,
)
from frazil.learning.annealing import RATES, Annealed, floored, optimizer, rate_of
from frazil.learning.batches import (
    PAIR,
    Batch,
    Frames,
    baseline,
    batches,
    groups,
    lists_of,
    prepare,
    residuals,
    squared,
)
from frazil.learning.branches import check_branches, check_numbers, labels_of, numbers_of
from frazil.learning.fit import Progress
from frazil.learning.settings import AdsorbateTraining, GmnnArchitecture, GmnnTraining
from frazil.potentials.adsorption import TAIL
from frazil.potentials.folder import INTERACTION
from frazil.potentials.gmnn import derivatives, fast, reference
from frazil.potentials.gmnn.architecture import (
    Architecture,
    Parameters,
    Weights,
    apart,
    arms_of,
    fold,
    initialize_committee,
    member,
    n_networks,
    stack_members,
)
from frazil.potentials.gmnn.committee import write_folder
from frazil.potentials.gmnn.derivatives import loss_and_gradient
from frazil.potentials.gmnn.files import Model, read_model
from frazil.potentials.gmnn.potential import GMNN
from frazil.seeds import derived_seed, rng

CURVE_COLUMNS = (
    "epoch",
    "member",
    "train_loss",
    "test_loss",
    "test_energy_rmse_meV_per_atom",
    "test_force_rmse_eV_per_A",
    "test_dipole_rmse_e_A",
    "learning_rate",
    "wall_s",
)
BATCHES_PER_CALL = 32
ALIKE, N_RARE = 0.02, 16
"""Features of an element that vary less, relative to those of all atoms, are normalised as these are. So many
frames of elements that the others lack are looked at for it."""
SQUARES, ENERGIES, FORCES = "squares", "energies", "forces"
"""What a training is by: squared errors, or for several heads the likelihood of energies (and dipoles), or of
these and forces."""
FORCES_SHARE = 0.03
"""Of the epochs, those by the likelihood of forces: few, since each needs the forces of every head."""
FURTHER_RATE = 0.3
"""First learning rate of a training that goes on from a committee, relative to that of one from nothing."""
FORCES_RATE = 0.1
"""Their learning rate, relative to that of the epochs before."""
ARM_SCALE_e = 0.1
"""What a coefficient of an arm begins with."""
LEAST_SPREADS = (1e-4, 1e-4, 1e-4)
"""Added to spreads in a likelihood, eV per √atom, eV/Å, e Å: a spread of 0 would claim certainty."""


def predict(
    architecture: Architecture, parameters: Parameters, batch: Batch
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return energies (B,), forces (N, 3) and dipoles (B, 3) that one network, or the mean of its heads,
    predicts for a batch.

    By the reference, so that what is reported does not rest on the pass that training takes.
    """
    weights, lists = fold(architecture, parameters), lists_of(batch, architecture.cutoff_A)
    species, positions = jnp.asarray(batch.species), jnp.asarray(batch.positions)
    _, forces, per_atom = reference.energy_and_forces(architecture, weights, species, lists, positions)
    if architecture.n_heads > 1:
        energies, dipoles = _of_heads(architecture, batch, per_atom)
        return energies.mean(axis=0), forces, dipoles.mean(axis=0)
    energies, dipoles = _per_structure(architecture, batch, per_atom)
    return energies, forces, dipoles


def predict_heads(
    architecture: Architecture, parameters: Parameters, batch: Batch
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return what ``predict`` does of every head: (heads, B), (heads, N, 3) and (heads, B, 3)."""
    members = apart(architecture, jax.tree.map(lambda leaf: leaf[None], parameters))
    own: tuple[jax.Array, jax.Array, jax.Array] = jax.vmap(
        lambda one: predict(architecture.alone(), one, batch)
    )(members)
    return own


def _of_heads(architecture: Architecture, batch: Batch, outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return energies (heads, B) and dipoles (heads, B, 3) of outputs (N, n_outputs)."""
    each = jnp.swapaxes(fast.by_head(architecture, outputs.T), 1, 2)
    own: tuple[jax.Array, jax.Array] = jax.vmap(partial(_per_structure, architecture.alone(), batch))(each)
    return own


def _per_structure(
    architecture: Architecture, batch: Batch, outputs: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return energies (B,) and dipoles (B, 3) of one member's outputs (N, quantities).

    Of a model that knows oxidation numbers the dipoles are less Σ N R, as the batch's labels are.
    """
    sums = partial(jax.ops.segment_sum, segment_ids=batch.owner, num_segments=batch.n_structures + 1)
    energies, dipoles = sums(outputs[:, 0])[:-1], jnp.zeros((batch.n_structures, 3))
    if "charge" in architecture.heads:
        charges = outputs[:, architecture.heads.index("charge")]
        excess = (sums(charges)[:-1] - batch.charges) / jnp.maximum(batch.n_atoms, 1.0)
        dipoles = sums((charges - jnp.append(excess, 0.0)[batch.owner])[:, None] * batch.centred)[:-1]
    elif architecture.oxidation:
        dipoles = sums(jnp.einsum("ns,nsx->nx", outputs[:, 1:], batch.arms))[:-1]
    return energies, dipoles


def _squared(batch: Batch, energies: jax.Array, forces: jax.Array, dipoles: jax.Array) -> jax.Array:
    """Return sums (6,) over a batch: ΔE²/N, Σ|ΔF|²/(3N), |Δμ|²/3, each times the frame's weight, then plain
    (ΔE/N)², Σ|ΔF|², |Δμ|²/3 (free places count nothing).
    """
    atoms, real = jnp.maximum(batch.n_atoms, 1.0), batch.n_atoms > 0
    energy, force = residuals(batch, energies, forces)
    dipole = jnp.where(real[:, None], dipoles - batch.dipoles, 0.0)
    weights = jnp.asarray(batch.weights)
    return jnp.stack(
        [
            *squared(batch, energy, force),
            (weights[:, None] * dipole**2).sum() / 3.0,
            ((energy / atoms) ** 2).sum(),
            (force**2).sum(),
            (dipole**2).sum() / 3.0,
        ]
    )


def squared_errors(architecture: Architecture, parameters: Parameters, batch: Batch) -> jax.Array:
    """Return sums (6,) of squared errors of one network over a batch, as ``_squared`` names them."""
    return _squared(batch, *predict(architecture, parameters, batch))


Spread = tuple[jax.Array, jax.Array, jax.Array]
"""Squared error and variance over the heads, each for one component, and the weight, of like shapes (…,)."""


def spreads(
    batch: Batch, energies: jax.Array, forces: jax.Array | None, dipoles: jax.Array
) -> tuple[Spread, Spread | None, Spread]:
    """Return what the likelihood is made of: energies by √N (B,), each atom's force (N,) and dipoles (B,).

    energies (heads, B), forces (heads, N, 3) or None, dipoles (heads, B, 3). Forces and dipoles spread alike
    in all directions. Weights are those of ``_squared``: a frame's own, shared out among its atoms.
    """
    atoms, weights = jnp.maximum(batch.n_atoms, 1.0), jnp.asarray(batch.weights)
    weights = jnp.where(batch.n_atoms > 0, weights, 0.0)
    least_eV, least_eV_per_A, least_e_A = LEAST_SPREADS

    def of(values: jax.Array, labels: jax.Array, least: float, weights: jax.Array) -> Spread:
        """values (heads, n, components), labels (n, components)."""
        square = ((values.mean(axis=0) - labels) ** 2).mean(axis=-1)
        return square, values.var(axis=0, ddof=1).mean(axis=-1) + least**2, weights

    root = jnp.sqrt(atoms)
    energy = of((energies / root)[..., None], (batch.energies / root)[:, None], least_eV, weights)
    dipole = of(dipoles, jnp.asarray(batch.dipoles), least_e_A, weights)
    if forces is None:
        return energy, None, dipole
    per_atom = jnp.append(weights / atoms, 0.0)[batch.owner]
    return energy, of(forces, jnp.asarray(batch.forces), least_eV_per_A, per_atom), dipole


def spread_loss(found: Spread, square: jax.Array | None = None, scale: jax.Array | None = None) -> jax.Array:
    """Return Σ w σ² (e²/σ² + ln σ²) (), e² and the first σ² being held fixed: the variance's part of β-NLL.

    ``square``, ``scale``: what they are held at, else what they are.
    """
    own, variance, weights = found
    square = jax.lax.stop_gradient(own if square is None else square)
    scale = jax.lax.stop_gradient(variance if scale is None else scale)
    return (weights * scale * (square / variance + jnp.log(variance))).sum()


def negative_log_likelihoods(architecture: Architecture, parameters: Parameters, batch: Batch) -> jax.Array:
    """Return sums (3,) over a batch of ½ (e²/σ² + ln σ²), of a component of energies, forces and dipoles.

    e is the error of the heads' mean, σ their spread; frames count by their weights.
    """
    found = spreads(batch, *predict_heads(architecture, parameters, batch))
    return jnp.stack(
        [
            0.5 * (weights * (square / variance + jnp.log(variance))).sum()
            for square, variance, weights in (own for own in found if own is not None)
        ]
    )


def loss_and_gradient_of(
    architecture: Architecture,
    settings: GmnnTraining,
    parameters: Parameters,
    batch: Batch,
    by: str = SQUARES,
) -> tuple[jax.Array, Parameters]:
    """Return one network's loss () on a batch, the mean over its structures, and the gradient.

    ``by``: squared errors, or the likelihood of ENERGIES or FORCES that is added to those of the heads' mean.
    """
    weights, count = _weights(settings), jnp.maximum((batch.n_atoms > 0).sum(), 1)

    def loss(outputs: jax.Array, forces: jax.Array) -> tuple[jax.Array, None]:
        if by == SQUARES:
            energies, dipoles = _per_structure(architecture, batch, outputs)
            return _squared(batch, energies, forces, dipoles) @ weights / count, None
        energies, dipoles = _of_heads(architecture, batch, outputs)
        each, mean = (forces, forces.mean(axis=0)) if by == FORCES else (None, forces)
        squares = _squared(batch, energies.mean(axis=0), mean, dipoles.mean(axis=0)) @ weights
        found = zip(spreads(batch, energies, each, dipoles), weights[:3], strict=True)
        spread = sum(weight * spread_loss(own) for own, weight in found if own is not None and weight)
        return (squares + spread) / count, None

    value, _, gradient = loss_and_gradient(
        architecture,
        parameters,
        jnp.asarray(batch.species),
        lists_of(batch, architecture.cutoff_A),
        jnp.asarray(batch.positions),
        loss,
        each_head=by == FORCES,
    )
    return value, gradient


@dataclass(frozen=True)
class GmnnNetwork:
    """A GM-NN as ``learning.rollout`` trains it: one member, energy and forces."""

    architecture: Architecture

    @property
    def cutoff_A(self) -> float:
        """The architecture's."""
        return self.architecture.cutoff_A

    @property
    def n_species(self) -> int:
        """How many elements it knows."""
        return len(self.architecture.elements)

    def species(self, numbers: np.ndarray) -> np.ndarray:
        """Return indices into the elements (natoms,). Raises UserError for a foreign element."""
        return self.architecture.species(numbers)

    def identity(self) -> dict[str, Any]:
        """Return the hyper-parameters as JSON."""
        return {"kind": "gmnn", **self.architecture.to_json()}

    def start(self, frames: Frames, seed: int) -> Parameters:
        """Return random parameters, scaled as ``start_parameters`` says."""
        settings = GmnnTraining(n_members=1, seed=seed)
        return member(start_parameters(self.architecture, settings, frames), 0)

    def rates(self, parameters: Parameters) -> Parameters:
        """Return ``RATES`` of every leaf; the normalisation of features is fixed."""
        return {k: jax.tree.map(lambda _, k=k: RATES.get(k, 0.0), v) for k, v in parameters.items()}

    def fold(self, parameters: Parameters) -> Weights:
        """Return the folded weights."""
        return fold(self.architecture, parameters)

    def values(self, weights: Weights, batch: Batch, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return energies (B,) eV and forces (N, 3) eV/Å."""
        lists, species = lists_of(batch, self.cutoff_A), jnp.asarray(batch.species)
        outputs, forces = derivatives.values(self.architecture, weights, species, lists, positions)
        return _per_structure(self.architecture, batch, outputs.T)[0], forces

    def gradient(
        self, weights: Weights, batch: Batch, positions: jax.Array, by_structure: jax.Array
    ) -> tuple[Weights, jax.Array]:
        """Return the gradient of Σ by_structure · energies by weights and positions (N, 3)."""
        lists, species = lists_of(batch, self.cutoff_A), jnp.asarray(batch.species)
        by_lane = jnp.append(by_structure, 0.0)[batch.owner]
        return derivatives.gradient(self.architecture, weights, species, lists, positions, by_lane)

    def potential(self, parameters: Parameters, numbers: np.ndarray) -> GMNN:
        """Return the model for the engine."""
        return GMNN.of(Model(self.architecture, stack_members([parameters]), {}), numbers)

    def write(self, folder: Path, parameters: Parameters, metadata: Mapping[str, Any]) -> None:
        """Write the model's folder."""
        write_folder(folder, self.architecture, stack_members([parameters]), metadata)


def _weights(settings: GmnnTraining) -> np.ndarray:
    return np.array([settings.energy_weight, settings.force_weight, settings.dipole_weight, 0.0, 0.0, 0.0])


def start_parameters(architecture: Architecture, settings: GmnnTraining, frames: Frames) -> Parameters:
    """Return random networks whose shifts, scales and feature normalisation come from the training frames.

    Shifts: least squares of the energies over the composition. Scales: root mean square force × 1 Å.
    Features: mean and standard deviation per element and member, over up to 512 frames, fixed from here on;
    an element whose atoms are all alike there has those of all atoms.
    """
    parameters = initialize_committee(
        architecture, derived_seed(settings.seed, "gmnn-start"), settings.n_members
    )
    n_species = len(architecture.elements)
    shift, scale = baseline(frames, n_species)
    energies = slice(architecture.n_heads)
    parameters["shift"] = parameters["shift"].at[:, :, energies].set(jnp.asarray(shift)[:, None])
    parameters["scale"] = parameters["scale"].at[:, :, energies].set(scale)
    if architecture.oxidation:
        parameters["scale"] = parameters["scale"].at[:, :, architecture.n_heads :].set(ARM_SCALE_e)

    @jax.jit
    def moments(parameters: Parameters, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        def one(parameters: Parameters) -> jax.Array:
            weights, lists = fold(architecture, parameters), lists_of(batch, architecture.cutoff_A)
            values = reference.features(architecture, weights, batch.species, lists, batch.positions)
            return values.astype(jnp.float64)

        values = jax.vmap(one)(parameters)
        here = (batch.owner < batch.n_structures)[:, None] & (batch.species[:, None] == jnp.arange(n_species))
        one_hot = here.astype(jnp.float64)
        sums = partial(jnp.einsum, "as,maf->msf", one_hot)
        return one_hot.sum(axis=0), sums(values), sums(values**2)

    some = np.unique(np.linspace(0, len(frames.atoms) - 1, 512).astype(int))
    rare = np.setdiff1d(np.arange(n_species), np.concatenate([frames.species[i] for i in some]))
    if len(rare):
        others = [i for i, own in enumerate(frames.species) if np.isin(own, rare).any()]
        some = np.append(some, np.array(others[:N_RARE], int))
    parts = [moments(parameters, batch) for batch in batches(frames, some, settings.batch_size)]
    count, first, second = (sum(part[i] for part in parts) for i in range(3))

    def statistics(count: jax.Array, first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
        count = jnp.maximum(count, 1.0)[None, :, None]
        mean = first / count
        return mean, jnp.sqrt(jnp.maximum(second / count - mean**2, 0.0))

    mean, scale = statistics(count, first, second)
    # Atoms of an element that are all alike, as those of one lone H2, say nothing of how it varies.
    of_all = statistics(count.sum(keepdims=True), *(a.sum(axis=1, keepdims=True) for a in (first, second)))
    alike = scale.max(axis=-1, keepdims=True) < ALIKE * of_all[1].max(axis=-1, keepdims=True)
    mean, scale = (jnp.where(alike, every, own) for every, own in zip(of_all, (mean, scale), strict=True))
    return {**parameters, "feature_mean": mean, "feature_scale": floored(scale)}


@cache
def _compiled(architecture: Architecture, settings: GmnnTraining, by: str) -> tuple[Any, Any]:
    """Return the compiled steps over a group of batches, and the errors of all networks on a batch."""
    by_member = jax.vmap(partial(loss_and_gradient_of, architecture, settings, by=by), (0, None))

    def steps(
        parameters: Parameters, state: Any, group: Batch, count: Any, n_steps: Any
    ) -> tuple[Parameters, Any, jax.Array]:
        transform = optimizer(settings, n_steps)

        def step(i: Any, carry: Any) -> Any:
            parameters, state, sums = carry
            losses, gradient = by_member(parameters, jax.tree.map(lambda parts: parts[i], group))
            updates, state = transform.update(gradient, state, parameters)
            return optax.apply_updates(parameters, updates), state, sums + losses

        return jax.lax.fori_loop(0, count, step, (parameters, state, jnp.zeros(settings.n_members)))

    def errors(parameters: Parameters, batch: Batch) -> jax.Array:
        squares = squared_errors(architecture, parameters, batch)
        if by != FORCES:
            return squares
        return jnp.append(squares, negative_log_likelihoods(architecture, parameters, batch))

    return jax.jit(steps), jax.jit(jax.vmap(errors, (0, None)))


class CommitteeTraining(Annealed):
    """A committee's training, as ``frazil.learning.fit`` asks for it; its members are the networks.

    ``warm`` are parameters to begin with, whose feature normalisation stays. ``by``: as of
    ``loss_and_gradient_of``.
    """

    def __init__(
        self,
        architecture: Architecture,
        settings: GmnnTraining,
        train: Sequence[Atoms],
        test: Sequence[Atoms],
        warm: Parameters | None = None,
        by: str = SQUARES,
    ) -> None:
        self.n_members = settings.n_members
        self.fingerprint = fingerprint_of(architecture, settings, train, test, warm)
        self._by = by
        self._architecture, self._settings, self._warm = architecture, settings, warm
        self._frames = prepare(architecture, train)
        self._n_train, self._n_test = len(train), len(test)
        self._n_test_atoms = sum(len(atoms) for atoms in test)
        self._checks = batches(prepare(architecture, test), np.arange(len(test)), settings.batch_size)
        self._steps_per_epoch = -(-len(train) // settings.batch_size)
        self._n_steps = settings.n_epochs * self._steps_per_epoch
        # What compiles nothing anew: trainings of other lengths, data and seeds share their code.
        same = replace(settings, seed=1, n_epochs=1, patience=1)
        self._advance, self._measure = _compiled(architecture, same, by)

    def start(self) -> tuple[Parameters, Any]:
        """Return random or warm parameters and the optimizer's first state."""
        start = self._warm or start_parameters(self._architecture, self._settings, self._frames)
        return start, optimizer(self._settings, self._n_steps).init(start)

    def epoch(
        self, parameters: Parameters, optimizer_state: Any, number: int
    ) -> tuple[Parameters, Any, np.ndarray]:
        """Return both after all batches in the epoch's own order, and the mean losses (members,)."""
        order = rng(self._settings.seed, "gmnn-batches", number).permutation(self._n_train)
        sums = np.zeros(self.n_members)
        for group, count in groups(batches(self._frames, order, self._settings.batch_size), BATCHES_PER_CALL):
            parameters, optimizer_state, losses = self._advance(
                parameters, optimizer_state, group, count, self._n_steps
            )
            sums += np.asarray(losses)
        return parameters, optimizer_state, sums / self._steps_per_epoch

    def test(
        self, parameters: Parameters, optimizer_state: Any, number: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the test losses (members,), root mean square errors and the learning rate.

        By FORCES the loss is the mean negative log-likelihood: of a component of each quantity, summed.
        """
        errors = np.sum([np.asarray(self._measure(parameters, batch)) for batch in self._checks], axis=0)
        rate = rate_of(self._settings.learning_rate, number / self._settings.n_epochs)
        losses = errors[:, :6] @ _weights(self._settings) / self._n_test
        if self._by == FORCES:
            trained = _weights(self._settings)[:3] > 0
            losses = errors[:, 6:] @ trained / self._n_test
        return losses, {
            "test_energy_rmse_meV_per_atom": 1000 * np.sqrt(errors[:, 3] / self._n_test),
            "test_force_rmse_eV_per_A": np.sqrt(errors[:, 4] / (3 * self._n_test_atoms)),
            "test_dipole_rmse_e_A": np.sqrt(errors[:, 5] / self._n_test),
            "learning_rate": np.full(self.n_members, rate),
        }


def fit(
    architecture: Architecture,
    settings: GmnnTraining,
    train: Sequence[Atoms],
    test: Sequence[Atoms],
    checkpoint: Path,
    limit: TimeLimit,
    warm: Parameters | None = None,
) -> Progress:
    """Train a committee; goes on from ``checkpoint`` where there is one, to the same numbers.

    ``warm`` are parameters to begin with. A shallow ensemble's last epochs are by the likelihood of forces,
    kept in a checkpoint beside; its curve has both. Raises as ``frazil.learning.fit.fit`` does.
    """

    def trained(by: str, own: GmnnTraining, start: Parameters | None, file: Path) -> Progress:
        ready = CommitteeTraining(architecture, own, train, test, start, by)
        return training.fit(ready, own.n_epochs, own.patience, own.checkpoint_every, file, limit)

    if architecture.n_heads == 1:
        return trained(SQUARES, settings, warm, checkpoint)
    n_last = min(max(1, round(FORCES_SHARE * settings.n_epochs)), settings.n_epochs)
    first = trained(
        ENERGIES, replace(settings, n_epochs=max(1, settings.n_epochs - n_last)), warm, checkpoint
    )
    tuning = replace(settings, n_epochs=n_last, learning_rate=FORCES_RATE * settings.learning_rate)
    last = trained(FORCES, tuning, first.best, checkpoint.with_stem(checkpoint.stem + "-forces"))
    wall_s = first.curve[-1]["wall_s"]
    later = [
        {**row, "epoch": row["epoch"] + first.epoch, "wall_s": row["wall_s"] + wall_s} for row in last.curve
    ]
    return replace(
        last,
        epoch=first.epoch + last.epoch,
        best_epoch=first.epoch + last.best_epoch,
        curve=first.curve + later,
    )


def fingerprint_of(
    architecture: Architecture,
    settings: GmnnTraining,
    train: Sequence[Atoms],
    test: Sequence[Atoms],
    warm: Parameters | None = None,
) -> str:
    """Return what identifies a training: the code, the settings, the frames in their order, and the start."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(warm):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    for atoms in (*train, *test):
        for values in (
            atoms.numbers,
            atoms.positions,
            atoms.calc.results["forces"],
            atoms.calc.results["energy"],
            atoms.info.get("weight", 1.0),
        ):
            digest.update(np.ascontiguousarray(values, float).tobytes())
        digest.update((str(atoms.info.get(PAIR, "")) + boundary_key(atoms, digits=10)).encode())
    return key_of(architecture=architecture.to_json(), settings=asdict(settings), data=digest.hexdigest())


def said(settings: GmnnTraining) -> dict[str, Any]:
    """Return the settings as a model's file has them: ``n_heads`` of a shallow ensemble only."""
    values = asdict(settings)
    if settings.n_heads == 1:
        del values["n_heads"]
    return values


def weigh(frames: Sequence[Atoms], scale_eV: float) -> None:
    """Set ``info["weight"]`` of frames by their energies, as Settings says; what they had is multiplied."""
    lowest: dict[str, float] = {}
    for atoms in frames:
        name, energy_eV = atoms.get_chemical_formula(), atoms.get_potential_energy()
        lowest[name] = min(lowest.get(name, np.inf), energy_eV)
    for atoms in frames:
        above_eV = atoms.get_potential_energy() - lowest[atoms.get_chemical_formula()]
        own = float(atoms.info.get("weight", 1.0))
        atoms.info["weight"] = own * (scale_eV / (scale_eV + above_eV)) ** 2


def to_go_on_from(folder: Path, network: Architecture, n_members: int, level: str) -> Parameters:
    """Return a committee's parameters. Raises UserError where its network, size or level is another."""
    model = read_model(folder / "model.h5")
    theirs, ours = model.architecture.to_json(), network.to_json()
    differing = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
    if differing:
        told = "; ".join(f"{name}: {theirs.get(name)}, asked for {ours.get(name)}" for name in differing)
        raise UserError(
            f"{folder}: the committee to go on from is another network ({told}); give its settings"
        )
    theirs_n = n_networks(model.parameters)
    if theirs_n != n_members:
        raise UserError(
            f"{folder}: a committee of {theirs_n} networks; asked for {n_members}; give this number"
        )
    if model.metadata.get("label_level") != level:
        raise UserError(
            f"{folder}: learnt labels of level {model.metadata.get('label_level')}, the frames have {level}"
        )
    return model.parameters


def train(
    dataset: Path,
    out: Path,
    checkpoints: Path,
    settings: GmnnTraining,
    architecture: GmnnArchitecture,
    before: Path | None = None,
    further_epochs: int = 0,
    adsorbate: AdsorbateTraining | None = None,
    oxidation_numbers: Sequence[str] = (),
) -> str:
    """Train on ``dataset`` (train.extxyz, best on test.extxyz) and write the potential's folder ``out``, with
    learning_curve.csv in it. Frames are free, periodic in cells of any size (with as many images of an atom
    as the cutoff reaches), or some of both. The checkpoint stays: a finished training that is asked for again
    is only written again. Return the members' errors on the test set, in words.

    Elements are those of the training frames, ``architecture`` says the rest. With ``before``, the folder of
    a committee, training goes on from it for ``further_epochs``, at first at ``FURTHER_RATE`` of the learning
    rate. With elements of an ``adsorbate`` a second network, adsorbate.h5, learns what it adds to the energy,
    and the first one learns from the frames that ``frames_of_surface`` chooses; with 0 ``further_epochs`` the
    second alone is trained, beside the committee of ``before`` as it is. With ``oxidation_numbers`` (Na:1,
    Cl:-1) dipoles have the many values that those of cells have.
    Raises UserError for data without labels, under unknown names or of mixed levels, for dipoles of periodic
    frames without these numbers, or an adsorbate in them, for a committee of another architecture or level,
    for an adsorbate that frames say nothing of, and OutOfTime after SIGTERM.
    """
    files = [dataset / "train.extxyz", dataset / "test.extxyz"]
    frames, held_out = (read_frames([file], periodic="mixed") for file in files)
    in_cells = [atoms for atoms in (*frames, *held_out) if atoms.pbc.any()]
    if in_cells and settings.dipole_weight > 0 and not oxidation_numbers:
        raise UserError(
            f"{len(in_cells)} of {len(frames) + len(held_out)} frames are periodic, and the dipole of a cell "
            "has many values; give the oxidation number of each element, or set the dipole weight to 0"
        )
    if in_cells and adsorbate and adsorbate.adsorbate:
        raise UserError(
            f"{len(in_cells)} of {len(frames) + len(held_out)} frames are periodic; an adsorbate's network "
            "learns from free clusters: give these, or no adsorbate"
        )
    numbers = sorted({int(number) for atoms in frames for number in atoms.numbers})
    heads: tuple[str, ...] = ("energy", "charge") if settings.dipole_weight > 0 else ("energy",)
    elements = tuple(ase.data.chemical_symbols[number] for number in numbers)
    oxidation = numbers_of(oxidation_numbers, elements)
    if oxidation:
        heads = ("energy", *arms_of(elements))
    network = Architecture(
        elements=elements, heads=heads, n_heads=settings.n_heads, oxidation=oxidation, **asdict(architecture)
    )
    if settings.dipole_weight > 0 and any("dipole" not in a.calc.results for a in (*frames, *held_out)):
        raise UserError("frames without a dipole label; label them all, or set the dipole weight to 0")
    if oxidation:
        by_element = dict(zip(numbers, oxidation, strict=True))
        for part in (frames, held_out):
            labels_e_A = labels_of(part, by_element)
            check_numbers(part, labels_e_A)
            check_branches(part, labels_e_A)
    if settings.weight_scale_eV:
        weigh([*frames, *held_out], settings.weight_scale_eV)
    warm, first_rate = None, settings.learning_rate
    if before is not None:
        warm = to_go_on_from(before, network, settings.n_members, str(frames[0].info.get("label_level")))
        if further_epochs:
            rate = FURTHER_RATE * settings.learning_rate
            settings = replace(settings, n_epochs=further_epochs, learning_rate=rate)
    level = str(frames[0].info.get("label_level", "not stated"))
    shares, c6_eV_A6 = _shares(adsorbate, frames, held_out, level)
    if adsorbate and shares and (before is None or further_epochs):
        frames, held_out = frames_of_surface((frames, held_out), adsorbate.adsorbate)
    kept = checkpoints / f"gmnn-{fingerprint_of(network, settings, frames, held_out, warm)[:16]}"
    added = None
    with Claim(kept), TimeLimit() as limit:
        state = None
        if before is None or further_epochs:
            state = fit(network, settings, frames, held_out, kept / "training.npz", limit, warm)
        if adsorbate and shares:
            own = replace(
                settings, n_members=settings.n_members * settings.n_heads, n_heads=1,
                n_epochs=adsorbate.adsorbate_epochs, learning_rate=first_rate,
            )  # fmt: skip
            # Gaussians as dense as in the network of the surface.
            n_basis = math.ceil(network.n_basis * adsorbate.adsorbate_cutoff_A / network.cutoff_A)
            one = replace(
                network.alone(), heads=("energy",), adsorbate=adsorbate.adsorbate, n_basis=n_basis,
                **adsorbate.size,
            )  # fmt: skip
            trained = AdsorbateCommittee(one, own, *shares)
            file = kept / f"adsorbate-{trained.fingerprint[:16]}.npz"
            added = training.fit(trained, own.n_epochs, own.patience, own.checkpoint_every, file, limit)
    metadata = {
        "label_level": level,
        "training_data_sha256": sha256_of(*files),
        "settings": said(settings),
    }
    if state is None:
        base = read_model(Path(before or "") / "model.h5")
        of_surface, best = base.metadata, base.parameters
    else:
        of_surface, best = metadata | {"best_epoch": state.best_epoch.tolist()}, state.best
        write_curve(out / "learning_curve.csv", CURVE_COLUMNS, state.curve)
    if added is None:
        write_folder(out, network, best, of_surface)
        return _errors_told(state, len(held_out))
    write_curve(out / "adsorbate_learning_curve.csv", tuple(added.curve[0]), added.curve)
    told = {"adsorbate": list(one.adsorbate)}
    own_told = metadata | told | {TAIL: c6_eV_A6}
    own_told |= {"settings": said(own), "best_epoch": added.best_epoch.tolist()}
    write_folder(out, network, best, of_surface | told, (one, added.best, own_told))
    return _errors_told(state, len(held_out))


def _errors_told(state: Progress | None, n_test: int) -> str:
    """Return each network's errors on the test set, in the epoch that was kept."""
    if state is None:
        return "the committee stays as it is"
    rows = {(int(row["epoch"]), int(row["member"])): row for row in state.curve}
    lines = []
    for number, epoch in enumerate(state.best_epoch.tolist()):
        row = rows[epoch, number]
        energy, force = (row[f"test_{name}"] for name in ("energy_rmse_meV_per_atom", "force_rmse_eV_per_A"))
        lines.append(
            f"network {number}, epoch {epoch}: {energy:.3g} meV an atom, {force:.3g} eV/Å on {n_test} "
            "test frames (root mean square)"
        )
    return "\n".join(lines)


def _shares(
    adsorbate: AdsorbateTraining | None, frames: Sequence[Atoms], held_out: Sequence[Atoms], level: str
) -> tuple[list[list[Share]], dict[str, float]]:
    """Return what an adsorbate's network learns, of the frames and of those held out, and the C6 of the tail
    that was taken out of it; nothing without an adsorbate.
    """
    if adsorbate is None or not adsorbate.adsorbate:
        return [], {}
    interactions = level.endswith(INTERACTION)
    parts = [shares_of(part, adsorbate.adsorbate, interactions) for part in (frames, held_out)]
    c6_eV_A6 = tail_of(parts[0]) if interactions else {}
    return [[without_tail(share, c6_eV_A6) for share in part] for part in parts], c6_eV_A6


def write_curve(path: Path, columns: Sequence[str], curve: Sequence[Mapping[str, Any]]) -> None:
    """Write a learning curve, a row for each epoch and member."""
    with write_atomic(path) as partial_path, partial_path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(curve)
