"""GM-NN as its equations read, over dense neighbour lists: clear before fast, and what ``fast`` is checked
against.

Zaverkin & Kästner 2020: moments Ψ_L (their eq. 4), contractions (eq. 5), trainable radial functions (eq. 6).
"""

from dataclasses import replace

import ase.data
import jax
import jax.numpy as jnp
import numpy as np

from frazil.potentials.gmnn.architecture import (
    Architecture,
    Weights,
    gaussian_centres,
    gaussian_exponent,
)
from frazil.potentials.neighbours import Neighbours
from frazil.units import COULOMB_eV_A

UNIT_SOFTENING_A = 1e-5
"""Unit vectors are d/(r + this), as in apax."""
ZBL_COEFFICIENTS = np.array([0.18175, 0.50986, 0.28022, 0.02817])
ZBL_EXPONENTS = np.array([3.19980, 0.94229, 0.40290, 0.20162])
ZBL_LENGTH_A, ZBL_POWER = 0.46850, 0.23


def pair_indices(n_radial: int) -> np.ndarray:
    """Return the pairs (r, s), r ≤ s, of radial functions in feature order, (pairs, 2)."""
    return np.array([(r, s) for r in range(n_radial) for s in range(r, n_radial)])


def triple_indices(n_radial: int) -> np.ndarray:
    """Return the triples (r, s, t) of the third-order contraction in feature order, (triples, 3)."""
    out: list[tuple[int, int, int]] = []
    for r in range(n_radial):
        out.append((r, r, r))
        out += [(r, s, s) for s in range(n_radial) if s != r]
        out += [(r, s, t) for s in range(r + 1, n_radial) for t in range(s + 1, n_radial)]
    return np.array(out)


def separations(neighbours: Neighbours, positions: jax.Array) -> jax.Array:
    """Return vectors (natoms, K, 3), Å, from centres to neighbours; padding is at (2 cutoff, 0, 0)."""
    real = neighbours.index < positions.shape[0]
    there = positions[jnp.where(real, neighbours.index, 0)]
    if neighbours.shift is not None:
        there = there + neighbours.shift
    far = jnp.array([2.0 * neighbours.cutoff_A, 0.0, 0.0], positions.dtype)
    return jnp.where(real[..., None], there - positions[:, None, :], far)


def cosine_cutoff(distance: jax.Array, cutoff_A: float) -> jax.Array:
    """Return ½(cos πr/r_c + 1), 0 beyond the cutoff."""
    return 0.5 * (jnp.cos(np.pi * jnp.clip(distance, max=cutoff_A) / cutoff_A) + 1.0)


def radial_functions(
    architecture: Architecture, weights: Weights, distance: jax.Array, centre: jax.Array, neighbour: jax.Array
) -> jax.Array:
    """Return R (natoms, K, n_radial) of distances (natoms, K) between two species."""
    shifts = jnp.asarray(gaussian_centres(architecture), distance.dtype)
    gaussians = jnp.exp(-gaussian_exponent(architecture) * (distance[..., None] - shifts) ** 2)
    table = weights.radial[centre, neighbour]
    return (
        jnp.einsum("akrb,akb->akr", table, gaussians)
        * cosine_cutoff(distance, architecture.cutoff_A)[..., None]
    )


def invariants(moments: tuple[jax.Array, jax.Array, jax.Array, jax.Array]) -> jax.Array:
    """Return the features (natoms, n_features) of moments of rank 0 to 3, (natoms, n_radial, 3, …)."""
    m0, m1, m2, m3 = moments
    n_atoms, n_radial = m0.shape
    r, s = pair_indices(n_radial).T
    triples = triple_indices(n_radial)
    parts = [
        m0,
        jnp.einsum("ari,asi->ars", m1, m1)[:, r, s],
        jnp.einsum("arij,asij->ars", m2, m2)[:, r, s],
        jnp.einsum("arijk,asijk->ars", m3, m3)[:, r, s],
        jnp.einsum("arij,asik,atjk->arst", m2, m2, m2)[:, triples[:, 0], triples[:, 1], triples[:, 2]],
        jnp.einsum("ari,asj,atij->arst", m1, m1, m2)[:, r, s],
        jnp.einsum("arijk,asijl,atkl->arst", m3, m3, m2)[:, r, s],
        jnp.einsum("arijk,asij,atk->arst", m3, m2, m1),
    ]
    return jnp.concatenate([part.reshape(n_atoms, -1) for part in parts], axis=1)


