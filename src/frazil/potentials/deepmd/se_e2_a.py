"""DeePMD-kit's se_e2_a, read from its frozen graph, as a potential of the engine (no TensorFlow).

On a CPU the compiled kernel evaluates it where it can (``kernel.serves``), else JAX does, in float64.

``Bonds`` are what a residual model was trained without, to be added (``transform.sum_of``).

Descriptor and fitting network: Zhang et al., NeurIPS 2018 (arXiv:1805.09003); constants and normalisation as
DeePMD-kit's TensorFlow backend freezes them. Places of its neighbour list that are empty count there like
neighbours at the cutoff; so do they here. More neighbours than ``sel`` are all taken, where DeePMD-kit drops
the farthest.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from frazil.errors import UserError
from frazil.potentials.deepmd import kernel
from frazil.potentials.deepmd.bond_baseline import EXCITED, GROUND, BondBaseline
from frazil.potentials.deepmd.frozen_graph import read_graph
from frazil.potentials.interface import Analytic, Batched, Evaluation
from frazil.potentials.neighbours import Neighbours
from frazil.pytrees import pytree

Layers = list[dict[str, jax.Array]]
"""Of a network: w (in, out), b (out), and idt (out) where the layer has time steps of its own."""


@pytree
@dataclass(frozen=True)
class Table:
    """An embedding network as ``dp compress`` tabulates it: polynomials of fifth order in x on two grids.

    coefficients (intervals, M, 6), the lowest power first, of the distance from an interval's beginning.
    Intervals are ``fine`` wide from ``first`` to ``middle``, ``coarse`` wide from there to ``last``. Outside
    of both it is constant, as in DeePMD-kit (``tabulate.cc``).
    """

    coefficients: jax.Array
    first: jax.Array
    middle: jax.Array
    last: jax.Array
    fine: jax.Array
    coarse: jax.Array

    @classmethod
    def of(cls, coefficients: npt.ArrayLike, edges: npt.ArrayLike) -> "Table":
        """Return the table of a graph: coefficients (intervals, 6 M), edges (6,) as its table_info."""
        values = jnp.asarray(coefficients, jnp.float64)
        first, middle, last, fine, coarse, _ = jnp.asarray(edges, jnp.float64)
        return cls(values.reshape(len(values), -1, 6), first, middle, last, fine, coarse)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the embedding (…, M) of (…, 1)."""
        x = x[..., 0]
        n_fine = ((self.middle - self.first) / self.fine).astype(jnp.int32)
        n_coarse = ((self.last - self.middle) / self.coarse).astype(jnp.int32)
        is_fine = x < self.middle
        begin, width = jnp.where(is_fine, self.first, self.middle), jnp.where(is_fine, self.fine, self.coarse)
        number = jnp.floor((x - begin) / width).astype(jnp.int32)
        inside = (x >= self.first) & (x < self.last)
        distance = jnp.where(inside, x - begin - number * width, 0.0)[..., None]
        place = jnp.clip(jnp.where(is_fine, number, n_fine + number), 0, n_fine + n_coarse - 1)
        powers = jnp.moveaxis(self.coefficients[place], -1, 0)
        value = powers[5]
        for power in powers[4::-1]:
            value = value * distance + power
        return value


