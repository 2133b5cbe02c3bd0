"""Parameters of apax (Schäfer et al., a JAX GM-NN of the method's authors) as ours: apax is a reference, no
dependency.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ase.data
import jax.numpy as jnp
import numpy as np

from frazil.errors import UserError
from frazil.potentials.gmnn.architecture import Architecture, Parameters
from frazil.units import COULOMB_eV_A


def from_apax(
    config: Mapping[str, Any], parameters: Mapping[str, Any], elements: Sequence[str]
) -> tuple[Architecture, Parameters]:
    """Return an apax GM-NN's architecture and parameters, for the given elements only.

    ``config`` is the section "model" of apax's settings, ``parameters`` its checkpoint's tree below "params".
    Raises UserError for what this package's GM-NN has no counterpart of.
    """
    tree = parameters.get("energy_model", parameters)
    basis = config["basis"]
    supported = {
        "name": (config.get("name", "gmnn"), "gmnn"),
        "basis": ((basis["name"], basis.get("spacing", "linear")), ("gaussian", "linear")),
        "n_contr": (config.get("n_contr", 8), 8),
        "emb_init": (config.get("emb_init", "uniform"), "uniform"),
        "ensemble": (config.get("ensemble"), None),
        "property_heads": (list(config.get("property_heads", [])), []),
    }
    for name, (given, allowed) in supported.items():
        if given != allowed:
            raise UserError(f"apax model with {name} = {given}; only {allowed} can be read")
    activation = config.get("activation_fn", "variance_preserving_swish")
    if activation not in ("swish", "silu", "variance_preserving_swish"):
        raise UserError(
            f"apax model with activation {activation}; only swish and variance_preserving_swish can be read"
        )
    zbl = _zbl(config, tree)
    architecture = Architecture(
        elements=tuple(sorted(elements, key=ase.data.atomic_numbers.__getitem__)),
        cutoff_A=float(basis["r_max"]),
        basis_start_A=float(basis["r_min"]),
        n_basis=int(basis["n_basis"]),
        n_radial=int(config["n_radial"]),
        hidden=tuple(int(n) for n in config["nn"]),
        zbl_cutoff_A=zbl,
        ntk=bool(config["use_ntk"]),
        variance_preserving=activation == "variance_preserving_swish",
        precision={"fp32": "float32", "fp64": "float64"}[config.get("descriptor_dtype", "fp32")],
    )
    numbers = architecture.atomic_numbers
    embedding = np.asarray(tree["representation"]["radial_fn"]["atomic_type_embedding"], float)
    readout = tree["readout"]
    shape = (len(numbers), architecture.n_features)
    return architecture, {
        "embedding": jnp.asarray(embedding[np.ix_(numbers, numbers)]),
        "layers": [
            {name: jnp.asarray(readout[f"dense_{i}"][name], jnp.float64) for name in ("w", "b")}
            for i in range(len(architecture.hidden) + 1)
        ],
        "scale": jnp.asarray(np.asarray(tree["scale_shift"]["scale_per_element"], float)[numbers]),
        "shift": jnp.asarray(np.asarray(tree["scale_shift"]["shift_per_element"], float)[numbers]),
        "feature_mean": jnp.zeros(shape),
        "feature_scale": jnp.ones(shape),
    }


def _zbl(config: Mapping[str, Any], tree: Mapping[str, Any]) -> float:
    """Return the repulsion's cutoff, 0 without; apax's trained form is accepted where it is the universal
    one.
    """
    corrections = list(config.get("empirical_corrections", []))
    if not corrections:
        return 0.0
    if [c["name"] for c in corrections] != ["zbl"]:
        raise UserError(
            f"apax model with corrections {[c['name'] for c in corrections]}; only zbl can be read"
        )
    values = next(v for k, v in tree.items() if k.startswith("corrections"))
    scale = float(np.logaddexp(0.0, np.asarray(values["rep_scale"], float))[0])
    weights = np.logaddexp(0.0, np.asarray(values["coefficients"], float)).ravel()
    if (
        abs(scale / COULOMB_eV_A - 1) > 1e-5
        or np.abs(weights - [0.18175, 0.50986, 0.28022, 0.02817]).max() > 1e-5
    ):
        raise UserError(
            f"apax model whose repulsion was trained (scale {scale:.4g} eV Å); "
            f"only the universal one, {COULOMB_eV_A:.4f} eV Å, can be read"
        )
    return float(corrections[0]["r_max"])