def features(
    architecture: Architecture,
    weights: Weights,
    species: jax.Array,
    neighbours: Neighbours,
    positions: jax.Array,
) -> jax.Array:
    """Return the invariants (natoms, n_features) before normalisation, in the network's number type."""
    padded = jnp.append(species, 0)
    return features_of(
        architecture, weights, separations(neighbours, positions), species[:, None], padded[neighbours.index]
    )


def features_of(
    architecture: Architecture, weights: Weights, vectors: jax.Array, centre: jax.Array, neighbour: jax.Array
) -> jax.Array:
    """Return the invariants (n, n_features) of centres from the vectors (n, K, 3) to their neighbours, Å, and
    the species of both, (n, 1) and (n, K).
    """
    vectors = vectors.astype(architecture.dtype)
    distance = jnp.sqrt(jnp.sum(vectors**2, axis=-1))
    unit = vectors / (distance + UNIT_SOFTENING_A)[..., None]
    radial = radial_functions(architecture, weights, distance, centre, neighbour)
    return invariants(
        (
            radial.sum(axis=1),
            jnp.einsum("akr,aki->ari", radial, unit),
            jnp.einsum("akr,aki,akj->arij", radial, unit, unit),
            jnp.einsum("akr,aki,akj,akl->arijl", radial, unit, unit, unit),
        )
    )


def network(weights: Weights, species: jax.Array, invariant: jax.Array) -> jax.Array:
    """Return the outputs (natoms, n_outputs), float64, of the features."""
    x = invariant * weights.feature_factor[species] + weights.feature_offset[species]
    for w, b in weights.layers[:-1]:
        x = jax.nn.swish(x @ w + b)
    w, b = weights.layers[-1]
    return weights.scale[species] * (x @ w + b).astype(jnp.float64) + weights.shift[species]


def repulsion(
    architecture: Architecture, species: jax.Array, neighbours: Neighbours, positions: jax.Array
) -> jax.Array:
    """Return the energies (natoms,), eV, float64, of the universal repulsion, brought to 0 by a cosine at
    ``zbl_cutoff_A``.

    Ziegler, Biersack & Littmark 1985. Every pair is in two lists, hence the half.
    """
    vectors = separations(neighbours, positions)
    distance = jnp.clip(jnp.sqrt(jnp.sum(vectors**2, axis=-1)), 0.02, architecture.zbl_cutoff_A)
    charge = jnp.asarray(np.append(architecture.atomic_numbers, 0), jnp.float64)
    centre, other = charge[species][:, None], charge[jnp.append(species, -1)[neighbours.index]]
    reduced = distance * (centre**ZBL_POWER + other**ZBL_POWER) / ZBL_LENGTH_A
    screening = jnp.sum(ZBL_COEFFICIENTS * jnp.exp(-ZBL_EXPONENTS * reduced[..., None]), axis=-1)
    pairs = centre * other / distance * screening * cosine_cutoff(distance, architecture.zbl_cutoff_A)
    return 0.5 * COULOMB_eV_A * pairs.sum(axis=1)


