"""The training of what an adsorbate adds to the energy, by a GM-NN of which only its own atoms count.

The share of an adsorbate is E(all atoms) − E(all but the adsorbate's). Its slopes by the adsorbate's atoms
are the forces on them, so every labelled frame tells these. The share itself, and the forces that the
adsorbate puts on others, are known where the same atoms are labelled without it too, at the same places
(one such frame serves all places of the adsorbate), and of the adsorbate alone. Without them the network
turns and shakes the others too much where it hits them: too much energy goes over (docs/validation.md).
Dispersion, which reaches beyond the network's cutoff, is no part of what is learnt: a tail is fitted to
shares of an adsorbate that is far, taken out of all, and added back (``frazil.potentials.dispersion``).
Few centres, and no others' energies to be learnt beside: an epoch costs a tenth of one of the whole
network's.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas
import scipy.optimize
from ase import Atoms

from frazil.checkpoints import key_of
from frazil.errors import UserError
from frazil.learning.annealing import Annealed, floored, optimizer, rate_of
from frazil.learning.batches import PAIR
from frazil.learning.settings import GmnnTraining
from frazil.potentials.dispersion import Dispersion, damped, pair_of
from frazil.potentials.gmnn import reference
from frazil.potentials.gmnn.architecture import Architecture, Parameters, fold, initialize_committee
from frazil.seeds import derived_seed, rng

LENGTH_A = 1.0
"""An error of 1 meV in a share counts like one of 1 meV/Å in a component of a force."""
SAME_A = 1e-6
"""Frames with the adsorbate and without have their atoms at the same places, to this."""
ALONE_EVERY = 16
"""Of the frames with a molecule, every so many also gives the molecule alone, which has no interactions."""
TAIL_FROM_A, FEWEST_OF_TAIL = 4.5, 50
"""The tail is fitted to shares whose atoms are at least this far from all others, at least to so many."""
TAIL_EXPLAINS = 0.5
"""The tail is used where it leaves at most this part of their root mean square."""
FARTHEST_A = 1e3
"""Where places without an atom are put, beyond any cutoff."""


@dataclass(frozen=True)
class Share:
    """A frame's adsorbate, its atoms first, then all others: positions (natoms, 3) Å, and what it adds.

    energy_eV, None where it is not known; forces_eV_per_A (natoms, 3), of which only the adsorbate's own
    count where the energy is not known.
    """

    numbers: np.ndarray
    positions_A: np.ndarray
    n_own: int
    energy_eV: float | None
    forces_eV_per_A: np.ndarray
    weight: float

    @property
    def squares_A2(self) -> np.ndarray:
        """Squared distances (A, K) of the adsorbate's atoms from all others."""
        own, others = self.positions_A[: self.n_own], self.positions_A[self.n_own :]
        return np.asarray(((own[:, None] - others) ** 2).sum(axis=2))