@pytree
@dataclass(frozen=True)
class DeepPotSE:
    """A model on atoms of given types, made by ``of``.

    embedding [centre type][neighbour type] (one row if all centres share it), fitting [centre type]; mean and
    deviation (types, 4) normalise (s, s x/r, s y/r, s z/r) per centre type; shift (types,) eV.
    types (natoms,), or (structures, natoms) for a batch of several, which have equal numbers of each type,
    ``counts``: another excited molecule compiles nothing anew. compiled: inputs of the kernel, empty where
    JAX evaluates the model.
    """

    embedding: list[list[Layers | Table]]
    fitting: list[Layers]
    mean: jax.Array
    deviation: jax.Array
    shift: jax.Array
    types: jax.Array
    compiled: tuple[jax.Array, ...]
    counts: tuple[int, ...] = field(metadata={"static": True})
    type_map: tuple[str, ...] = field(metadata={"static": True})
    sel: tuple[int, ...] = field(metadata={"static": True})
    axis: int = field(metadata={"static": True})
    cutoff: float = field(metadata={"static": True})
    smooth: float = field(metadata={"static": True})

    @classmethod
    def of(cls, frozen: Path | str, types: npt.ArrayLike, precision: str = "float64") -> "DeepPotSE":
        """Return the model of a frozen ``.pb``, compressed or not, for atoms of types (natoms,), indices into
        its type map, or (structures, natoms) for a batch of several. The compiled kernel takes numbers of
        ``precision``, float64 (as DeePMD-kit) or float32; without it they are float64.

        Raises UserError for another kind of model, a type that it does not have, or structures with other
        numbers of a type than the first.
        """
        graph, tables = read_graph(frozen)
        model = json.loads(graph["train_attr/training_script"])["model"]
        descriptor, fitting = model.get("descriptor", {}), model.get("fitting_net", {})
        _check(frozen, model, descriptor, fitting)
        if "descrpt_attr/t_avg" not in graph or "layer_0_type_0/matrix" not in graph:
            raise UserError(f"{frozen} holds no network of se_e2_a; give the frozen.pb of train_deepmd.py")
        shared = descriptor.get("type_one_side", False)
        if not tables and not any(name.endswith("/matrix_1_0") for name in graph):
            raise UserError(f"{frozen} holds no embedding of se_e2_a; give a .pb that dp freeze has written")
        names = graph["model_attr/tmap"].decode().split()
        given = np.asarray(types, np.int32)
        if not given.size or not 0 <= given.min() <= given.max() < len(names):
            raise UserError(
                f"types {np.unique(given).tolist()} for {frozen}, which has {len(names)}: {' '.join(names)}; "
                "give indices into these, from 0"
            )
        counts = np.stack([np.bincount(own, minlength=len(names)) for own in np.atleast_2d(given)])
        if (counts != counts[0]).any():
            raise UserError(
                f"structures of {np.unique(counts, axis=0).tolist()} atoms of {' '.join(names)}; "
                "those of a batch must have equally many of each, run the others apart"
            )
        centres = ["all"] if shared else [str(i) for i in range(len(names))]
        depth, fitting_depth = len(descriptor["neuron"]), len(fitting["neuron"])

        def network(names: Sequence[tuple[str, str, str]]) -> Layers:
            return [
                {
                    key: jnp.asarray(graph[name], jnp.float64)
                    for key, name in zip(("w", "b", "idt"), layer, strict=True)
                    if name in graph
                }
                for layer in names
            ]

        def parts(prefix: str, suffix: str) -> tuple[str, str, str]:
            w, b, idt = (f"{prefix}{part}{suffix}" for part in ("matrix", "bias", "idt"))
            return w, b, idt

        # A bias by type is a constant of the fitting network and, since DeePMD-kit 3, of the model's output.
        bias = np.asarray(graph["fitting_attr/t_bias_atom_e"], float)
        bias = bias + np.ravel(graph.get("model_attr/model_attr/t_out_bias", 0.0))

        def embedding_of(centre: str, kind: int) -> Layers | Table:
            # One operation for each type of neighbours, in their order.
            table = tables.get(f"filter_type_{centre}/TabulateFusionSeA{f'_{kind}' if kind else ''}")
            if table:
                return Table.of(*(graph[name] for name in table[:2]))
            return network([parts(f"filter_type_{centre}/", f"_{i}_{kind}") for i in range(1, depth + 1)])

        embedding = [[embedding_of(c, n) for n in range(len(names))] for c in centres]
        layers = [
            network(
                [parts(f"layer_{i}_type_{c}/", "") for i in range(fitting_depth)]
                + [parts(f"final_layer_type_{c}/", "")]
            )
            for c in range(len(names))
        ]
        mean, deviation = (
            np.asarray(graph[f"descrpt_attr/t_{what}"][:, :4], float) for what in ("avg", "std")
        )
        sel = tuple(int(n) for n in graph["descrpt_attr/sel"])
        axis, cutoff = int(descriptor["axis_neuron"]), float(graph["descrpt_attr/rcut"])
        smooth = float(descriptor["rcut_smth"])
        compiled: tuple[jax.Array, ...] = ()
        if kernel.serves(mean, deviation, fitting_depth):
            of_each = [
                [partial(_embed, net) for net in embedding[0 if shared else c]] for c in range(len(names))
            ]
            compiled = kernel.constants(
                of_each, layers, mean, deviation, bias, sel, axis, cutoff, smooth, precision
            )
        return cls(
            embedding=embedding,
            fitting=layers,
            mean=jnp.asarray(mean),
            deviation=jnp.asarray(deviation),
            shift=jnp.asarray(bias),
            types=jnp.asarray(given),
            compiled=compiled,
            counts=tuple(counts[0].tolist()),
            type_map=tuple(names),
            sel=sel,
            axis=axis,
            cutoff=cutoff,
            smooth=smooth,
        )

    @property
    def cutoff_A(self) -> float | None:
        """The descriptor's cutoff."""
        return self.cutoff

    @property
    def n_atoms(self) -> int | None:
        """The number of its types."""
        return int(self.types.shape[-1])

    def batched(self, n_replicas: int) -> Batched:
        """Return energies by replica, and forces as their gradient."""
        return self._on(jnp.broadcast_to(self.types, (n_replicas, *self.types.shape)))

    def mixed(self, kinds: jax.Array) -> Batched:
        """Return the same for replicas of several structures (R,)."""
        return self._on(self.types[kinds])

    def _on(self, types: jax.Array) -> Batched:
        """Return the functions for replicas of types (R, natoms)."""
        if self.compiled:
            return kernel.functions(types, self.compiled)
        # The atoms of each type, (R, count), ascending.
        order = jnp.argsort(types, axis=1, stable=True)
        ends = np.cumsum(self.counts)
        centres = {
            kind: order[:, end - count : end]
            for kind, (count, end) in enumerate(zip(self.counts, ends, strict=True))
            if count
        }

        def arrange(neighbours: Neighbours | None) -> Any:
            return self._arrange(neighbours, types, centres)

        def evaluate(lists: Any, positions: jax.Array) -> Evaluation:
            def total(positions: jax.Array) -> tuple[jax.Array, jax.Array]:
                energies = self._energies(lists, centres, positions)
                return energies.sum(), energies

            gradient, energies = jax.grad(total, has_aux=True)(positions)
            return Evaluation(energies, -gradient, {})

        return Batched(arrange, evaluate)

    def _arrange(self, neighbours: Neighbours | None, types: jax.Array, centres: dict[int, jax.Array]) -> Any:
        """Return, by type of centre and of neighbour, (R, count, K): index, whether it is real, shift."""
        assert neighbours is not None
        slots = neighbours.index.shape[2]
        kinds = jax.vmap(lambda own, index: jnp.append(own, -1)[index])(types, neighbours.index)
        lists: dict[int, dict[int, Any]] = {centre: {} for centre in centres}
        for kind in centres:
            wide = min(slots, self.counts[kind])
            ranks = jnp.where(kinds == kind, slots - jnp.arange(slots, dtype=jnp.int32), 0)
            found = jax.lax.top_k(ranks, wide)[0]
            real, slot = found > 0, jnp.where(found > 0, slots - found, 0)
            index = jnp.where(real, jnp.take_along_axis(neighbours.index, slot, axis=2), 0)
            parts = [index, real]
            if neighbours.shift is not None:
                parts.append(jnp.take_along_axis(neighbours.shift, slot[..., None], axis=2))
            for centre, chosen in centres.items():
                own = [_of_atoms(part, chosen) for part in parts]
                lists[centre][kind] = (*own, jnp.zeros(())) if neighbours.shift is None else tuple(own)
        return lists

    def _energies(self, lists: Any, centres: dict[int, jax.Array], positions: jax.Array) -> jax.Array:
        """Return the energies (R,), eV, of positions (R, natoms, 3)."""
        energy: Any = 0.0
        for centre, chosen in centres.items():
            own = _of_atoms(positions, chosen)
            sums: Any = 0.0
            for kind in range(len(self.type_map)):
                net = self.embedding[centre if len(self.embedding) > 1 else 0][kind]
                empty = -self.mean[centre] / self.deviation[centre]
                places = self.sel[kind]
                if kind in centres:
                    index, real, shift = lists[centre][kind]
                    rows = self._environment(positions, own, index, real, shift)
                    rows = (rows - self.mean[centre]) / self.deviation[centre]
                    # (R, n, K, 4), (R, n, K, M) -> (R, n, 4, M)
                    sums = sums + jnp.einsum("rnkx,rnkm->rnxm", rows, _embed(net, rows[..., :1]))
                    places -= index.shape[-1]
                sums = sums + places * empty[:, None] * _embed(net, empty[:1])
            sums = sums / sum(self.sel)
            product = jnp.einsum("rnxm,rnxa->rnma", sums, sums[..., : self.axis])
            values = product.reshape(*product.shape[:2], -1)
            atomic = _fit(self.fitting[centre], values).sum(axis=1)
            energy = energy + atomic + self.counts[centre] * self.shift[centre]
        return jnp.asarray(energy)

    def _environment(
        self, positions: jax.Array, centres: jax.Array, index: jax.Array, real: jax.Array, shift: jax.Array
    ) -> jax.Array:
        """Return (s, s x/r, s y/r, s z/r) (R, n, K, 4); zeros for free places and beyond the cutoff."""
        there = jax.vmap(lambda own, chosen: own[chosen])(positions, index)
        vectors = there + shift - centres[:, :, None]
        squared = jnp.sum(vectors**2, axis=-1)
        inside = real & (squared < self.cutoff**2)
        distance = jnp.sqrt(jnp.where(inside, squared, self.cutoff**2))
        s = jnp.where(inside, kernel.falling(distance, self.cutoff, self.smooth), 0.0)
        unit = jnp.where(inside[..., None], vectors, 0.0) / distance[..., None]
        return s[..., None] * jnp.concatenate([jnp.ones_like(s)[..., None], unit], axis=-1)


