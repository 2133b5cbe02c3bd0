"""The potential that drives the sticking experiment: the known truth, or a GM-NN committee's file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from frazil.errors import UserError
from frazil.files import sha256_of
from frazil.labels.interaction import LABEL
from frazil.potentials.analytic.h2_co import H2OnCO
from frazil.potentials.gmnn.committee import select_members
from frazil.potentials.gmnn.files import Model, read_model
from frazil.potentials.gmnn.potential import GMNN
from frazil.potentials.interface import Potential
from frazil.potentials.molecular import WithMolecules, read_curves

ANALYTIC = "analytic"
CO, H2 = (6, 8), (1, 1)


@dataclass(frozen=True)
class Driver:
    """A source of potentials for any number of CO molecules with or without H2."""

    model: Model | None
    digest: str
    curves: Mapping[str, CubicHermiteSpline] = field(default_factory=dict)
    """What molecules do alone, where the model holds their interactions only."""

    @property
    def n_members(self) -> int:
        """Members of the committee; the known truth has one."""
        return 1 if self.model is None else self.model.n_members

    def potential(self, n_co: int, hydrogen: bool, n_fixed: int = 0, member: int | None = None) -> Potential:
        """Return the potential of CO molecules, then H2; ``member`` None is the committee's mean."""
        if self.model is None:
            return H2OnCO(n_fixed=n_fixed, hydrogen=hydrogen)
        model = self.model
        if member is not None:
            chosen = select_members(model.parameters, [member])
            model = Model(model.architecture, chosen, model.metadata)
        numbers = np.array(n_co * CO + hydrogen * H2)
        network = GMNN.of(model, numbers)
        return WithMolecules.of(network, numbers, self.curves) if self.curves else network

    def name(self, member: int | None = None) -> str:
        """Return the ``model_id`` of tables."""
        if self.model is None:
            return ANALYTIC
        return "gmnn-mean" if member is None else f"gmnn-{member}"


def driver(model: str | Path, curves: str | Path = "") -> Driver:
    """Return the driver of ``analytic``, or of a model file and the curves that were taken out of its labels.

    Raises UserError for a file that is no model, and for one of interactions without curves, or the reverse.
    """
    if str(model) == ANALYTIC:
        return Driver(None, ANALYTIC)
    if not Path(model).is_file():
        raise UserError(f"no model {model}; give a model.h5 of train_gmnn.py, or '{ANALYTIC}'")
    found = read_model(model)
    level = str(found.metadata["label_level"])
    if level.endswith(LABEL) != bool(str(curves)):
        raise UserError(
            f"{model} was trained on labels of {level!r}, curves of molecules: {str(curves) or 'none'}; a "
            f"model of "
            "interactions needs the molecular_curves.csv that was taken out, any other needs none"
        )
    if not str(curves):
        return Driver(found, sha256_of(Path(model)))
    return Driver(found, sha256_of(Path(model), Path(curves)), read_curves(curves))
