"""What an adsorbate adds to the energy, by a network of its own: labels, laws, a training, bad input."""

import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.interpolate import CubicHermiteSpline

from frazil.data.frames import write_frames
from frazil.errors import UserError
from frazil.learning import gmnn
from frazil.learning.adsorbate import Share, frames_of_surface, shares_of, tail_of, without_tail
from frazil.learning.settings import AdsorbateTraining, GmnnArchitecture, GmnnTraining
from frazil.potentials.adsorption import TAIL, committee_of, n_below
from frazil.potentials.calculator import PotentialCalculator
from frazil.potentials.dispersion import Dispersion
from frazil.potentials.gmnn import reference
from frazil.potentials.gmnn.architecture import Architecture, fold, initialize
from frazil.potentials.gmnn.committee import Committee, neighbours_of, write_folder
from frazil.potentials.gmnn.files import Model, read_model
from frazil.potentials.gmnn.surface import ModelSurface
from frazil.potentials.molecular import write_curves
from frazil.potentials.registry import load
from frazil.potentials.surface import members_of


def frame(n_co: int, seed: int, h2: bool = True, pair: str = "") -> Atoms:
    """CO molecules about an H2, labelled by walls between atoms of different molecules."""
    generator = np.random.default_rng(seed)
    places = [np.zeros(3)]
    while len(places) < n_co + 1:
        place = generator.uniform(-5, 5, 3)
        if min(np.linalg.norm(place - other) for other in places) > 2.6:
            places.append(place)
    ends = generator.standard_normal((n_co + 1, 3))
    ends *= np.array([0.74] + [1.13] * n_co)[:, None] / np.linalg.norm(ends, axis=1)[:, None]
    positions = np.concatenate([np.stack([places[k], places[k] + ends[k]]) for k in [*range(1, n_co + 1), 0]])
    atoms = Atoms("CO" * n_co + "H2", positions=positions)
    if not h2:
        del atoms[-2:]
    energy, forces = 0.0, np.zeros((len(atoms), 3))
    for i in range(len(atoms)):
        for j in range(i):
            if i // 2 != j // 2:
                apart = atoms.positions[i] - atoms.positions[j]
                distance = np.linalg.norm(apart)
                wall = np.exp(-(distance - 2.5) / 0.7) * 0.05
                energy += wall
                forces[i] += wall / 0.7 * apart / distance
                forces[j] -= wall / 0.7 * apart / distance
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    atoms.info = {"label_level": "made-up interaction", **({"pair": pair} if pair else {})}
    return atoms