@pytree
@dataclass(frozen=True)
class Bonds(Analytic):
    """The bond baseline of atoms that are molecules two by two, by cubic splines.

    excited (n_molecules,), or (structures, n_molecules) for a batch of several; coefficients (2, 4, knots) of
    ground and excited bonds, highest power first, from first_A (2,) at distances of spacing_A (2,) to last_A
    (2,), beyond which there is no baseline.
    """

    excited: jax.Array
    coefficients: jax.Array
    first_A: jax.Array
    spacing_A: jax.Array
    last_A: jax.Array

    @classmethod
    def of(cls, baseline: BondBaseline, excited: npt.ArrayLike) -> "Bonds":
        """Return the baseline for molecules, excited or not."""
        splines = [baseline.spline(name) for name in (GROUND, EXCITED)]
        most = max(spline.c.shape[1] for spline in splines)
        return cls(
            jnp.asarray(excited, bool),
            jnp.asarray(np.stack([np.pad(s.c, ((0, 0), (0, most - s.c.shape[1]))) for s in splines])),
            *(jnp.asarray([edge(s.x) for s in splines]) for edge in (np.min, lambda x: x[1] - x[0], np.max)),
        )

    def energy(self, positions_A: jax.Array) -> jax.Array:
        """Return the energy, eV."""
        return self._energy(positions_A, self.excited)

    def mixed(self, kinds: jax.Array) -> Batched:
        """Return the functions for replicas of several structures (R,)."""
        value_and_gradient = jax.vmap(jax.value_and_grad(self._energy))

        def evaluate(_: Any, positions: jax.Array) -> Evaluation:
            energies, gradients = value_and_gradient(positions, self.excited[kinds])
            return Evaluation(energies, -gradients, {})

        return Batched(lambda _: jnp.zeros(0), evaluate)

    def _energy(self, positions_A: jax.Array, excited: jax.Array) -> jax.Array:
        lengths = jnp.sqrt(jnp.sum((positions_A[1::2] - positions_A[::2]) ** 2, axis=1))
        table = excited.astype(jnp.int32)
        first, spacing, last = self.first_A[table], self.spacing_A[table], self.last_A[table]
        inside = lengths < last
        reached = jnp.where(inside, lengths, first)
        knots = jnp.round((last - first) / spacing).astype(jnp.int32) - 1
        place = jnp.clip(jnp.floor((reached - first) / spacing).astype(jnp.int32), 0, knots)
        x = reached - (first + spacing * place)
        a, b, c, d = (self.coefficients[table, power, place] for power in range(4))
        return jnp.sum(jnp.where(inside, ((a * x + b) * x + c) * x + d, 0.0))


