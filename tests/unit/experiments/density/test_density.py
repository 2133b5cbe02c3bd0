"""Densities: what symmetry asks of the model, exact moments, what is refused, and a small campaign."""

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io.cube import read_cube

pytest.importorskip("featomic")
pytest.importorskip("pyscf")

import kept
from frazil.errors import UserError
from frazil.experiments.density.auxiliary import Auxiliary, held, layout, moments
from frazil.experiments.density.equivariants import Features, couplings
from frazil.experiments.density.figures import plane_of, values_at
from frazil.experiments.density.labels import DEBYE, fitted
from frazil.experiments.density.measures import FieldStep, Judge, Part, potential_of, surface_of
from frazil.experiments.density.model import (
    Labelled,
    Model,
    Predicted,
    Trainer,
    _blocks,
    _Known,
    _normal,
    _solved,
)
from frazil.experiments.density.results import Case, calibration, error_of, errors
from frazil.experiments.density.settings import Density
from frazil.experiments.density.subject import division_of, frames_of
from frazil.settings import load as load_settings
from frazil.systems.molecules import random_rotation
from shards import run_in_shards

BASIS, LEVEL = Auxiliary("def2-universal-jfit"), "pbe/def2-svp"
SMALL: dict[str, Any] = {
    "auxiliary": BASIS.name, "n_trajectories": 12, "n_large": 1, "n_test": 3, "n_validation": 2,
    "n_train": [3, 6], "n_environments": 5, "n_members": 4, "n_steps": 2, "n_cubes": 1,
}  # fmt: skip


def water(number: int) -> Atoms:
    """Return a distorted, turned molecule."""
    random = np.random.default_rng(number)
    atoms = molecule("H2O")
    atoms.positions += 0.05 * random.normal(size=(3, 3))
    atoms.positions = atoms.positions @ random_rotation(random).T
    return atoms


def moved(atoms: Atoms, by_A: list[float]) -> Atoms:
    """Return a frame moved."""
    atoms.translate(by_A)
    return atoms


@cache
def made_up() -> tuple[list[Labelled], list[Labelled]]:
    """Return frames with labels of a density and of a response that are made up, and turn with the frame."""
    made: list[list[Labelled]] = [[], []]
    for n_fields, frames in zip((1, 3), made, strict=True):
        for number in range(6):
            atoms = water(number)
            functions = BASIS.molecule(atoms)
            bent = atoms.positions[1] + atoms.positions[2] - 2 * atoms.positions[0]
            normal = np.cross(
                atoms.positions[1] - atoms.positions[0], atoms.positions[2] - atoms.positions[0]
            )
            coefficients = np.zeros((functions.nao, n_fields))
            for (atom, degree), rows in layout(functions).items():
                if degree == 1:
                    vector = bent if n_fields == 1 else np.outer(bent, bent) + np.outer(normal, normal)
                    for own in rows:  # y, z, x
                        coefficients[own] = np.reshape(vector, (3, -1))[[1, 2, 0]] * (1 + atom)
                elif degree == 0 and n_fields == 1:
                    coefficients[rows[:, 0], 0] = 0.3 + 0.1 * np.linalg.norm(bent)
            frames.append(Labelled(atoms, coefficients))
    return made[0], made[1]


@cache
def models() -> tuple[Model, Model]:
    """Return models of these."""
    made = []
    for frames in made_up():
        trainer = Trainer(BASIS, LEVEL, 4, 2, Features(max_angular=3, max_radial=3))
        made.append(trainer.train(frames[:5], frames[5:], 1))
    return made[0], made[1]


