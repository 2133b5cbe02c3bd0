"""frazil: from quantum-chemistry labels to trajectory ensembles with publishable statistics.

``frazil.load`` gives any potential as an ASE calculator. ``Ensemble`` runs trajectories under any potential,
which ``potentials.registry.load`` gives it. ``analysis.estimates`` gives numbers with both errors.
"""

from typing import Any

__version__ = "0.2.0"
__all__ = ["Ensemble", "Estimate", "Langevin", "UserError", "VelocityVerlet", "__version__", "load"]

_HOMES = {
    "Ensemble": "frazil.md.ensemble",
    "Estimate": "frazil.analysis.estimates",
    "Langevin": "frazil.md.integrators",
    "UserError": "frazil.errors",
    "VelocityVerlet": "frazil.md.integrators",
    "load": "frazil.potentials.calculator",
}


def __getattr__(name: str) -> Any:
    """Return a public name; what it needs (JAX, pandas) is imported when it is asked for, not before."""
    if name not in _HOMES:
        raise AttributeError(f"module 'frazil' has no attribute {name!r}; it has {', '.join(__all__)}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the public names, and what every module has."""
    return sorted({*globals(), *__all__})
