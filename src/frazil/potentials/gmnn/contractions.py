"""The invariants and their adjoint over component-major moments: every number a straight line of products.

Moments are (20, n_radial, N): the 1 + 3 + 6 + 10 unique Cartesian components of rank 0 to 3, atoms last, so
that one instruction works on many atoms. ``optimization_barrier`` keeps XLA from recomputing shared products,
and the adjoint is written by hand: by autodiff it takes thirty times the time of the contractions themselves.
"""

from collections import Counter
from functools import cache
from itertools import combinations_with_replacement
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np

from frazil.potentials.gmnn.reference import triple_indices

barrier = jax.lax.optimization_barrier

Component = tuple[int, ...]
COMPONENTS: tuple[Component, ...] = tuple(
    component for rank in range(4) for component in combinations_with_replacement(range(3), rank)
)
"""Unique Cartesian components: (), x, y, z, xx, xy, …, zzz."""
PAIRS = COMPONENTS[4:10]
TRIPLES = COMPONENTS[10:]


def multiplicity(component: Component) -> int:
    """Return how many Cartesian components a unique one stands for: 3 for xxy."""
    count = factorial(len(component))
    for repeats in Counter(component).values():
        count //= factorial(repeats)
    return count


def _at(components: tuple[Component, ...], *indices: int) -> int:
    return components.index(tuple(sorted(indices)))