@pytest.mark.parametrize("improper", [1, -1])
def test_a_prediction_turns_with_its_frame_and_is_reflected_with_it(improper: int) -> None:
    turn = improper * random_rotation(np.random.default_rng(5))
    atoms = water(20) + moved(water(21), [2.9, 0.4, 0.3])
    other = Atoms(atoms.numbers, atoms.positions @ turn.T + [0.3, -1.0, 0.7])
    points = atoms.positions.repeat(4, axis=0) + np.random.default_rng(1).normal(size=(4 * len(atoms), 3))
    for model in models():
        before, after = model.predict([atoms])[0], model.predict([other])[0]
        values = []
        for frame, found, places in (
            (atoms, before, points), (other, after, points @ turn.T + [0.3, -1.0, 0.7]),
        ):  # fmt: skip
            n = BASIS.molecule(frame).nao
            judge = Judge(frame, BASIS, np.zeros(n), None)
            values.append(
                np.array([[values_at(judge, own, places) for own in one.T] for one in found.coefficients])
            )
        first = np.einsum("xy,kyp->kxp", turn, values[0]) if model.n_fields == 3 else values[0]
        assert np.abs(values[0]).max() > 0.05
        assert values[1] == pytest.approx(first, abs=1e-8)


def test_a_model_comes_back_from_its_folder(tmp_path: Path) -> None:
    for model in models():
        model.save(tmp_path / "model")
        again = Model.load(tmp_path / "model")
        for mine, its in zip(model.predict([water(9)]), again.predict([water(9)]), strict=True):
            assert np.array_equal(mine.coefficients, its.coefficients)
        assert (again.level, again.auxiliary, again.n_members) == (LEVEL, BASIS, 2)
    (tmp_path / "model/model.npz").write_bytes(b"x")
    with pytest.raises(UserError, match="damaged"):
        Model.load(tmp_path / "model")


def test_a_model_refuses_what_it_does_not_know() -> None:
    model, _ = models()
    with pytest.raises(UserError, match="no environments; it knows H, O"):
        model.predict([molecule("CO")])
    charged = water(0)
    charged.info["charge"] = 1
    with pytest.raises(UserError, match="has charge 1"):
        model.predict([charged])
    with pytest.raises(UserError, match="labels of one auxiliary basis"):
        Trainer(Auxiliary("def2-universal-jkfit"), LEVEL, 4, 0, Features()).train(
            [Labelled(water(0), np.zeros((71, 1)))], [], 1
        )


def test_a_kernel_is_the_power_of_the_invariants_and_diffuse_functions_go_on_below() -> None:
    found = Features(max_angular=3, max_radial=3).of([water(0), water(1)], [(1, 1)])
    p, rows = found.invariant(1), np.arange(4)
    assert np.linalg.norm(p, axis=1) == pytest.approx(np.ones(4))
    for zeta in (1, 2, 3):
        assert found.kernel((1, 0, 1), rows, rows, zeta)[:, 0, :, 0] == pytest.approx((p @ p.T) ** zeta)
        vector = found.kernel((1, 1, 1), rows, rows, zeta)
        assert vector == pytest.approx(
            found.kernel((1, 1, 1), rows, rows, 1) * ((p @ p.T) ** (zeta - 1))[:, None, :, None]
        )
    least = {
        n: [min(f.bas_exp(s).min() for s in range(f.nbas) if f.bas_angular(s) == degree) for degree in (0, 1)]
        for n in (0, 2)
        for f in [Auxiliary(BASIS.name, n).molecule(Atoms("H2", [[0, 0, 0], [0, 0, 1]]))]
    }
    assert least[2] == pytest.approx(np.array(least[0]) / 2.5**2)


