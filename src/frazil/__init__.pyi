from frazil.analysis.estimates import Estimate as Estimate
from frazil.errors import UserError as UserError
from frazil.md.ensemble import Ensemble as Ensemble
from frazil.md.integrators import Langevin as Langevin
from frazil.md.integrators import VelocityVerlet as VelocityVerlet
from frazil.potentials.calculator import load as load

__version__: str
__all__ = ["Ensemble", "Estimate", "Langevin", "UserError", "VelocityVerlet", "__version__", "load"]