@dataclass(frozen=True)
class Shares:
    """Shares of one size, the adsorbate's A atoms (``n_own``) first, K places for others within the cutoff.

    positions (n, A + K, 3), species (n, A + K), energies (n,), forces (n, A + K, 3); counts (n, A + K): of
    each atom's force; known (n,): 1 where the energy counts, else 0; weights (n,).
    """

    n_own: int
    positions: np.ndarray
    species: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    counts: np.ndarray
    known: np.ndarray
    weights: np.ndarray

    def at(self, chosen: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
        """Return the arrays of chosen shares, filled up to ``size`` by shares of no weight."""
        places = np.resize(chosen, size)
        weights = np.where(np.arange(size) < len(chosen), self.weights[places], 0.0)
        own = (self.positions, self.species, self.energies, self.forces, self.counts, self.known)
        return (*(array[places] for array in own), weights)


def shares_of(frames: Sequence[Atoms], adsorbate: Sequence[str], interactions: bool) -> list[Share]:
    """Return what an adsorbate adds in labelled frames; ``interactions``: labels have no molecules in them.

    Raises UserError where no frame has it, where none tells the share's energy, and for a pair of frames that
    differ by more than the adsorbate.
    """
    bare: dict[tuple[bytes, bytes], Atoms] = {}
    paired: dict[str, Atoms] = {}
    for atoms in frames:
        if not np.isin(atoms.get_chemical_symbols(), adsorbate).any():
            bare[_place(atoms)] = atoms
            paired[str(atoms.info.get(PAIR, ""))] = atoms
    found: list[Share] = []
    for atoms in frames:
        own = np.isin(atoms.get_chemical_symbols(), adsorbate)
        if not own.any():
            continue
        without, pair = bare.get(_place(atoms[~own])), str(atoms.info.get(PAIR, ""))
        energy, forces = None, atoms.get_forces().copy()
        if own.all():
            energy = atoms.get_potential_energy()
        elif without is not None:
            energy = atoms.get_potential_energy() - without.get_potential_energy()
            forces[~own] -= without.get_forces()
        elif pair and pair in paired:
            raise UserError(
                f"pair {pair}: {atoms.symbols} and {paired[pair].symbols} differ by more than the "
                f"adsorbate of {' '.join(adsorbate)}; give the same atoms at the same places"
            )
        order = np.argsort(~own, kind="stable")
        share = Share(
            atoms.numbers[order], atoms.positions[order], int(own.sum()), energy, forces[order],
            float(atoms.info.get("weight", 1.0)),
        )  # fmt: skip
        if interactions and share.n_own == 2 and len(found) % ALONE_EVERY == 0:
            found.append(Share(share.numbers[:2], share.positions_A[:2], 2, 0.0, np.zeros((2, 3)), 1.0))
        found.append(share)
    if not found:
        raise UserError(
            f"no frame has atoms of {' '.join(adsorbate)}; give frames with the adsorbate, or another one"
        )
    if all(share.energy_eV is None for share in found):
        raise UserError(
            f"no frame tells the energy that {' '.join(adsorbate)} adds; give frames with it and without "
            "at the same places, frames of it alone, or labels of interactions"
        )
    return found


def tail_of(shares: Sequence[Share]) -> dict[str, float]:
    """Return C6 (eV Å⁶) by pairs of elements, the adsorbate's first, that describe far shares; {}: none do.

    Least squares of the relative errors, no C6 below 0. Shares are interactions; their adsorbate is free.
    """
    rows: list[dict[str, float]] = []
    labels = []
    for share in shares:
        squares = share.squares_A2
        if share.energy_eV is None or not TAIL_FROM_A**2 <= squares.min(initial=np.inf) < np.inf:
            continue
        own, others = share.numbers[: share.n_own], share.numbers[share.n_own :]
        each = damped(squares)
        rows.append({
            pair_of(a, b): -each[np.ix_(own == a, others == b)].sum()
            for a in np.unique(own) for b in np.unique(others)
        })  # fmt: skip
        labels.append(share.energy_eV)
    if len(rows) < FEWEST_OF_TAIL:
        return {}
    table, wanted = pandas.DataFrame(rows).fillna(0.0), np.array(labels)
    terms = table.to_numpy()
    weights = 1.0 / np.abs(terms).sum(axis=1)
    found, _ = scipy.optimize.nnls(terms * weights[:, None], wanted * weights)
    left = np.sqrt(np.mean((terms @ found - wanted) ** 2))
    if not left <= TAIL_EXPLAINS * np.sqrt(np.mean(wanted**2)):
        return {}
    return {pair: float(c6) for pair, c6 in zip(table.columns, found, strict=True)}


def without_tail(share: Share, c6_eV_A6: dict[str, float]) -> Share:
    """Return a share less its tail, what its network learns."""
    n = share.n_own
    if not c6_eV_A6 or len(share.numbers) == n:
        return share
    tail = Dispersion.of(c6_eV_A6, share.numbers[:n], share.numbers[n:])
    energy_eV, on_own, on_others = tail.between(share.positions_A[:n], share.positions_A[n:])
    forces = share.forces_eV_per_A - np.concatenate([on_own, on_others])
    energy = None if share.energy_eV is None else share.energy_eV - energy_eV
    return replace(share, energy_eV=energy, forces_eV_per_A=forces)


def frames_of_surface(parts: Sequence[Sequence[Atoms]], adsorbate: Sequence[str]) -> list[list[Atoms]]:
    """Return the frames of each part (training first) that a surface's network learns from, where another
    learns what an adsorbate adds.

    Those are the frames without the adsorbate. Where these are fewer than the frames whose share no label
    tells, the latter count, too. Frames of the adsorbate alone, and those whose surface is labelled without
    it, say nothing more. Raises UserError for a part without any.
    """
    bare, mixed = [], []
    for frames in parts:
        own = [np.isin(atoms.get_chemical_symbols(), adsorbate) for atoms in frames]
        bare.append([atoms for atoms, mask in zip(frames, own, strict=True) if not mask.any()])
        places = {_place(atoms) for atoms in bare[-1]}
        mixed.append([
            atoms for atoms, mask in zip(frames, own, strict=True)
            if mask.any() and not mask.all() and _place(atoms[~mask]) not in places
        ])  # fmt: skip
    enough = len(bare[0]) >= len(mixed[0]) and all(bare)
    found = bare if enough else [a + b for a, b in zip(bare, mixed, strict=True)]
    if not all(found):
        raise UserError(
            f"no frame of {min(map(len, parts))} tells of the surface below {' '.join(adsorbate)}; give "
            "frames of it without the adsorbate in training and test"
        )
    return found


def _place(atoms: Atoms) -> tuple[bytes, bytes]:
    """Return what atoms at the same places have alike, to ``SAME_A``."""
    return atoms.numbers.tobytes(), (np.round(atoms.positions / SAME_A) + 0.0).tobytes()


def arrange(shares: Sequence[Share], architecture: Architecture) -> list[Shares]:
    """Return shares as arrays, those of like size (a factor of two) together."""
    sizes: dict[tuple[int, int], list[tuple[Share, np.ndarray]]] = {}
    for share in shares:
        nearest = share.squares_A2.min(axis=0, initial=np.inf)
        near = share.n_own + np.flatnonzero(nearest < architecture.cutoff_A**2)
        room = 1 << (max(len(near), 16) - 1).bit_length()
        sizes.setdefault((share.n_own, room), []).append((share, np.append(np.arange(share.n_own), near)))
    made = []
    for (n_own, room), those in sorted(sizes.items()):
        n, places = len(those), n_own + room
        one = Shares(
            n_own=n_own, positions=np.zeros((n, places, 3)), species=np.zeros((n, places), np.int32),
            energies=np.zeros(n), forces=np.zeros((n, places, 3)), counts=np.zeros((n, places)),
            known=np.zeros(n), weights=np.zeros(n),
        )  # fmt: skip
        one.positions[:, n_own:, 0] = FARTHEST_A * (1 + np.arange(room))
        for i, (share, near) in enumerate(those):
            here = slice(len(near))
            one.positions[i, here] = share.positions_A[near] - share.positions_A[: share.n_own].mean(axis=0)
            one.species[i, here] = architecture.species(share.numbers[near])
            one.forces[i, here] = share.forces_eV_per_A[near]
            one.counts[i, :n_own] = 1.0
            one.weights[i] = share.weight
            if share.energy_eV is not None:
                one.energies[i], one.known[i], one.counts[i, here] = share.energy_eV, 1.0, 1.0
        made.append(one)
    return made


def _features(
    architecture: Architecture, weights: Any, n_own: int, positions: jax.Array, species: jax.Array
) -> jax.Array:
    """Return the invariants (n_own, n_features) of the first atoms of positions (natoms, 3)."""
    n = positions.shape[0]
    others = np.array([[j for j in range(n) if j != i] for i in range(n_own)])
    vectors = positions[others] - positions[:n_own, None]
    return reference.features_of(
        architecture, weights, vectors, species[:n_own, None], species[jnp.asarray(others)]
    )


def squares(
    architecture: Architecture, n_own: int, parameters: Parameters, batch: tuple[Any, ...]
) -> jax.Array:
    """Return sums (5,) over a batch: the loss, ΔE² and Σ|ΔF|² of those known, and their numbers.

    The loss is the sum of weights times ΔE² and LENGTH_A² Σ|ΔF|², of what is known.
    """
    positions, species, energies, forces, counts, known, weights = batch
    folded = fold(architecture, parameters)

    def energy(positions: jax.Array, species: jax.Array) -> jax.Array:
        invariant = _features(architecture, folded, n_own, positions, species)
        return reference.network(folded, species[:n_own], invariant)[:, 0].sum()

    found, slopes = jax.vmap(jax.value_and_grad(energy))(positions, species)
    off = known * (found - energies) ** 2
    pull = (((slopes + forces) ** 2).sum(axis=-1) * counts).sum(axis=-1)
    here = (weights > 0).astype(float)
    return jnp.stack([
        (weights * (off + LENGTH_A**2 * pull)).sum(), (here * off).sum(), (here * pull).sum(),
        (here * known).sum(), (here * 3 * counts.sum(axis=-1)).sum(),
    ])  # fmt: skip


@cache
def _compiled(architecture: Architecture, settings: GmnnTraining, n_own: int) -> tuple[Any, Any]:
    """Return the compiled step on a batch, and the sums of squares of all members on one."""

    def step(parameters: Parameters, state: Any, batch: Any, n_steps: Any) -> tuple[Parameters, Any, Any]:
        def loss(parameters: Parameters) -> jax.Array:
            return squares(architecture, n_own, parameters, batch)[0] / jnp.maximum((batch[-1] > 0).sum(), 1)

        losses, gradient = jax.vmap(jax.value_and_grad(loss))(parameters)
        updates, state = optimizer(settings, n_steps).update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, losses

    return jax.jit(step), jax.jit(jax.vmap(partial(squares, architecture, n_own), (0, None)))


class AdsorbateCommittee(Annealed):
    """A committee's training on shares, as ``frazil.learning.fit`` asks for it."""

    def __init__(
        self, architecture: Architecture, settings: GmnnTraining, train: Sequence[Share],
        test: Sequence[Share],
    ) -> None:  # fmt: skip
        self.n_members = settings.n_members
        self._architecture, self._settings = architecture, settings
        self._train, self._test = arrange(train, architecture), arrange(test, architecture)
        digest = hashlib.sha256()
        for shares in (*self._train, *self._test):
            for values in vars(shares).values():
                digest.update(np.ascontiguousarray(values).tobytes())
        self.fingerprint = key_of(
            architecture=architecture.to_json(), settings=asdict(settings), data=digest.hexdigest()
        )
        size = settings.batch_size
        self._steps_per_epoch = sum(-(-len(own.weights) // size) for own in self._train)
        self._n_steps = settings.n_epochs * self._steps_per_epoch
        self._same = replace(settings, seed=1, n_epochs=1, patience=1)

    def start(self) -> tuple[Parameters, Any]:
        """Return random networks and the optimizer's first state.

        The scale is the root mean square force × 1 Å, features are normalised over up to 512 shares, and of
        elements other than the adsorbate's scale and shift are 0.
        """
        a, some = self._architecture, max(self._train, key=lambda own: len(own.weights))
        parameters = initialize_committee(
            a, derived_seed(self._settings.seed, "gmnn-adsorbate"), self.n_members
        )
        chosen = np.unique(np.linspace(0, len(some.weights) - 1, 512).astype(int))

        @jax.jit
        def moments(parameters: Parameters, positions: jax.Array, species: jax.Array) -> Any:
            def one(parameters: Parameters) -> jax.Array:
                each = jax.vmap(partial(_features, a, fold(a, parameters), some.n_own))
                return each(positions, species).reshape(-1, a.n_features).astype(jnp.float64)

            values = jax.vmap(one)(parameters)
            return values.mean(axis=1), values.std(axis=1)

        mean, spread = moments(parameters, some.positions[chosen], some.species[chosen])
        total = sum(float((own.forces**2 * own.counts[..., None]).sum()) for own in self._train)
        count = sum(3 * float(own.counts.sum()) for own in self._train)
        own = np.isin(a.elements, a.adsorbate)
        at = jnp.asarray(own)[None, :, None]
        parameters = {
            **parameters,
            "scale": jnp.where(at, max(np.sqrt(total / count), 1e-3), jnp.zeros_like(parameters["scale"])),
            "feature_mean": jnp.where(at, mean[:, None], parameters["feature_mean"]),
            "feature_scale": jnp.where(at, floored(spread)[:, None], parameters["feature_scale"]),
        }
        return parameters, optimizer(self._settings, self._n_steps).init(parameters)

    def epoch(
        self, parameters: Parameters, optimizer_state: Any, number: int
    ) -> tuple[Parameters, Any, np.ndarray]:
        """Return both after all batches in the epoch's own order, and the mean losses (members,)."""
        generator, size = (
            rng(self._settings.seed, "gmnn-adsorbate-batches", number),
            self._settings.batch_size,
        )
        todo = []
        for own in self._train:
            order = generator.permutation(len(own.weights))
            todo += [(own, order[k : k + size]) for k in range(0, len(order), size)]
        sums = np.zeros(self.n_members)
        for place in generator.permutation(len(todo)):
            own, chosen = todo[place]
            advance, _ = _compiled(self._architecture, self._same, own.n_own)
            parameters, optimizer_state, losses = advance(
                parameters, optimizer_state, own.at(chosen, size), self._n_steps
            )
            sums += np.asarray(losses)
        return parameters, optimizer_state, sums / len(todo)

    def test(
        self, parameters: Parameters, optimizer_state: Any, number: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the test losses (members,), root mean square errors of shares and forces, and the rate."""
        size, sums = self._settings.batch_size, np.zeros((self.n_members, 5))
        n_shares = sum(len(own.weights) for own in self._test)
        for own in self._test:
            _, measure = _compiled(self._architecture, self._same, own.n_own)
            for k in range(0, len(own.weights), size):
                chosen = np.arange(k, min(k + size, len(own.weights)))
                sums += np.asarray(measure(parameters, own.at(chosen, size)))
        rate = rate_of(self._settings.learning_rate, number / self._settings.n_epochs)
        return sums[:, 0] / n_shares, {
            "test_share_rmse_meV": 1000 * np.sqrt(sums[:, 1] / np.maximum(sums[:, 3], 1)),
            "test_force_rmse_eV_per_A": np.sqrt(sums[:, 2] / sums[:, 4]),
            "learning_rate": np.full(self.n_members, rate),
        }