def type_map_of(frozen: Path | str) -> list[str]:
    """Return the names of a frozen model's types. Raises UserError for a file that is none."""
    names: list[str] = read_graph(frozen).constants["model_attr/tmap"].decode().split()
    return names


def _of_atoms(values: jax.Array, chosen: jax.Array) -> jax.Array:
    """Return the values (R, count, …) of chosen atoms (R, count) of each replica."""
    return jax.vmap(lambda own, atoms: own[atoms])(values, chosen)


def _layer(layer: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ layer["w"] + layer["b"]) * layer.get("idt", 1.0)


def _embed(layers: Layers | Table, x: jax.Array) -> jax.Array:
    """Return the embedding (…, M) of (…, 1): layers of one or two times the width add their input."""
    if isinstance(layers, Table):
        return layers(x)
    for layer in layers:
        y = _layer(layer, x)
        if y.shape[-1] == x.shape[-1]:
            y = y + x
        elif y.shape[-1] == 2 * x.shape[-1]:
            y = y + jnp.concatenate([x, x], axis=-1)
        x = y
    return x


def _fit(layers: Layers, x: jax.Array) -> jax.Array:
    """Return the atomic energies (…) of descriptors (…, M · axis): layers of equal width add their input."""
    for number, layer in enumerate(layers[:-1]):
        y = _layer(layer, x)
        x = x + y if number and y.shape[-1] == x.shape[-1] else y
    return (x @ layers[-1]["w"] + layers[-1]["b"])[..., 0]