def test_weights_leave_the_least_error_in_the_overlap_metric_and_count_frames_as_often_as_drawn() -> None:
    random = np.random.default_rng(0)
    for frames, model in zip(made_up(), models(), strict=True):
        blocks = _blocks(model.elements, model.n_fields, model.sparse)
        seen = model.sparse.seen([one.atoms for one in frames])
        known = [  # labels that no weights can give
            _Known.of(Labelled(one.atoms, random.normal(size=one.coefficients.shape)), BASIS, blocks, own)
            for one, own in zip(frames, seen, strict=True)
        ]
        drawn = [known[0], known[0], *known[2:]]
        twice = _normal(known, np.array([2, 0, 1, 1, 1, 1]))
        for counted, written in zip(twice, _normal(drawn, np.ones(6)), strict=True):
            assert counted == pytest.approx(written, abs=1e-9)
        square, right, means = twice
        weights = _solved(square, right, 1e-12)
        assert weights is not None

        def error(own: np.ndarray, drawn: Any = drawn, means: Any = means) -> float:
            return float(sum(one.error(own, means) for one in drawn))

        for _ in range(3):
            step = 1e-2 * np.linalg.norm(weights) * random.normal(size=len(weights)) / np.sqrt(len(weights))
            up, down = error(weights + step), error(weights - step)
            assert abs(up - down) < 1e-3 * (up + down - 2 * error(weights))
        assert np.abs(model.weights[1] - model.weights[2]).max() > 1e-6, "members are of different draws"


def test_couplings_of_a_vector_field_are_orthonormal_and_parity_is_right() -> None:
    for degree in range(5):
        found = couplings(degree, 3)
        square = np.concatenate([C.reshape(-1, 2 * L + 1) for L, _, C in found], axis=1)
        assert square.T @ square == pytest.approx(np.eye(3 * (2 * degree + 1)), abs=1e-12)
        assert all(sigma == (1 if degree != L else -1) for L, sigma, _ in found)


def test_moments_and_potentials_of_functions_are_their_integrals() -> None:
    atoms = water(1)
    functions = Auxiliary("def2-universal-jfit", 1).molecule(atoms)
    from pyscf import dft

    grid = dft.gen_grid.Grids(functions)
    grid.level = 4
    grid.build()
    values = dft.numint.eval_ao(functions, grid.coords)
    charges, dipoles = moments(functions)
    assert charges == pytest.approx(grid.weights @ values, abs=3e-4)
    assert dipoles == pytest.approx(np.einsum("g,gn,gx->nx", grid.weights, values, grid.coords), abs=3e-4)
    away_bohr = 800.0
    far_A = away_bohr * 0.52917721 * np.array([[0.0, 0.0, 1.0]])
    expanded = charges / away_bohr + dipoles[:, 2] / away_bohr**2
    assert potential_of(functions, far_A)[:, 0] == pytest.approx(expanded, abs=1e-5)
    points = surface_of(atoms)
    assert 80 < len(points) < 240
    assert np.linalg.norm(points[:, None] - atoms.positions, axis=-1).min() > 1.4 * 1.1


def test_held_moments_are_held_by_the_smallest_change() -> None:
    random = np.random.default_rng(0)
    root = random.normal(size=(9, 9))
    coulomb, integrals = root @ root.T + np.eye(9), random.normal(size=(9, 2))
    raw, wanted = random.normal(size=(3, 9)), random.normal(size=(3, 2))
    kept = held(raw, coulomb, integrals, wanted)
    assert kept @ integrals == pytest.approx(wanted)
    free = random.normal(size=9)
    free -= integrals @ np.linalg.lstsq(integrals, free, rcond=None)[0]  # changes no moment
    assert (kept - raw) @ coulomb @ free == pytest.approx(0, abs=1e-9)


