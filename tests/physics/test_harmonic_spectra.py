"""Harmonic wavenumbers and intensities against ORCA, ASE and finite differences."""

from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.vibrations import Infrared

from frazil.analysis.normal_modes import error_cm1, normal_modes
from frazil.errors import UserError
from frazil.experiments.infrared import harmonic
from frazil.experiments.infrared.harmonic import label_minimum, modes_of
from frazil.experiments.infrared.labels import Labels
from frazil.potentials.analytic import van_hemert
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.calculator import GMNNCalculator
from frazil.potentials.gmnn.files import Model
from frazil.potentials.gmnn.surface import ModelSurface
from frazil.potentials.surface import analytic_curvature
from frazil.systems.minima import minimum_of

ORCA = Path(__file__).resolve().parents[3] / "shared/data/nanosilicates/orca.hess"
HARTREE_eV, BOHR_A = 27.211386245988, 0.529177210903


def numbers(block: str, columns: int) -> np.ndarray:
    """Read one of ORCA's matrices, printed five columns at a time."""
    lines = [line.split() for line in block.strip().splitlines()[1:]]
    size = 0
    parts: list[np.ndarray] = []
    for words in lines:
        if all(word.isdigit() for word in words):
            parts.append(np.zeros((0, len(words))))
        else:
            parts[-1] = np.vstack([parts[-1], [float(word) for word in words[1:]]])
            size = max(size, len(parts[-1]))
    return np.hstack(parts)[:, :columns]


@pytest.mark.skipif(not ORCA.is_file(), reason="the published ORCA calculation is not here")
def test_orcas_hessian_gives_orcas_spectrum() -> None:
    blocks = {part.split(None, 1)[0]: part.split(None, 1)[1] for part in ORCA.read_text().split("$")[2:-1]}
    atoms = np.array([line.split() for line in blocks["atoms"].strip().splitlines()[1:]])
    positions, masses = atoms[:, 2:].astype(float) * BOHR_A, atoms[:, 1].astype(float)
    hessian = numbers(blocks["hessian"], 30) * HARTREE_eV / BOHR_A**2
    slopes = np.array(
        [line.split() for line in blocks["dipole_derivatives"].strip().splitlines()[1:31]], float
    )
    table = np.array([line.split() for line in blocks["ir_spectrum"].strip().splitlines()[1:31]], float)
    expected = table[table[:, 0] > 1]

    modes = normal_modes(hessian, positions, masses, slopes.T)

    assert modes.wavenumbers_cm1 == pytest.approx(expected[:, 0], abs=0.05)
    assert modes.intensities_km_per_mol == pytest.approx(expected[:, 2], rel=2e-3, abs=0.05)


def test_labels_give_what_ase_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tblite = pytest.importorskip("tblite.ase")
    found = label_minimum(molecule("H2O"), "water", Labels("gfn2-xtb"), "relax")
    atoms = found.atoms.copy()
    atoms.calc = tblite.TBLite(method="GFN2-xTB", verbosity=0)
    monkeypatch.chdir(tmp_path)
    ours = found.modes
    infrared = Infrared(atoms, delta=0.01)
    infrared.run()
    infrared.read()
    wavenumbers = np.real(infrared.get_frequencies())[-3:]
    intensities = infrared.intensities[-3:] * 42.2561  # (D/Å)²/amu to km/mol
    assert ours.wavenumbers_cm1 == pytest.approx(wavenumbers, abs=0.5)
    assert ours.intensities_km_per_mol == pytest.approx(intensities, rel=0.02)


def test_saddle_point_is_named_refused_or_relaxed() -> None:
    pytest.importorskip("tblite.ase")
    angle = 2 * np.pi / 3 * np.arange(3)
    ring = 0.9927346 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    flat = Atoms("NH3", np.vstack([np.zeros(3), ring]))
    labels = Labels("gfn2-xtb")
    named = r"ammonia is no minimum: imaginary modes \d+i cm⁻¹; .* choose to relax"
    with pytest.raises(UserError, match=named):
        label_minimum(flat, "ammonia", labels, "refuse")
    with pytest.raises(UserError, match=r"ammonia is no minimum: a force of .* eV/Å"):
        label_minimum(Atoms("NH3", 1.05 * flat.positions), "ammonia", labels, "refuse")
    found = label_minimum(flat, "ammonia", labels, "relax")
    assert found.modes.wavenumbers_cm1.min() > 500
    assert found.atoms.get_angle(1, 0, 2) < 115
    with pytest.raises(UserError, match=r"'ignore' for a structure .*; allowed are refuse, relax"):
        label_minimum(flat, "ammonia", labels, "ignore")


def test_published_force_field_has_its_published_frequency() -> None:
    field = jax.jit(jax.value_and_grad(lambda x: van_hemert.energy(x, 0.0)))

    def surface(positions: np.ndarray) -> tuple[float, np.ndarray]:
        energy, gradient = field(positions)
        return float(energy), -np.asarray(gradient)

    found = minimum_of(
        Atoms("CO", [[0, 0, 0], [0, 0, 1.14]]), "CO", surface,
        analytic_curvature(lambda x: van_hemert.energy(x, 0.0)), "relax",
    )  # fmt: skip
    assert found.modes.wavenumbers_cm1 == pytest.approx([2197.0], abs=1.0)
    assert np.isnan(found.modes.intensities_km_per_mol).all()
    assert error_cm1(found.modes, found.modes, found.atoms.get_masses()) == pytest.approx([0.0])