def test_a_share_is_known_of_a_pair_and_of_what_is_alone() -> None:
    whole, bare, lone = frame(3, 1, pair="a"), frame(3, 1, h2=False, pair="a"), frame(4, 2)
    first, paired, unpaired = shares_of([bare, whole, lone], ["H"], interactions=True)
    assert first.energy_eV == 0.0, "H2 alone has no interactions"
    assert len(first.numbers) == 2
    assert paired.energy_eV == pytest.approx(whole.get_potential_energy() - bare.get_potential_energy())
    assert paired.numbers[:2].tolist() == [1, 1]
    assert paired.n_own == 2
    np.testing.assert_allclose(paired.forces_eV_per_A.sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(
        paired.forces_eV_per_A[2:], whole.get_forces()[:-2] - bare.get_forces(), atol=1e-12
    )
    assert unpaired.energy_eV is None
    np.testing.assert_array_equal(unpaired.forces_eV_per_A[:2], lone.get_forces()[-2:])


def test_one_frame_without_it_serves_all_places_of_the_adsorbate() -> None:
    """Its atoms tell which it is; no name has to join them."""
    whole, bare = frame(3, 1), frame(3, 1, h2=False)
    moved = whole.copy()
    moved.positions[-2:] += 0.3
    moved.calc = SinglePointCalculator(moved, energy=0.2, forces=whole.get_forces())
    other = bare.copy()
    other.positions[0] += 1e-5
    other.calc = SinglePointCalculator(other, energy=9.0, forces=bare.get_forces())
    shares = shares_of([whole, bare, moved, other], ["H"], interactions=False)
    wanted = [float(atoms.get_potential_energy() - bare.get_potential_energy()) for atoms in (whole, moved)]
    assert [share.energy_eV for share in shares] == pytest.approx(wanted)


def test_a_surface_learns_from_frames_without_the_adsorbate_or_those_that_no_label_replaces() -> None:
    bare, with_it = frame(3, 1, h2=False), frame(3, 1, h2=True)
    alone, twinless, other = with_it[-2:], frame(4, 2, h2=True), frame(5, 3, h2=True)
    alone.calc = SinglePointCalculator(alone, energy=0.0, forces=np.zeros((2, 3)))
    known = [alone, with_it, bare, twinless]
    assert frames_of_surface((known, [bare]), ("H",)) == [[bare], [bare]], (
        "as many without it as not told otherwise"
    )
    assert frames_of_surface(([*known, other], [bare]), ("H",)) == [[bare, twinless, other], [bare]]
    assert frames_of_surface((known, [twinless]), ("H",)) == [[bare, twinless], [twinless]], (
        "both parts alike"
    )
    with pytest.raises(
        UserError, match="no frame of 1 tells of the surface below H; give frames of it without"
    ):
        frames_of_surface((known, [alone]), ("H",))


def test_frames_that_tell_no_share_are_refused() -> None:
    with pytest.raises(UserError, match="no frame has atoms of H"):
        shares_of([frame(2, 1, h2=False)], ["H"], interactions=True)
    with pytest.raises(UserError, match="no frame tells the energy"):
        shares_of([frame(2, 1)], ["H"], interactions=False)
    moved = frame(2, 1, h2=False, pair="a")
    moved.positions[0] += 0.1
    with pytest.raises(UserError, match="differ by more than the adsorbate"):
        shares_of([frame(2, 1, pair="a"), moved], ["H"], interactions=True)
    with pytest.raises(UserError, match=r"adsorbate of He; allowed are some"):
        Architecture(("C", "O"), adsorbate=("He",))
    with pytest.raises(UserError, match="put its atoms last"):
        n_below(Atoms("H2CO"), ["H"])


def test_other_elements_do_not_see_an_adsorbate() -> None:
    """So what it adds is its own atoms' energies, to rounding."""
    shape = Architecture(
        ("H", "C", "O"), n_radial=2, n_basis=4, hidden=(8,), precision="float64", adsorbate=("H",)
    )
    assert Architecture.from_json(shape.to_json()) == shape
    parameters = jax.tree.map(lambda leaf: leaf[None], initialize(shape, jax.random.key(0)))
    committee = Committee(Model(shape, parameters, {}))
    whole, bare = frame(4, 3), frame(4, 3, h2=False)
    species = shape.species(whole.numbers)
    weights = fold(shape, jax.tree.map(lambda leaf: leaf[0], parameters))
    _, each = reference.outputs(shape, weights, species, neighbours_of(shape, whole), whole.positions)
    with_it, without = committee.predict([whole, bare])
    share = with_it.energy_eV - without.energy_eV
    assert share == pytest.approx(float(each[-2:, 0].sum()), abs=1e-9)
    assert abs(share) > 1e-3


def beside(n_epochs: int) -> AdsorbateTraining:
    """A small network for the adsorbate."""
    return AdsorbateTraining(
        adsorbate=("H",), adsorbate_cutoff_A=6, adsorbate_epochs=n_epochs, adsorbate_n_radial=2,
        adsorbate_hidden=(24,),
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committee of two with an adsorbate of H, and its dataset beside it."""
    folder = tmp_path_factory.mktemp("adsorbate")
    for part, seeds in (("train", range(100, 260)), ("test", range(260, 276))):
        frames = [frame(3 + seed % 3, seed, h2=bool(seed % 4)) for seed in seeds]
        write_frames(folder / f"{part}.extxyz", frames)
    gmnn.train(
        folder, folder / "out", folder / "checkpoints",
        GmnnTraining(n_members=2, seed=1, n_epochs=2, batch_size=8),
        GmnnArchitecture(n_radial=2, n_basis=5, hidden=(16,), cutoff_A=5),
        adsorbate=beside(120),
    )  # fmt: skip

    spring = CubicHermiteSpline([0.5, 1.5], [0.3, 0.5], [-0.4, 0.6])
    write_curves(folder / "out" / "molecular_curves.csv", {"CO": spring, "H2": spring})
    return folder


def test_an_adsorbates_network_is_trained_beside_a_committee_that_is_there(
    trained: Path, tmp_path: Path
) -> None:
    gmnn.train(
        trained, tmp_path / "out", tmp_path / "checkpoints",
        GmnnTraining(n_members=2, seed=1, n_epochs=2, batch_size=8),
        GmnnArchitecture(n_radial=2, n_basis=5, hidden=(16,), cutoff_A=5), before=trained / "out",
        adsorbate=beside(1),
    )  # fmt: skip
    before, after = (read_model(folder / "out/model.h5") for folder in (trained, tmp_path))
    assert before.metadata == after.metadata
    jax.tree.map(np.testing.assert_array_equal, before.parameters, after.parameters)
    assert read_model(tmp_path / "out/adsorbate.h5").metadata["settings"]["n_epochs"] == 1
    assert not (tmp_path / "out/learning_curve.csv").exists(), "nothing of the surface's was learnt"


def test_a_training_learns_the_share(trained: Path) -> None:
    source = load(trained / "out")
    assert source.n_members == 2
    assert source.adsorbate.architecture.cutoff_A == 6
    assert (source.adsorbate.architecture.n_radial, source.adsorbate.architecture.hidden) == (2, (24,))
    assert (source.model.architecture.n_radial, source.model.architecture.hidden) == (2, (16,))
    assert source.adsorbate.architecture.n_basis == 6, "Gaussians are not as dense as the surface's"
    with_it, without = ([frame(4, seed, h2=h2) for seed in range(60, 80)] for h2 in (True, False))
    labels = np.array([a.get_potential_energy() for a in with_it]) - [
        a.get_potential_energy() for a in without
    ]
    of = committee_of(source.model, source.adsorbate).predict
    each = zip(of(with_it), of(without), strict=True)
    shares = np.array([(p.energies_eV - q.energies_eV).mean() for p, q in each])
    assert np.sqrt(((shares - labels) ** 2).mean()) < 0.3 * labels.std()
    curve = (trained / "out" / "adsorbate_learning_curve.csv").read_text().splitlines()
    assert curve[0].startswith("epoch,member,train_loss,test_loss,test_share_rmse_meV")


def test_the_engine_runs_a_surface_and_its_adsorbate(trained: Path) -> None:
    """Forces are slopes; far away it leaves the surface as it is alone; members are as predicted."""
    source = load(trained / "out")
    atoms = frame(4, 5)
    atoms.calc = PotentialCalculator(source)
    energy, forces, step = atoms.get_potential_energy(), atoms.get_forces().copy(), 1e-3
    for i, axis in ((0, 1), (3, 2), (8, 0), (9, 2)):
        slope = 0.0
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, axis] += sign * step
            moved.calc = atoms.calc
            slope += sign * moved.get_potential_energy() / (2 * step)
        assert -forces[i, axis] == pytest.approx(slope, abs=3e-4)
    whole = replace(source, curves={})  # of labels that hold the molecules
    assert not whole.is_one_network
    assert not isinstance(members_of(whole, atoms), ModelSurface)
    surface, far = atoms[:-2], atoms.copy()
    far.positions[-2:] += [0, 0, 60.0]
    alone = far[-2:]
    for part in (surface, far, alone):
        part.calc = PotentialCalculator(source)
    together = surface.get_potential_energy() + alone.get_potential_energy()
    assert far.get_potential_energy() == pytest.approx(together, abs=2e-6)
    np.testing.assert_allclose(far.get_forces()[:-2], surface.get_forces(), atol=2e-6)
    predicted = committee_of(source.model, source.adsorbate).predict([atoms])[0]
    bonds = sum(
        float(source.curves["CO" if k < 8 else "H2"](atoms.get_distance(k, k + 1))) for k in range(0, 10, 2)
    )
    assert energy - bonds == pytest.approx(predicted.energies_eV.mean(), abs=2e-5)
    for member in range(2):
        atoms.calc = PotentialCalculator(source, member)
        assert atoms.get_potential_energy() - bonds == pytest.approx(predicted.energies_eV[member], abs=2e-5)


def test_a_lost_network_of_an_adsorbate_is_told(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "out", tmp_path / "out")
    (tmp_path / "out" / "adsorbate.h5").unlink()
    with pytest.raises(UserError, match=r"has no adsorbate\.h5"):
        load(tmp_path / "out")


C6_eV_A6 = {"H C": 14.0, "H O": 4.0}


def tail_eV(atoms: Atoms) -> float:
    """The energy of C6_eV_A6 between H2 and all other atoms."""
    own = atoms.numbers == 1
    apart_A = np.linalg.norm(atoms.positions[own][:, None] - atoms.positions[~own], axis=2)
    return float(-(np.where(atoms.numbers[~own] == 6, 14.0, 4.0) / (apart_A**6 + 4.0**6)).sum())


def far_frames(seeds: range) -> list[Atoms]:
    """H2 14 to 18 Å above CO molecules that do nothing, and these alone: labels are a tail of C6_eV_A6."""
    generator, frames = np.random.default_rng(2), []
    for seed in seeds:
        atoms = frame(3 + seed % 3, seed)
        own = atoms.numbers == 1
        atoms.positions[own] += [0, 0, 14.0 + 4 * generator.random()]
        found = Dispersion.of(C6_eV_A6, atoms.numbers[own], atoms.numbers[~own]).evaluate(
            atoms.positions[None]
        )
        bare = atoms[~own]
        for one, energy, forces in (
            (atoms, float(found.energies[0]), np.asarray(found.forces[0])),
            (bare, 0.0, np.zeros((len(bare), 3))),
        ):
            one.calc = SinglePointCalculator(one, energy=energy, forces=forces)
            one.info = {"label_level": "made-up interaction"}
            frames.append(one)
    return frames


def test_what_lies_beyond_the_network_is_a_tail_of_dispersion() -> None:
    """A tail that labels have is found and taken out, whatever walls are near; too few, or labels of both
    signs, have none.
    """
    frames = far_frames(range(80))
    shares = shares_of(frames, ["H"], True)
    walls = shares_of([frame(4, seed, h2=h2) for seed in range(40) for h2 in (True, False)], ["H"], True)
    near = [share for share in walls if 0 < share.squares_A2.min(initial=np.inf) < 4.0**2]
    assert len(near) > 20
    fitted = tail_of([*shares, *near])
    assert fitted == pytest.approx(C6_eV_A6, rel=1e-4)
    for share in shares:
        left = without_tail(share, fitted)
        assert left.energy_eV == pytest.approx(0.0, abs=1e-8)
        np.testing.assert_allclose(left.forces_eV_per_A, 0.0, atol=1e-8)
    assert tail_of(shares[:40]) == {}, "too few"
    assert tail_of([*shares[:40], *near]) == {}, "near ones are none of them"
    scattered = [
        replace(share, energy_eV=share.energy_eV * (-1) ** k)
        for k, share in enumerate(shares)
        if share.energy_eV
    ]
    assert tail_of(scattered) == {}, "no tail describes labels of both signs"


def test_a_training_finds_the_tail_and_gives_it_back(tmp_path: Path) -> None:
    """H2 beyond the network's 6 Å has the tail's energy, though the network sees nothing there."""
    for part, seeds in (("train", range(80)), ("test", range(80, 90))):
        write_frames(tmp_path / f"{part}.extxyz", far_frames(seeds))
    gmnn.train(
        tmp_path, tmp_path / "out", tmp_path / "checkpoints",
        GmnnTraining(n_members=2, seed=1, n_epochs=1, batch_size=32),
        GmnnArchitecture(n_radial=2, n_basis=5, hidden=(16,), cutoff_A=5), adsorbate=beside(1),
    )  # fmt: skip
    surface, share = (read_model(tmp_path / "out" / name) for name in ("model.h5", "adsorbate.h5"))
    assert share.metadata[TAIL] == pytest.approx(C6_eV_A6, rel=1e-3)
    whole = far_frames(range(200, 201))[0]
    farther = whole.copy()
    farther.positions[-2:] += [0, 0, 3.0]
    nearer_eV, farther_eV = (
        one.energies_eV for one in committee_of(surface, share).predict([whole, farther])
    )
    labels_eV = whole.get_potential_energy() - tail_eV(farther)
    assert labels_eV < -1e-6
    np.testing.assert_allclose(nearer_eV - farther_eV, labels_eV, rtol=2e-3, atol=1e-9)


def test_the_network_learns_what_the_tail_leaves(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of labels that are a tail alone nothing is left, for the frames it was fitted to and for others."""
    for part, seeds in (("train", range(80)), ("test", range(80, 90))):
        write_frames(tmp_path / f"{part}.extxyz", far_frames(seeds))
    left: list[float] = []

    def seen(_one: Architecture, _own: GmnnTraining, *parts: list[Share]) -> None:
        left.extend(abs(share.energy_eV or 0.0) for part in parts for share in part)
        raise RuntimeError("seen")

    monkeypatch.setattr(gmnn, "AdsorbateCommittee", seen)
    with pytest.raises(RuntimeError, match="seen"):
        gmnn.train(
            tmp_path, tmp_path / "out", tmp_path / "checkpoints", GmnnTraining(n_members=2, seed=1),
            GmnnArchitecture(n_radial=2, n_basis=5, hidden=(16,), cutoff_A=5), before=trained / "out",
            adsorbate=beside(1),
        )  # fmt: skip
    assert len(left) >= 90
    assert max(left) < 1e-2 * abs(tail_eV(far_frames(range(1))[0]))


def test_a_tail_is_added_wherever_a_committee_is_used(trained: Path, tmp_path: Path) -> None:
    """Engine and committee alike: energies less those without it are the tail's, forces its slopes."""
    surface, own_network = (read_model(trained / "out" / name) for name in ("model.h5", "adsorbate.h5"))
    told = own_network.metadata | {TAIL: C6_eV_A6}
    write_folder(
        tmp_path / "out", surface.architecture, surface.parameters, surface.metadata,
        (own_network.architecture, own_network.parameters, told),
    )  # fmt: skip
    shutil.copy(trained / "out/molecular_curves.csv", tmp_path / "out")
    atoms = frame(4, 5)
    both = []
    for folder in (trained / "out", tmp_path / "out"):
        source = load(folder)
        one = atoms.copy()
        one.calc = PotentialCalculator(source)
        predicted = committee_of(source.model, source.adsorbate).predict([atoms])[0]
        both.append((one.get_potential_energy(), one.get_forces(), predicted))
    tail = tail_eV(atoms)
    assert tail < -1e-3
    assert both[1][0] - both[0][0] == pytest.approx(tail, abs=1e-7)
    np.testing.assert_allclose(both[1][2].energies_eV - both[0][2].energies_eV, tail, atol=1e-7)
    of_engine, of_committee = (
        both[1][1] - both[0][1],
        (both[1][2].forces_eV_per_A - both[0][2].forces_eV_per_A)[0],
    )
    np.testing.assert_allclose(of_engine, of_committee, atol=1e-6)
    np.testing.assert_allclose(of_engine.sum(axis=0), 0.0, atol=1e-6)
    step, slope = 1e-3, 0.0
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[-1, 1] += sign * step
        slope += sign * tail_eV(moved) / (2 * step)
    assert of_engine[-1, 1] == pytest.approx(-slope, abs=1e-6)