def test_a_label_has_the_moments_of_its_density_and_a_step_from_it_nearly_converges() -> None:
    atoms = water(2)
    label = fitted(atoms, LEVEL, BASIS, response=True)
    judge = Judge(atoms, BASIS, label.coefficients[:, 0], label.coefficients[:, 1:])
    assert judge.dipole_D(judge.density) == pytest.approx(DEBYE * label.dipole_au, abs=1e-8)
    assert judge.polarizabilities(label.coefficients[None, :, 1:])[0] == pytest.approx(
        label.polarizability_au, abs=1e-8
    )
    assert label.errors["density_fit_percent"] < 3
    assert label.errors["polarizability_fit_A3"] < 0.03
    from frazil.labels.electronic_structure import single_point

    point = single_point(atoms, LEVEL, polarizability=True)
    assert point.polarizability_A3 is not None
    assert label.polarizability_au * 0.529177**3 == pytest.approx(point.polarizability_A3, abs=3e-3)
    assert label.energy_eV == pytest.approx(point.energy_eV, abs=1e-6)
    from pyscf import dft, scf

    from frazil.labels.electronic_structure import converged

    field, _ = converged(atoms, LEVEL)
    exact, own = field.make_rdm1(), label.coefficients[:, 0]
    points, weights = field.grids.coords, field.grids.weights
    density = dft.numint.eval_rho(field.mol, dft.numint.eval_ao(field.mol, points), exact)
    missed = weights @ np.abs(density - dft.numint.eval_ao(judge.functions, points) @ own)
    assert label.errors["density_fit_percent"] == pytest.approx(100 * missed / 10, rel=0.02)
    hartree = 0.5 * np.einsum("pq,pq", scf.hf.get_jk(field.mol, exact)[0], exact)
    missed = 27211.386 * (0.5 * own @ judge.functions.intor("int2c2e") @ own - hartree)
    assert label.errors["hartree_fit_meV"] == pytest.approx(missed, abs=0.2)
    step = FieldStep(atoms, LEVEL, judge.functions)
    (ended,) = step.from_coefficients(label.coefficients[:, :1].T)
    assert 0 <= 1e3 * (step.energy_eV(ended) - label.energy_eV) / 3 < 5
    assert 1e3 * (step.energy_eV(step.from_atoms()) - label.energy_eV) / 3 > 50
    assert 2 <= step.cycles(ended) < label.n_cycles + 1
    step.field.max_cycle = 1
    assert np.isnan(step.cycles(step.from_atoms()))


def test_errors_are_in_their_units() -> None:
    atoms, too_much = water(3), 0.02
    functions = BASIS.molecule(atoms)
    charges, dipoles = moments(functions)
    density = np.zeros(functions.nao)
    for (_, degree), rows in layout(functions).items():
        if degree == 0:
            density[rows[:, 0]] = 1.0
    density *= 10 / (charges @ density)
    response = np.random.default_rng(0).normal(size=(functions.nao, 3))
    judge = Judge(atoms, BASIS, density, response)
    more = Predicted((1 + too_much) * density[None, :, None], np.array([[10.5]]))
    parts = judge.of_density(more, np.zeros(len(density)))
    parts |= judge.of_response(
        Predicted((1 + too_much) * response[None], np.zeros((1, 3))), np.zeros((len(density), 3))
    )
    from pyscf import dft

    grid = dft.gen_grid.Grids(functions)
    grid.build()
    electrons = grid.weights * (dft.numint.eval_ao(functions, grid.coords) @ density)
    bohr_A, hartree_meV = 0.52917721, 27211.386
    away = np.linalg.norm(surface_of(atoms)[:, None] / bohr_A - grid.coords, axis=-1)
    repulsion = 0.5 * density @ functions.intor("int2c2e") @ density
    wanted = {
        "variance": 100 * too_much, "density": 100 * too_much, "charge": 0.5,
        "dipole": too_much * np.linalg.norm(2.541746 * density @ dipoles),
        "Hartree energy": hartree_meV * ((1 + too_much) ** 2 - 1) * repulsion / 3,
        "potential": hartree_meV * too_much * np.sqrt((((1 / away) @ electrons) ** 2).mean()),
        "response variance": 100 * too_much,
        "polarizability": too_much * bohr_A**3 * np.linalg.norm(dipoles.T @ response),
    }  # fmt: skip
    found = errors({(1, "test", name): {0: part} for name, part in parts.items()})
    assert dict(zip(found["quantity"], found["value"], strict=True)) == pytest.approx(wanted, rel=2e-3)