def _check(frozen: Path | str, model: Any, descriptor: Any, fitting: Any) -> None:
    """Raise UserError for a model of a kind that is not read here."""
    supported: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "model type": (model.get("type", "standard"), ("standard",)),
        "descriptor": (descriptor.get("type"), ("se_e2_a", "se_a")),
        "fitting": (fitting.get("type", "ener"), ("ener",)),
        "activation": (descriptor.get("activation_function", "tanh"), ("tanh",)),
        "fitting activation": (fitting.get("activation_function", "tanh"), ("tanh",)),
        "frame parameters": (fitting.get("numb_fparam", 0), (0,)),
        "atom parameters": (fitting.get("numb_aparam", 0), (0,)),
        "protection of distances": (descriptor.get("env_protection", 0.0), (0.0,)),
        "excluded types": (descriptor.get("exclude_types", []), ([],)),
        "excluded pairs": (model.get("pair_exclude_types", []), ([],)),
        "excluded atoms": (model.get("atom_exclude_types", []), ([],)),
        "type embedding": ("type_embedding" in model, (False,)),
        "pair table": ("use_srtab" in model, (False,)),
        "spin": ("spin" in model, (False,)),
    }
    for name, (given, allowed) in supported.items():
        if given not in allowed:
            raise UserError(
                f"{frozen} has {name} {given!r}; read here is only {', '.join(map(repr, allowed))}: "
                "run other models through DeePMD-kit itself"
            )
