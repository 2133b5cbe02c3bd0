"""What the registry loads, what it checks, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import CalculationFailed
from ase.calculators.lj import LennardJones as AseLennardJones

import frazil
from frazil.errors import UserError
from frazil.files import sha256_of
from frazil.md.ensemble import Ensemble
from frazil.md.integrators import VelocityVerlet
from frazil.md.observers import energies, potential_info
from frazil.md.trajectory import Outcome
from frazil.potentials.analytic.simple import LennardJones
from frazil.potentials.gmnn import committee
from frazil.potentials.gmnn.architecture import Architecture, initialize_committee
from frazil.potentials.gmnn.committee import checked_on, write_folder
from frazil.potentials.gmnn.files import write_model
from frazil.potentials.interface import Potential
from frazil.potentials.registry import load
from frazil.potentials.transform import InField, mixture_of

CO = Atoms("CO" * 2, positions=[[0, 0, 0], [0, 0.3, 1.1], [3.1, 0, 0.4], [3, 1.1, 0]])
ARCHITECTURE = Architecture(("C", "O"), cutoff_A=4.0, n_basis=3, n_radial=1, hidden=(4,))
METADATA = {"label_level": "test", "training_data_sha256": ""}
FIELD = {"kind": "van-hemert", "coupling_eV": 2.0}


@pytest.fixture
def gmnn(tmp_path: Path) -> Path:
    write_folder(tmp_path / "gmnn", ARCHITECTURE, initialize_committee(ARCHITECTURE, 3, 2), METADATA)
    return tmp_path / "gmnn"


def at(potential: Potential, positions: np.ndarray, observe: Any = energies) -> dict[str, np.ndarray]:
    """Return what is seen of a structure at rest."""
    ensemble = Ensemble(
        potential, VelocityVerlet(0.1), np.ones(len(positions)), 0, 1, observers=(observe,), width=1
    )
    (found,) = ensemble.run(positions[None], np.zeros((1, *positions.shape)))
    return {name: rows[0] for name, rows in found.rows.items()}


def test_a_folder_says_what_it_is(gmnn: Path, tiny_residual: Path) -> None:
    found = json.loads((gmnn / "model.json").read_text())
    assert found == {
        "format": "frazil-potential", "format_version": 1, "kind": "gmnn", "members": 2,
        "elements": ["C", "O"], "cutoff_A": 4.0, "level": "test", "residual": None,
        "frazil": frazil.__version__, "checked_on": checked_on(),
        "files": {"model.h5": sha256_of(gmnn / "model.h5")},
    }  # fmt: skip
    found = json.loads((tiny_residual / "model.json").read_text())
    assert {**found, "kind": "deepmd", "members": 1, "residual": "bonds", "level": "pair"} == found
    assert sorted(found["files"]) == ["bond.table", "without_bonds.network", "without_bonds_frozen.network"]
    source = load(gmnn)
    assert (source.kind, source.level, source.n_members) == ("gmnn", "test", 2)
    assert source.digest == load(gmnn / "model.h5").digest


def test_a_damaged_folder_is_refused_by_name(gmnn: Path) -> None:
    whole = (gmnn / "model.h5").read_bytes()
    (gmnn / "model.h5").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(
        UserError, match=r"gmnn/model\.h5 is damaged: it is not the file that model\.json says"
    ):
        load(gmnn)
    (gmnn / "model.h5").unlink()
    with pytest.raises(UserError, match=r"gmnn has no model\.h5, which its model\.json names"):
        load(gmnn)
    (gmnn / "model.json").write_text("{")
    with pytest.raises(UserError, match=r"model\.json is damaged"):
        load(gmnn)
    (gmnn / "model.json").unlink()
    with pytest.raises(UserError, match=r"gmnn holds no model; give a folder that training wrote"):
        load(gmnn)


def test_folders_of_before_still_load(tmp_path: Path, tiny_model: Path) -> None:
    write_model(tmp_path / "model.h5", ARCHITECTURE, initialize_committee(ARCHITECTURE, 3, 1), METADATA)
    assert load(tmp_path).kind == "gmnn"
    old = shutil.copytree(tiny_model, tmp_path / "old")
    (old / "model.json").write_text('{"model_id": 0, "kind": "deepmd", "type_map": ["C", "O", "X1", "X2"]}')
    assert load(old, engine="lammps").level == "not stated"


def test_a_committee_is_checked_when_it_is_loaded(gmnn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = committee.Committee.lanes
    monkeypatch.setattr(committee.Committee, "lanes", lambda *a: (right(*a)[0], 1.001 * right(*a)[1]))
    with pytest.raises(RuntimeError, match="batched and single forces differ"):
        write_folder(gmnn, ARCHITECTURE, initialize_committee(ARCHITECTURE, 3, 2), METADATA)
    assert load(gmnn).n_members == 2, "checked on this very machine when it was written"
    description = json.loads((gmnn / "model.json").read_text())
    for other in (description["checked_on"] | {"jax": "0.1"}, None):
        (gmnn / "model.json").write_text(json.dumps(description | {"checked_on": other}))
        with pytest.raises(RuntimeError, match="batched and single forces differ"):
            load(gmnn)


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("nothing", {}, r"no potential nothing; give a model folder .* or one of van-hemert"),
        ("van-hemert", {}, "van-hemert with no parameters; it takes coupling_eV"),
        ("morse", {"depth_eV": 1.0, "width": 2}, "morse with depth_eV, width; it takes depth_eV, "),
        ("van-hemert", {"coupling_eV": 2.0, "engine": "lammps"}, "of kind van-hemert; LAMMPS runs"),
        ("van-hemert", {"coupling_eV": 2.0, "engine": "gulp"}, "engine 'gulp'; allowed are jax, lammps"),
        ("ase:no.such.thing", {}, "ase:no.such.thing: No module named 'no'; give ase:MODULE.FUNCTION"),
        (3.14, {}, "a potential that is a float; give a folder, a name or an ASE calculator"),
        ({"kind": "product"}, {}, "a potential of kind 'product'; allowed are sum"),
        ({"kind": "mixture", "parts": [FIELD]}, {}, "a mixture of 1 parts with nothing else; needed"),
    ],
)  # fmt: skip
def test_what_is_no_potential(what: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(what, **options)


def test_atoms_that_a_potential_is_not_made_for(tiny_model: Path, gmnn: Path) -> None:
    field = load(FIELD)
    with pytest.raises(UserError, match="must be ordered C, O, C, O"):
        field.potential(Atoms("OC"))
    with pytest.raises(UserError, match="run those of other elements or cells apart"):
        field.potential([Atoms("CO"), Atoms("COCO")])
    with pytest.raises(UserError, match=r"members \[2\] of a committee of 2"):
        load(gmnn).potential(CO, 2)
    with pytest.raises(UserError, match=r"atoms of H for .*frozen\.pb, which knows C O X1 X2"):
        load(tiny_model).potential(Atoms("COHH"))
    fixed = CO.copy()
    fixed.set_array("fixed", np.array([1, 1, 0, 0], bool))
    with pytest.raises(UserError, match="fixed molecules before others"):
        load("h2-co-analytic").potential(fixed)
    with pytest.raises(UserError, match="2 weights of 3 parts"):
        load({"kind": "mixture", "weights": [1, 2], "parts": [FIELD] * 3}).potential(CO)
    with pytest.raises(UserError, match="has no dipole; take a potential that has one"):
        at(InField(field.potential(CO), np.ones(3)), CO.positions)
    with pytest.raises(UserError, match="called back and cannot be differentiated"):
        at(InField(load("gfn2-xtb").potential(CO), np.ones(3)), CO.positions)


class Fails(AseLennardJones):
    """Fails where the first atom is at x > 1, as a calculation that does not converge."""

    def calculate(self, atoms: Any = None, *arguments: Any) -> None:
        super().calculate(atoms, *arguments)
        if atoms.positions[0, 0] > 1:
            raise CalculationFailed


def test_a_calculator_that_fails_ends_its_replica_alone() -> None:
    settings = {"sigma": 1.4, "epsilon": 0.01, "rc": 50.0}
    starts = CO.positions + np.array([0.0, 2.0])[:, None, None]
    run = {
        "integrator": VelocityVerlet(1.0),
        "masses_amu": CO.get_masses(),
        "n_steps": 20,
        "observe_every": 20,
    }
    ensemble = Ensemble(load(Fails(**settings)).potential(CO), **run, width=2)
    found = sorted(ensemble.run(starts, np.zeros_like(starts)), key=lambda t: t.trajectory_id)
    assert [t.outcome for t in found] == [Outcome.FINISHED, Outcome.NON_FINITE]
    (known,) = Ensemble(LennardJones(0.01, 1.4), **run, width=1).run(starts[:1], np.zeros((1, 4, 3)))
    np.testing.assert_allclose(found[0].rows["energy"], known.rows["energy"], atol=1e-8)


def test_a_mixture_says_its_parts() -> None:
    ends = [load(FIELD).potential(CO), load("harmonic", stiffness_eV_per_A2=50.0, length_A=1.1).potential(CO)]
    own = [at(part, CO.positions)["energy"] for part in ends]
    for share in (0.0, 0.3, 1.0):
        mixed = mixture_of(ends, (1 - share, share))
        assert at(mixed, CO.positions, potential_info)["part_energies_eV"] == pytest.approx(own, abs=1e-12)
        assert at(mixed, CO.positions)["energy"] == pytest.approx(
            (1 - share) * own[0] + share * own[1], abs=1e-12
        )