def test_a_map_lies_in_the_plane_of_its_molecule() -> None:
    atoms = water(6)
    points, x, y, inside = plane_of(atoms)
    oxygen, one, other = atoms.positions
    normal = np.cross(one - oxygen, other - oxygen)
    assert (points - oxygen) @ normal == pytest.approx(np.zeros(len(points)), abs=1e-12)
    drawn = points.reshape(len(y), len(x), 3)
    for place, position in zip(inside, atoms.positions, strict=True):
        nearest = drawn[np.abs(y - place[1]).argmin(), np.abs(x - place[0]).argmin()]
        assert np.linalg.norm(nearest - position) < x[1] - x[0]


def test_a_truth_that_is_one_more_member_calibrates_its_committee() -> None:
    random = np.random.default_rng(4)
    cases = []
    for number in range(400):
        values = random.normal() + 0.3 * random.normal(size=(9, 3))
        judge: Any = SimpleNamespace(density=values[0], response=None, dipole_D=lambda own: own)
        members = Predicted(np.concatenate([values[:1], values[1:]])[:, :, None], np.zeros((9, 1)))
        cases.append(Case(number, "test", judge, {7: (members, None)}))
    (row,) = calibration(cases, 7).to_dict("records")
    assert row["calibration"] == pytest.approx(1, abs=0.08)
    assert row["spread_rms"] == pytest.approx(0.3, rel=0.05)
    assert row["error_rms"] == pytest.approx(0.3 * np.sqrt(1 + 1 / 8), rel=0.08)


def test_errors_of_frames_have_both_parts() -> None:
    random = np.random.default_rng(3)
    values = 1 + 0.1 * random.normal(size=(4000, 1)) + 0.05 * random.normal(size=(1, 9))
    found = error_of([Part(row**2) for row in values], is_root=True)
    assert found.value == pytest.approx(np.sqrt((values[:, 0] ** 2).mean()))
    assert found.high_95 - found.value == pytest.approx(1.96 * 0.1 / np.sqrt(4000), rel=0.1)
    members = np.sqrt((values[:, 1:] ** 2).mean(axis=0))
    assert found.model_std == pytest.approx(members.std(ddof=1), rel=0.02)
    ratio = error_of([Part(row**2, scale=4.0) for row in values], is_root=True)
    assert ratio.value == pytest.approx(found.value / 2)
    one = error_of([Part(np.array([4.0]))], is_root=True)
    assert one.value == 2
    assert np.isnan(one.high_95)
    assert np.isnan(one.model_std)


def frames_file(folder: Path, *changed: Atoms) -> Path:
    """Write eleven molecules and two of them together, in place of the first ones what is given."""
    pair = water(30) + moved(water(31), [0, 0.3, 2.9])
    frames = [*changed, *(water(number) for number in range(len(changed), 11)), pair]
    for atoms in frames:
        atoms.calc = None
    from ase.io import write

    write(folder / "frames.extxyz", frames, format="extxyz")
    return folder / "frames.extxyz"