def outputs(
    architecture: Architecture,
    weights: Weights,
    species: jax.Array,
    neighbours: Neighbours,
    positions: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return the energy (eV; of several heads their mean) and the outputs (natoms, n_outputs) of one
    structure.
    """
    per_atom = network(weights, species, features(architecture, weights, species, neighbours, positions))
    energies = slice(architecture.n_heads)
    if architecture.zbl_cutoff_A > 0:
        repelled = repulsion(architecture, species, neighbours, positions)
        per_atom = per_atom.at[:, energies].add(repelled[:, None])
    return per_atom[:, energies].sum() / architecture.n_heads, per_atom


def energy_and_forces(
    architecture: Architecture,
    weights: Weights,
    species: jax.Array,
    neighbours: Neighbours,
    positions: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return energy (eV), forces (natoms, 3) eV/Å and the outputs (natoms, n_outputs)."""
    (energy, per_atom), gradient = jax.value_and_grad(outputs, argnums=4, has_aux=True)(
        architecture, weights, species, neighbours, positions
    )
    return energy, -gradient, per_atom


def energy_by_strain(
    architecture: Architecture,
    weights: Weights,
    species: jax.Array,
    neighbours: Neighbours,
    positions: jax.Array,
) -> jax.Array:
    """Return dE/dε (3, 3), eV, at ε = 0, where atoms and cell go from r to (1 + ε) r; over the volume it is
    the stress.
    """

    def strained(strain: jax.Array) -> jax.Array:
        shift = neighbours.shift
        lists = replace(neighbours, shift=None if shift is None else shift + shift @ strain.T)
        return outputs(architecture, weights, species, lists, positions + positions @ strain.T)[0]

    return jax.grad(strained)(jnp.zeros((3, 3)))


def arms(
    architecture: Architecture, species: jax.Array, neighbours: Neighbours, positions: jax.Array
) -> jax.Array:
    """Return Σ_j f(r_ij) r_ij over the neighbours of each element, (natoms, S, 3), Å, f the cosine cutoff."""
    vectors = separations(neighbours, positions)
    weight = cosine_cutoff(jnp.sqrt(jnp.sum(vectors**2, axis=-1)), architecture.cutoff_A)
    kinds = jnp.append(species, -1)[neighbours.index]
    of_kind = kinds[..., None] == jnp.arange(len(architecture.elements))
    return jnp.einsum("ak,aks,akx->asx", weight, of_kind.astype(weight.dtype), vectors)


def multivalued_dipole(
    architecture: Architecture,
    species: jax.Array,
    per_atom: jax.Array,
    neighbours: Neighbours,
    positions: jax.Array,
) -> jax.Array:
    """Return the dipole (3,), e Å, of outputs (natoms, quantities): Σ N R, and coefficients times arms.

    Positions are unwrapped. An atom that goes to the next cell changes it by its oxidation number times the
    lattice vector, by no other number.
    """
    own = jnp.einsum("as,asx->x", per_atom[:, 1:], arms(architecture, species, neighbours, positions))
    return own + jnp.asarray(architecture.oxidation)[species] @ positions


def dipole(
    architecture: Architecture,
    species: jax.Array,
    per_atom: jax.Array,
    positions: jax.Array,
    total_charge: float = 0.0,
) -> jax.Array:
    """Return the dipole (3,), e Å: charges shifted to sum to ``total_charge``, positions from the centre of
    mass.

    The charges (head "charge") depend on the environment; the dipole of a charged structure depends on the
    origin.
    """
    charges = per_atom[:, architecture.heads.index("charge")]
    masses = jnp.asarray(ase.data.atomic_masses[architecture.atomic_numbers])[species]
    return dipole_of_charges(charges, positions, masses, total_charge)


def dipole_of_charges(
    charges: jax.Array,
    positions: jax.Array,
    masses: jax.Array,
    total_charge: float = 0.0,
    there: jax.Array | None = None,
) -> jax.Array:
    """Return the dipole (3,), e Å, of charges (natoms,) before they are shifted; masses (natoms,) amu.

    Atoms that are not ``there`` (natoms,) have no mass, and get no charge.
    """
    if there is None:
        charges = charges - charges.mean() + total_charge / charges.shape[0]
    else:
        own = jnp.where(there, charges, 0.0)
        charges = jnp.where(there, own + (total_charge - own.sum()) / there.sum(), 0.0)
    centre = (masses[:, None] * positions).sum(axis=0) / masses.sum()
    return charges @ (positions - centre)
