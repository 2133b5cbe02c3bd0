"""DeePMD-kit's se_e2_a, read from its frozen graph, as a potential of the engine (float64, no TensorFlow).

Descriptor and fitting network: Zhang et al., NeurIPS 2018 (arXiv:1805.09003); constants and normalisation as
DeePMD-kit's TensorFlow backend freezes them. Places of its neighbour list that are empty count there like
neighbours at the cutoff; so do they here. More neighbours than ``sel`` are all taken, where DeePMD-kit drops
the farthest.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.potentials.deepmd.frozen_graph import constants
from frazil.potentials.interface import Batched, Evaluation
from frazil.potentials.neighbours import Neighbours

Layers = list[dict[str, jax.Array]]
"""Of a network: w (in, out), b (out), and idt (out) where the layer has time steps of its own."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DeepPotSE:
    """A model on atoms of given types, made by ``of``.

    embedding [centre type][neighbour type] (one row if all centres share it), fitting [centre type]; mean and
    deviation (types, 4) normalise (s, s x/r, s y/r, s z/r) per centre type; shift (types,) eV.
    """

    embedding: list[list[Layers]]
    fitting: list[Layers]
    mean: jax.Array
    deviation: jax.Array
    shift: jax.Array
    types: tuple[int, ...] = field(metadata={"static": True})
    type_map: tuple[str, ...] = field(metadata={"static": True})
    sel: tuple[int, ...] = field(metadata={"static": True})
    axis: int = field(metadata={"static": True})
    cutoff: float = field(metadata={"static": True})
    smooth: float = field(metadata={"static": True})

    @classmethod
    def of(cls, frozen: Path | str, types: Sequence[int]) -> "DeepPotSE":
        """Return the model of a frozen (not compressed) ``.pb`` for atoms of types (natoms,), indices into
        its type map.

        Raises UserError for another kind of model, or a type that it does not have.
        """
        graph = constants(frozen)
        model = json.loads(graph["train_attr/training_script"])["model"]
        descriptor, fitting = model.get("descriptor", {}), model.get("fitting_net", {})
        _check(frozen, model, descriptor, fitting)
        if "descrpt_attr/t_avg" not in graph or "layer_0_type_0/matrix" not in graph:
            raise UserError(f"{frozen} holds no network of se_e2_a; give the frozen.pb of train_deepmd.py")
        shared = descriptor.get("type_one_side", False)
        if not any(name.endswith("/matrix_1_0") for name in graph):
            raise UserError(f"{frozen} is compressed (its embedding is a table); give its frozen.pb")
        names = graph["model_attr/tmap"].decode().split()
        given = tuple(int(i) for i in types)
        if not given or not 0 <= min(given) <= max(given) < len(names):
            raise UserError(
                f"types {sorted(set(given))} for {frozen}, which has {len(names)}: {' '.join(names)}; "
                "give indices into these, from 0"
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
        return cls(
            embedding=[
                [
                    network([parts(f"filter_type_{c}/", f"_{i}_{n}") for i in range(1, depth + 1)])
                    for n in range(len(names))
                ]
                for c in centres
            ],
            fitting=[
                network(
                    [parts(f"layer_{i}_type_{c}/", "") for i in range(fitting_depth)]
                    + [parts(f"final_layer_type_{c}/", "")]
                )
                for c in range(len(names))
            ],
            mean=jnp.asarray(graph["descrpt_attr/t_avg"][:, :4], jnp.float64),
            deviation=jnp.asarray(graph["descrpt_attr/t_std"][:, :4], jnp.float64),
            shift=jnp.asarray(bias),
            types=given,
            type_map=tuple(names),
            sel=tuple(int(n) for n in graph["descrpt_attr/sel"]),
            axis=int(descriptor["axis_neuron"]),
            cutoff=float(graph["descrpt_attr/rcut"]),
            smooth=float(descriptor["rcut_smth"]),
        )

    @property
    def cutoff_A(self) -> float | None:
        """The descriptor's cutoff."""
        return self.cutoff

    @property
    def n_atoms(self) -> int | None:
        """The number of its types."""
        return len(self.types)

    def batched(self, n_replicas: int) -> Batched:
        """Return energies by replica, and forces as their gradient."""
        return Batched(self._arrange, self._evaluate)

    def _arrange(self, neighbours: Neighbours | None) -> Any:
        """Return, per type that is there, its neighbours (R, natoms, K): index, whether real, shift."""
        assert neighbours is not None
        slots = neighbours.index.shape[2]
        kinds = jnp.append(jnp.asarray(self.types), -1)[neighbours.index]
        lists = {}
        for kind in sorted(set(self.types)):
            wide = min(slots, self.types.count(kind))
            ranks = jnp.where(kinds == kind, slots - jnp.arange(slots, dtype=jnp.int32), 0)
            found = jax.lax.top_k(ranks, wide)[0]
            real, slot = found > 0, jnp.where(found > 0, slots - found, 0)
            index = jnp.where(real, jnp.take_along_axis(neighbours.index, slot, axis=2), 0)
            shift = jnp.zeros(())
            if neighbours.shift is not None:
                shift = jnp.take_along_axis(neighbours.shift, slot[..., None], axis=2)
            lists[kind] = (index, real, shift)
        return lists

    def _evaluate(self, lists: Any, positions: jax.Array) -> Evaluation:
        def total(positions: jax.Array) -> tuple[jax.Array, jax.Array]:
            energies = self._energies(lists, positions)
            return energies.sum(), energies

        gradient, energies = jax.grad(total, has_aux=True)(positions)
        return Evaluation(energies, -gradient, {})

    def _energies(self, lists: Any, positions: jax.Array) -> jax.Array:
        """Return the energies (R,), eV, of positions (R, natoms, 3)."""
        energy: Any = 0.0
        for centre in sorted(set(self.types)):
            chosen = np.flatnonzero(np.array(self.types) == centre)
            sums: Any = 0.0
            for kind in range(len(self.type_map)):
                net = self.embedding[centre if len(self.embedding) > 1 else 0][kind]
                empty = -self.mean[centre] / self.deviation[centre]
                places = self.sel[kind]
                if kind in lists:
                    index, real, shift = (part[:, chosen] if part.ndim else part for part in lists[kind])
                    rows = self._environment(positions, positions[:, chosen], index, real, shift)
                    rows = (rows - self.mean[centre]) / self.deviation[centre]
                    # (R, n, K, 4), (R, n, K, M) -> (R, n, 4, M)
                    sums = sums + jnp.einsum("rnkx,rnkm->rnxm", rows, _embed(net, rows[..., :1]))
                    places -= index.shape[-1]
                sums = sums + places * empty[:, None] * _embed(net, empty[:1])
            sums = sums / sum(self.sel)
            product = jnp.einsum("rnxm,rnxa->rnma", sums, sums[..., : self.axis])
            values = product.reshape(*product.shape[:2], -1)
            energy = (
                energy + _fit(self.fitting[centre], values).sum(axis=1) + len(chosen) * self.shift[centre]
            )
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
        u = jnp.clip((distance - self.smooth) / (self.cutoff - self.smooth), 0.0, 1.0)
        s = jnp.where(inside, (u**3 * (-6.0 * u**2 + 15.0 * u - 10.0) + 1.0) / distance, 0.0)
        unit = jnp.where(inside[..., None], vectors, 0.0) / distance[..., None]
        return s[..., None] * jnp.concatenate([jnp.ones_like(s)[..., None], unit], axis=-1)


def _layer(layer: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ layer["w"] + layer["b"]) * layer.get("idt", 1.0)


def _embed(layers: Layers, x: jax.Array) -> jax.Array:
    """Return the embedding (…, M) of (…, 1): layers of one or two times the width add their input."""
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