@cache
def feature_order(n_radial: int) -> np.ndarray:
    """Return the place in the reference's features of each feature of ``contract``."""
    start = n_radial + 3 * (n_radial * (n_radial + 1) // 2)
    reference = {tuple(sorted(triple)): i for i, triple in enumerate(triple_indices(n_radial).tolist())}
    triples = [reference[triple] for triple in combinations_with_replacement(range(n_radial), 3)]
    n_features = start + len(triples) + 2 * n_radial * (n_radial * (n_radial + 1) // 2) + n_radial**3
    order = np.arange(n_features)
    order[start : start + len(triples)] = start + np.array(triples)
    return order


def _weights(components: tuple[Component, ...], dtype: jnp.dtype) -> jax.Array:
    return jnp.asarray([multiplicity(c) for c in components], dtype)[:, None, None]


def _third_by_pair(m3: jax.Array) -> list[jax.Array]:
    """Return for each k the third moments ijk with ij over the unique pairs, (6, n_radial, N)."""
    return [jnp.stack([m3[_at(TRIPLES, *pair, k)] for pair in PAIRS]) for k in range(3)]


def _symmetric_product(left: list[jax.Array], right: list[jax.Array], diagonal: bool) -> jax.Array:
    """Return Σ left[r] right[s] (n_radial, n_radial, N); off-diagonal: plus sides exchanged."""
    total = sum(a[:, None] * b[None] for a, b in zip(left, right, strict=True))
    if not diagonal:
        total = total + sum(b[:, None] * a[None] for a, b in zip(left, right, strict=True))
    return jnp.asarray(total)


def _intermediates(m: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Return the symmetric second-rank products (6, r, s, N) of M2 M2, M1 M1, M3 M3, and v (3, r, s, N) of M3
    M2.

    Off-diagonal components stand for both, so that a contraction is a plain sum over the six.
    """
    m1, m2, m3 = m[1:4], m[4:10], m[10:20]
    weight = [multiplicity(pair) for pair in PAIRS]
    by_pair = barrier(_third_by_pair(m3))
    q4, q5, q6 = [], [], []
    for i, j in PAIRS:
        left, right = [m2[_at(PAIRS, i, k)] for k in range(3)], [m2[_at(PAIRS, k, j)] for k in range(3)]
        q4.append(_symmetric_product(left, right, i == j))
        q5.append(_symmetric_product([m1[i]], [m1[j]], i == j))
        left = [w * by_pair[i][c] for c, w in enumerate(weight)]
        q6.append(_symmetric_product(left, [by_pair[j][c] for c in range(6)], i == j))
    v = [sum((w * by_pair[k][c])[:, None] * m2[c][None] for c, w in enumerate(weight)) for k in range(3)]
    q4, q5, q6, v = barrier((q4, q5, q6, v))
    stacked: tuple[jax.Array, jax.Array, jax.Array, jax.Array] = barrier(
        (jnp.stack(q4), jnp.stack(q5), jnp.stack(q6), jnp.stack(v))
    )
    return stacked


def _features(m: jax.Array, q4: jax.Array, q5: jax.Array, q6: jax.Array, v: jax.Array) -> jax.Array:
    """Return the features (n_features, N) of moments and intermediates."""
    n_radial, n_atoms = m.shape[1:]
    m1, m2 = m[1:4], m[4:10]
    out = [m[0]]
    for components in (COMPONENTS[1:4], PAIRS, TRIPLES):
        first = COMPONENTS.index(components[0])
        for r in range(n_radial):
            terms = [
                multiplicity(c) * m[first + i, r][None] * m[first + i, r:] for i, c in enumerate(components)
            ]
            out.append(jnp.asarray(sum(terms)))
    for r in range(n_radial):
        for s in range(r, n_radial):
            out.append(jnp.asarray(sum(q4[c, r, s][None] * m2[c, s:] for c in range(6))))
    for q in (q5, q6):
        for r in range(n_radial):
            part = jnp.asarray(sum(q[c, r, r:][:, None] * m2[c][None] for c in range(6)))
            out.append(part.reshape(-1, n_atoms))
    part = jnp.asarray(sum(v[k][:, :, None] * m1[k][None, None] for k in range(3)))
    out.append(part.reshape(-1, n_atoms))
    return jnp.asarray(barrier(jnp.concatenate(barrier(out))))


def _full_pairs(values: jax.Array, n_radial: int) -> jax.Array:
    """Return values (pairs, …, N) of r ≤ s as a full symmetric (r, s, …, N), the diagonal doubled."""
    place = {pair: i for i, pair in enumerate(combinations_with_replacement(range(n_radial), 2))}
    rows = [[values[place[min(r, s), max(r, s)]] for s in range(n_radial)] for r in range(n_radial)]
    full = barrier(jnp.stack([jnp.stack(row) for row in rows]))
    double = 1.0 + np.eye(n_radial)
    return full * jnp.asarray(double, values.dtype).reshape(n_radial, n_radial, *[1] * (values.ndim - 1))


def _full_triples(values: jax.Array, n_radial: int) -> jax.Array:
    """Return values (triples, N) of r ≤ s ≤ t as (r, s, t, N), times 3 over the number of distinct orders."""
    place: dict[tuple[int, ...], int] = {
        triple: i for i, triple in enumerate(combinations_with_replacement(range(n_radial), 3))
    }
    grid = [(r, s, t) for r in range(n_radial) for s in range(n_radial) for t in range(n_radial)]
    full = barrier(jnp.stack([values[place[tuple(sorted(g))]] for g in grid]))
    share = np.array([3.0 / multiplicity(tuple(sorted(g))) for g in grid])
    full = full * jnp.asarray(share, values.dtype)[:, None]
    return full.reshape(n_radial, n_radial, n_radial, -1)


def _adjoint(
    m: jax.Array, q4: jax.Array, q5: jax.Array, q6: jax.Array, v: jax.Array, g: jax.Array
) -> jax.Array:
    """Return the adjoint (20, n_radial, N) of the moments from that (n_features, N) of the features."""
    R, n_atoms = m.shape[1:]
    pairs, triples = R * (R + 1) // 2, R * (R + 1) * (R + 2) // 6
    m1, m2, m3 = m[1:4], m[4:10], m[10:20]
    sizes = np.cumsum([R, pairs, pairs, pairs, triples, pairs * R, pairs * R])
    g0, g1, g2, g3, g4, g5, g6, g7 = jnp.split(g, sizes)
    full = [_full_pairs(part, R) for part in (g1, g2, g3)]
    full4 = _full_triples(g4, R)
    full5, full6 = (_full_pairs(part.reshape(pairs, R, n_atoms), R) for part in (g5, g6))
    full7 = g7.reshape(R, R, R, n_atoms)
    full, full4, full5, full6, full7 = barrier((full, full4, full5, full6, full7))
    # Adjoints of the intermediates: (6, r, s, N) symmetric with the diagonal doubled, and (3, r, s, N).
    q5_bar = jnp.asarray(sum(full5[:, :, t][None] * m2[:, t][:, None, None] for t in range(R)))
    q6_bar = jnp.asarray(sum(full6[:, :, t][None] * m2[:, t][:, None, None] for t in range(R)))
    v_bar = jnp.asarray(sum(full7[:, :, t][None] * m1[:, t][:, None, None] for t in range(R)))
    by_pair = _third_by_pair(m3)
    q5_bar, q6_bar, v_bar, by_pair = barrier((q5_bar, q6_bar, v_bar, by_pair))
    weight = {rank: _weights(components, m.dtype) for rank, components in ((2, PAIRS), (3, TRIPLES))}

    d1 = sum(full[0][:, s][None] * m1[:, s][:, None] for s in range(R))
    d1 = d1 + sum(full7[r, s][None] * v[:, r, s][:, None] for r in range(R) for s in range(R))
    d1_q = [
        sum(q5_bar[_at(PAIRS, i, j), :, s] * m1[j, s][None] for j in range(3) for s in range(R))
        for i in range(3)
    ]
    d1, d1_q = barrier((d1, d1_q))

    d2 = weight[2] * sum(full[1][:, s][None] * m2[:, s][:, None] for s in range(R))
    orders = [(r, s) for r in range(R) for s in range(R)]
    d2_4 = sum(full4[r, s][None] * q4[:, r, s][:, None] for r, s in orders)
    half = [(r, s) for r, s in orders if r <= s]
    ones = {True: 0.5, False: 1.0}
    d2_5 = sum((ones[r == s] * full5[r, s])[None] * q5[:, r, s][:, None] for r, s in half)
    d2_6 = sum((ones[r == s] * full6[r, s])[None] * q6[:, r, s][:, None] for r, s in half)
    d2_7 = weight[2] * sum(v_bar[k, r][None] * by_pair[k][:, r][:, None] for k in range(3) for r in range(R))
    d2_parts = barrier((d2, d2_4, d2_5, d2_6, d2_7))

    third = [
        sum(
            q6_bar[_at(PAIRS, i, j), :, s][None] * by_pair[j][:, s][:, None]
            for j in range(3)
            for s in range(R)
        )
        + sum(v_bar[i][:, s][None] * m2[:, s][:, None] for s in range(R))
        for i in range(3)
    ]
    d3 = weight[3] * sum(full[2][:, s][None] * m3[:, s][:, None] for s in range(R))
    third, d3 = barrier((third, d3))
    sources: list[list[jax.Array]] = [[d3[c]] for c in range(10)]
    for k in range(3):
        for c, pair in enumerate(PAIRS):
            sources[_at(TRIPLES, *pair, k)].append(multiplicity(pair) * third[k][c])
    adjoint = jnp.concatenate(
        [
            g0[None],
            d1 + jnp.stack(d1_q),
            jnp.asarray(sum(d2_parts)),
            jnp.stack([jnp.asarray(sum(x)) for x in sources]),
        ]
    )
    return jnp.asarray(barrier(adjoint))


@jax.custom_vjp
def contract(moments: jax.Array) -> jax.Array:
    """Return the invariants (n_features, N), ordered as ``feature_order``, of moments (20, n_radial, N)."""
    return _features(moments, *_intermediates(moments))


def _forward(moments: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    between = _intermediates(moments)
    return _features(moments, *between), (moments, *between)


def _backward(saved: tuple[jax.Array, ...], g: jax.Array) -> tuple[jax.Array]:
    moments, q4, q5, q6, v = saved
    return (_adjoint(moments, q4, q5, q6, v, barrier(g)),)


contract.defvjp(_forward, _backward)