def test_bad_frames_are_refused_before_any_label(tmp_path: Path) -> None:
    def refused(match: str, *changed: Atoms, **values: Any) -> None:
        own = load_settings(Density, SMALL | {"frames": str(frames_file(tmp_path, *changed))} | values)
        with pytest.raises(UserError, match=match):
            frames_of(own, 3)

    charged, other, odd = water(0), water(0), Atoms("OH", [[0, 0, 0], [0, 0, 1]])
    charged.info["charge"] = -1
    other.info["label_level"] = "pbe0/def2-tzvp"
    refused("frame 0 of .* has charge -1", charged)
    refused("is of the basis def2-tzvp, densities are fitted at pbe/def2-svp", other)
    refused("odd number of electrons", odd)
    triplet, iodine, iron = water(0), molecule("H2O"), Atoms("FeC", [[0, 0, 0], [0, 0, 1.6]])
    triplet.info["multiplicity"] = 3
    iodine.numbers[:] = [53, 1, 1]
    iodine = iodine[:2]
    refused("frame 0 of .* has an open shell", triplet)
    refused("describes elements up to Kr, not I", *([iodine] * 8), n_environments=2)
    refused("no van der Waals radius of Fe is known", *([iron] * 8), n_environments=2)
    partial = water(0)
    partial.set_initial_charges([-1.1128, 0.5564, 0.5564 + 1e-12])
    frames_of(load_settings(Density, SMALL | {"frames": str(frames_file(tmp_path, partial))}), 3)
    refused("environments of O in 6 training frames, asked for are 7", n_environments=7)
    refused("has 12 frames, asked for are 13", n_trajectories=13)
    of_test = division_of(load_settings(Density, SMALL), 3).test[0]
    others = [molecule("CO") if number == of_test else water(number) for number in range(11)]
    refused("of which the 3 frames of the smallest training set have no environment", *others)
    with pytest.raises(UserError, match="allowed: at most 6"):
        load_settings(Density, SMALL | {"n_train": [3, 7]})
    with pytest.raises(UserError, match="rising"):
        load_settings(Density, SMALL | {"n_train": [6, 3]})
    with pytest.raises(UserError, match="no functions of Xe"):
        Auxiliary("cc-pvdz-jkfit").molecule(Atoms("Xe"))


def test_a_small_campaign_learns_and_says_how_well(tmp_path: Path) -> None:
    out = run_in_shards("density", tmp_path, SMALL | {"frames": str(frames_file(tmp_path))}, (7, 5))
    table = pandas.read_csv(out / "errors.csv").set_index(["n_train", "subset", "quantity"])
    variance = table["value"].xs("variance", level="quantity")
    assert variance[6, "test"] < variance[3, "test"] < 100
    assert table.loc[(6, "test", "density"), "n_frames"] == 3
    assert table["model_std"].xs("test", level="subset").notna().all()
    assert (6, "large", "polarizability") not in table.index
    steps = pandas.read_csv(out / "steps.csv").groupby(["subset", "start"])["energy_error_meV_per_atom"].max()
    assert steps["test", "fitted"] < 5 < 50 < steps["test", "atoms"]
    assert steps["test", "predicted"] < steps["test", "atoms"]
    assert len(pandas.read_csv(out / "calibration.csv")) == 2
    model = Model.load(out / "model/density")
    (file,) = (out / "cubes").glob("density_*.cube")
    with file.open() as opened:
        cube = read_cube(opened)
    atoms, places = Atoms(cube["atoms"].numbers, cube["atoms"].positions), np.array([[9, 8, 7], [12, 13, 11]])
    own = model.predict([atoms])[0].coefficients[0, :, 0]
    drawn = values_at(Judge(atoms, BASIS, own, None), own, cube["origin"] + 0.2 * places)
    assert cube["data"][tuple(places.T)] == pytest.approx(drawn, rel=1e-3)
    by_map = pandas.read_csv(out / "density_differences.csv")
    by_map = by_map[by_map["trajectory_id"] == int(file.stem.split("_")[1])]
    on_map = values_at(Judge(atoms, BASIS, own, None), own, plane_of(atoms)[0]) / 0.52917721**3
    summed = by_map["density_e_per_A3"] + by_map["error_e_per_A3"]
    assert summed.to_numpy() == pytest.approx(on_map, rel=1e-2, abs=1e-4)
    by_frame = pandas.read_csv(out / "frame_errors.csv").groupby(["n_train", "subset", "quantity"])["value"]
    for key, values in by_frame:
        mean = values.mean() if key[2] == "density" else np.sqrt((values**2).mean())
        assert table.loc[key, "value"] == pytest.approx(mean)
    assert model.auxiliary == BASIS
    section = json.loads((out / "section.json").read_text())
    assert {figure["file"] for figure in section["figures"]} == {
        "learning_curves.svg", "field_steps.svg", "density_differences.svg",
    }  # fmt: skip
    assert "6 frames" in section["headline"]
    kept.check(out, "density", rel=1e-3)