def test_models_derivatives_are_those_of_finite_differences() -> None:
    architecture = Architecture(("O", "Mg"), n_radial=2, n_basis=5, hidden=(8,), heads=("energy", "charge"))
    model = Model(architecture, initialize_committee(architecture, 3, 2), {})
    atoms = Atoms("MgOMgO", np.random.default_rng(2).normal(scale=1.6, size=(4, 3)))
    surface = ModelSurface(model, atoms)
    hessian, slopes = surface.curvature(atoms.positions)
    assert slopes is not None
    for member in (None, 1):
        hessian, _ = surface.curvature(atoms.positions, member)
        step = 1e-4
        for i in (0, 5, 10):
            away = np.zeros(12)
            away[i] = step
            ends = [surface.surface(atoms.positions + s * away.reshape(4, 3), member)[1] for s in (1, -1)]
            assert hessian[i] == pytest.approx((ends[1] - ends[0]).ravel() / (2 * step), abs=1e-5, rel=1e-5)
    # A neutral structure's dipole does not change when all of it moves.
    assert slopes.reshape(3, 4, 3).sum(axis=1) == pytest.approx(np.zeros((3, 3)), abs=1e-10)


def test_a_model_s_surface_sees_the_cell() -> None:
    architecture = Architecture(("C", "O"), cutoff_A=3.5, n_radial=2, n_basis=4, hidden=(8,))
    model = Model(architecture, initialize_committee(architecture, 3, 2), {})
    crystal = Atoms("COCO", [[0.2, 0, 0], [1.3, 0, 0], [0, 3, 3], [0, 4.1, 3]], cell=[4.5] * 3, pbc=True)
    surface = ModelSurface(model, crystal)
    ase_s = GMNNCalculator(model, precision="float64")
    for moved in (0.0, 0.4):  # further than the lists hold
        positions = crystal.positions + moved * np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]])
        crystal.positions = positions
        crystal.calc = ase_s
        energy, forces = surface.surface(positions)
        assert energy == pytest.approx(crystal.get_potential_energy(), abs=1e-9)
        assert forces == pytest.approx(crystal.get_forces(), abs=1e-9)
    free = ModelSurface(model, Atoms(crystal.symbols, crystal.positions)).surface(crystal.positions)
    assert abs(free[0] - energy) > 1e-3


def test_a_crystal_s_modes_leave_out_what_moves_all_of_it() -> None:
    hessian = np.kron(np.array([[1.0, -1], [-1, 1]]), np.diag([1.0, 2, 3]))
    places = [[0, 0, 0], [0, 0, 1.5]]
    free, periodic = (normal_modes(hessian, places, [12.0, 12.0], periodic=p) for p in (False, True))
    assert len(free.wavenumbers_cm1) == 1, "two atoms: one vibration"
    squares = periodic.wavenumbers_cm1**2 / free.wavenumbers_cm1[0] ** 2
    assert squares == pytest.approx([1 / 3, 2 / 3, 1.0])


class Springs:
    """A committee of harmonic wells whose members differ in stiffness; the last one has no minimum."""

    stiffness = (1.0, 1.21, 0.81, None)

    def __init__(self, atoms: Atoms) -> None:
        random = np.random.default_rng(4).normal(size=(9, 9))
        self.rest, self.hessian = atoms.positions.copy(), 8 * random @ random.T + 5 * np.eye(9)

    def factor(self, member: int | None) -> float:
        chosen = 1.0 if member is None else self.stiffness[member]
        if chosen is None:
            raise UserError("no minimum here")
        return chosen

    def surface(self, positions: np.ndarray, member: int | None = None) -> tuple[float, np.ndarray]:
        slope = self.factor(member) * self.hessian @ (positions - self.rest).ravel()
        return float(0.5 * slope @ (positions - self.rest).ravel()), -slope.reshape(-1, 3)

    def curvature(self, positions: np.ndarray, member: int | None = None) -> tuple[np.ndarray, None]:
        return self.factor(member) * self.hessian, None


def test_members_disagreement_is_the_error_of_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    water = molecule("H2O")
    water.positions -= water.get_center_of_mass()
    monkeypatch.setattr(harmonic, "ModelSurface", lambda model, atoms: Springs(water))
    found = modes_of(SimpleNamespace(n_members=4), water, "water")  # type: ignore[arg-type]
    # Wavenumbers go with the root of the stiffness: 1, 1.1 and 0.9 of the mean's.
    assert found.spread_cm1 == pytest.approx(0.1 * found.minimum.modes.wavenumbers_cm1, rel=1e-5)
    assert found.n_without_minimum == 1
    monkeypatch.setattr(Springs, "stiffness", (None, 1.0))
    alone = modes_of(SimpleNamespace(n_members=2), water, "water")  # type: ignore[arg-type]
    assert np.isnan(alone.spread_cm1).all(), "one member alone has no spread"
    assert alone.n_without_minimum == 1


def test_hessian_of_other_atoms_is_refused() -> None:
    with pytest.raises(UserError, match=r"shape \(6, 6\) for 3 atoms; \(9, 9\)"):
        normal_modes(np.eye(6), np.eye(3), np.ones(3))
