"""Rings as i-PI has them: the same beads have the same energies by the estimators of both."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr, Hartree

from frazil.md.ensemble import Ensemble
from frazil.md.integrators import PILE
from frazil.md.rings import RingEnergies, of_beads
from frazil.potentials.analytic.simple import Springs
from frazil.potentials.rings import RingPolymer

MASSES_amu = np.array([1.008, 12.011, 15.999])
STIFFNESS_eV_per_A2 = 20.0
IN_IPI = {"potential_energy": "potential", "kinetic_virial": "kinetic_cv", "kinetic_primitive": "kinetic_td"}


@pytest.mark.parametrize("n_beads", [1, 6, 9])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_beads_have_the_energies_that_ipi_gives_them(
    n_beads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ipi")
    from ipi.scripting import InteractiveSimulation, forcefield_xml, motion_nvt_xml, simulation_xml

    beads = np.random.default_rng(3).normal(scale=0.2, size=(n_beads, 3, 3))
    ring = [Atoms("H3", bead, cell=[50.0] * 3) for bead in beads]
    for atoms in ring:
        atoms.arrays["mass"] = MASSES_amu
    stiffness = {"k1": STIFFNESS_eV_per_A2 / Hartree * Bohr**2}
    xml = simulation_xml(
        ring, forcefield_xml("field", "direct", stiffness, "harmonic"),
        motion_nvt_xml(0.01, "pile_l", True, 1.0, fixcom=False), 300.0,
        output="<output prefix='ring'><checkpoint stride='1000000'/></output>",
    ).replace("<simulation ", "<simulation floatformat='%24.16e' ")  # fmt: skip
    monkeypatch.chdir(tmp_path)
    theirs = InteractiveSimulation(xml)
    expected = {name: float(np.squeeze(theirs.properties(own))) for name, own in IN_IPI.items()}
    ensemble = Ensemble(
        RingPolymer(Springs(STIFFNESS_eV_per_A2), n_beads), PILE(0.1, 300.0, 100.0, n_beads),
        of_beads(MASSES_amu, n_beads), 1, 1, observers=(RingEnergies(300.0, n_beads),),
    )  # fmt: skip
    (ours,) = ensemble.run(beads.reshape(1, -1, 3), np.zeros((1, 3 * n_beads, 3)))
    for name, value in expected.items():
        assert ours.rows[name][0] == pytest.approx(value, rel=1e-6), name
