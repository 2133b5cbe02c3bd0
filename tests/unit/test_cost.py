"""What a run costs is said and asked: no word starts months, and the demonstration is not held up."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frazil import cost, parameters
from frazil.errors import UserError
from frazil.experiments.infrared.settings import Learning, Training
from frazil.learning.settings import AdsorbateTraining, GmnnArchitecture, GmnnTraining


def hours(**given: object) -> dict[str, float]:
    return cost.of_run(parameters.resolve(given))


def demo(root: Path) -> dict[str, dict[str, str]]:
    """The profile of the demonstration."""
    text = re.sub(r"//.*", "", (root / "conf/demo.config").read_text()).replace("${projectDir}", str(root))
    groups = re.findall(r"(\w+) \{([^{}]*)\}", text.partition("params {")[2])
    return {
        name: {key: value.strip("'\"") for key, value in re.findall(r"(\w+)\s*=\s*(\S.*)", content)}
        for name, content in groups
    }


def test_full_photodesorption_costs_months_and_the_demonstration_minutes(root: Path) -> None:
    """27.5 trajectories of 5 ps per hour of two cores (docs/benchmarks.md): 11,050 take 800 core hours."""
    full = hours()
    assert full["trajectories"] == pytest.approx(11050 / 27.5 * 2, rel=0.02)
    assert sum(full.values()) == pytest.approx(1400, rel=0.05)
    for name in ("photodesorption", "infrared", "sticking"):
        assert sum(hours(experiments=name, **demo(root)).values()) < cost.SAID_h, name


def test_collisions_cost_what_was_measured() -> None:
    """33.1 collisions of 10 ps per hour of two cores: the paper's 10,368 take 627 core hours."""
    assert hours(experiments="sticking")["collisions"] == pytest.approx(627, rel=0.2)


def test_clusters_to_place_a_projectile_around_cost_what_their_sizes_do() -> None:
    """Four of five have 10 CO, the fifth 40: its 14 labels cost most at a level of electrons."""
    asked = {"label_level": "bhlyp-d4/def2-tzvp"}
    few, more = (hours(experiments="sticking", sticking=asked | {"n_placed": n}) for n in (0, 5))
    small, large = (cost.label_s(asked["label_level"], {"C": n, "O": n, "H": 2}) / 3600 for n in (10, 40))
    assert more["labels"] - few["labels"] == pytest.approx(14 * (4 * small + large), rel=1e-6)
    assert large > 20 * small
    assert more["training"] / few["training"] == pytest.approx(1 + (14 * 5 * 1.6) / 20344, rel=1e-6)


def test_a_projectile_s_own_network_costs_and_spares_the_surface_frames(root: Path) -> None:
    """The surface learns two of 14 frames of each cluster; the other learns two atoms of twelve."""
    text = (root / "assets/parameters/sticking_known_truth.json").read_text()

    def training(sticking: dict[str, object] | None = None, **gmnn: object) -> float:
        given = json.loads(text)
        given["gmnn"] |= gmnn
        given["sticking"] |= sticking or {}
        given["sticking"]["training_scale"] = 1e-9
        return cost.of_run(parameters.resolve(given))["training"]

    like_surface = {"adsorbate_cutoff_A": 8, "adsorbate_n_radial": 4, "adsorbate_hidden": "64,64"}
    one, epochs = training(adsorbate=""), json.loads(text)["gmnn"]["n_epochs"]
    both = training(**like_surface, adsorbate_epochs=epochs)
    mean_atoms = 16 * 2.4
    later = {
        "cutout_rounds": 1,
        "model": str(root / "assets/potentials/h2-co-known-truth"),
        "cutout_epochs": 8,
    }
    for further, times in (({}, 1), ({"cutout_rounds": 1}, 2), (later, 1)):
        few, more = (training(further, adsorbate_epochs=n) for n in (100, 200))
        once, twice = (training({}, adsorbate_epochs=n) for n in (100, 200))
        assert more - few == pytest.approx(times * (twice - once)), "trained anew in each round, and before"
    assert training(later, n_epochs=460) == pytest.approx(training(later)), "one that is there is not trained"
    assert both / one == pytest.approx(2 / 14 + 2 * 12 / 14 / mean_atoms, rel=1e-6)


def test_the_paper_s_table_has_these_frames_without_a_projectile() -> None:
    from frazil.experiments.sticking.clusters import TABLE_1

    frames = sum(row.n_frames for row in TABLE_1)
    bare = [row for row in TABLE_1 if not row.h2_energy_K]
    atoms = sum(row.n_frames * (2 * row.n_co + 2 * (row not in bare)) for row in TABLE_1)
    assert pytest.approx(sum(row.n_frames for row in bare) / frames, abs=1e-3) == cost.BARE_FRAMES
    assert (
        pytest.approx(sum(row.n_frames * 2 * row.n_co for row in bare) / atoms, abs=1e-3) == cost.BARE_ATOMS
    )


def test_training_on_one_s_own_frames_costs_what_these_have(root: Path, tmp_path: Path) -> None:
    """Frames of an XYZ file are counted; others are said to be taken as many as the paper's."""
    whole = root / "assets/datasets/h2-co-bhlyp-d4/labelled.extxyz"
    lines = whole.read_text().splitlines(keepends=True)
    first = int(lines[0])
    (tmp_path / "part.extxyz").write_text("".join(lines[: first + 2]))
    (tmp_path / "folder").mkdir()
    costs = {
        name: hours(
            experiments="sticking", sticking={"dataset": str(path), "label_level": "bhlyp-d4/def2-tzvp"}
        )
        for name, path in {
            "part": tmp_path / "part.extxyz",
            "whole": whole,
            "folder": tmp_path / "folder",
        }.items()
    }
    sizes = [int(line) for line in lines if line.strip().isdigit()]
    assert costs["whole"]["training"] / costs["part"]["training"] == pytest.approx(sum(sizes) / first)
    assert "training" not in costs["folder"]
    assert costs["folder"][cost.AS_LARGE] > 30 * costs["whole"]["training"]


def test_molecules_of_an_ice_count_with_their_atoms(root: Path) -> None:
    """A step of pairs goes with the square of the atoms, one of tight binding costs as its label."""
    pairs = {"potential": "analytic", "model_error": "false"}
    water = {**pairs, "molecules": "H2O", "projectile": "H2O", "phases": "amorphous", "duration_fs": 20000}
    by_pairs, by_xtb, co = (
        hours(experiments="sticking", sticking=asked)["attempts"]
        for asked in ({**water, "potential": "q-tip4p-f"}, {**water, "potential": "gfn2-xtb"}, pairs)
    )
    assert by_pairs / co == pytest.approx((3 * 478) ** 2 / (978**2 + 956**2), rel=1e-9)
    assert by_xtb / by_pairs == pytest.approx(cost.label_s("gfn2-xtb", {"O": 1}) / cost.PAIR_s)


def test_a_label_costs_what_its_labeller_says() -> None:
    from ase import Atoms

    from frazil.labels.electronic_structure import seconds

    for level in ("pbe0/def2-svp", "bhlyp-d4/def2-tzvp", "pbe-d4/def2-qzvp"):
        for atoms in (Atoms("H2"), Atoms("COH2"), Atoms("C2O2")):
            composition = dict(zip(*_counted(atoms), strict=True))
            known = seconds(Atoms(atoms.symbols, [[0, 0, 2 * i] for i in range(len(atoms))]), level)
            assert cost.label_s(level, composition) == pytest.approx(known, rel=0.02), (level, atoms)


def _counted(atoms: object) -> tuple[list[str], list[int]]:
    counts = atoms.symbols.formula.count()  # type: ignore[attr-defined]
    return list(counts), list(counts.values())


@pytest.mark.parametrize(
    ("core_hours", "yes", "says", "asks"),
    [
        (0.1, False, False, False),
        (0.6, False, True, False),
        (2.5, False, True, True),
        (2.5, True, True, False),
    ],
)
def test_a_cost_is_said_then_asked(core_hours: float, yes: bool, says: bool, asks: bool) -> None:
    if asks:
        with pytest.raises(UserError, match=r"estimated cost: 2\.5 core hours, .*; give --yes to start it"):
            cost.agreed({"trajectories": core_hours}, yes)
        return
    assert bool(cost.agreed({"trajectories": core_hours}, yes)) is says


@pytest.mark.parametrize(
    ("value", "text"),
    [(1420.3, "1400"), (23.4, "23"), (2.34, "2.3"), (0.512, "0.51"), (0, "0"), (9e5, "900000")],
)
def test_hours_have_two_digits(value: float, text: str) -> None:
    assert cost._round(value) == text


def test_a_launch_is_refused_with_its_cost_unless_it_is_agreed_to(root: Path) -> None:
    def launch(**given: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, root / "bin/frazil", "launch"],
            input=json.dumps(given), capture_output=True, text=True, check=False,
        )  # fmt: skip

    refused = launch()
    assert refused.returncode == 2
    assert re.fullmatch(r"error: estimated cost: 1400 core hours, .*; give --yes .*\n", refused.stderr)
    agreed = json.loads(launch(yes=True).stdout)
    assert agreed["cost"].startswith("estimated cost: 1400 core hours")
    assert agreed["parameters"]["yes"] is True
    assert not any("yes" in taken for taken in agreed["steps"].values()), "no task depends on it"
    assert json.loads(launch(**demo(root)).stdout)["cost"] == ""


@pytest.mark.parametrize("task", [False, True])
def test_a_step_by_hand_asks_and_a_task_does_not(task: bool, tmp_path: Path, root: Path) -> None:
    (tmp_path / "aggregates.extxyz").write_text("100\n\n" + "C 0 0 0\n" * 100)
    (tmp_path / "model.pb").write_text("no model")
    command = [sys.executable, root / "bin/thermalize.py", "--model", "model.pb", "--out", "out"]
    command += ["--aggregates", "aggregates.extxyz"]
    environment = {key: value for key, value in os.environ.items() if key != "FRAZIL_RUN"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False,
            env=environment | ({"FRAZIL_RUN": "a-run"} if task else {}),
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        return done.stderr

    if task:
        assert "estimated cost" not in run()
    else:
        assert re.fullmatch(r"error: estimated cost: \d\d core hours, .*; give --yes .*\n", run())
        assert run("--yes").startswith("estimated cost: ")
    assert "estimated cost" not in run("--duration-fs", "10", "--n-snapshots", "1")


def test_files_that_cannot_be_read_are_left_to_the_step(tmp_path: Path) -> None:
    made = SimpleNamespace(aggregates=tmp_path / "none", model=None, settings=SimpleNamespace(
        equilibration_fs=1.0, duration_fs=1.0, timestep_fs=1.0))  # fmt: skip
    assert cost.of_step("thermalize", made) == {}
    assert cost.of_step("render-report", None) == {}


def test_minima_and_dipoles_cost_what_they_do(tmp_path: Path) -> None:
    water = {"O": 1, "H": 2}
    by_hand = cost.label_s("gfn2-xtb", water) * (cost.RELAXATION_LABELS + 6 * 3)
    assert cost.minimum_s("gfn2-xtb", water) == pytest.approx(by_hand)
    own = cost.label_s("pbe0/def2-svp", water) * (cost.RELAXATION_LABELS + 10)
    assert cost.minimum_s("pbe0/def2-svp", water) == pytest.approx(own)
    (tmp_path / "water.xyz").write_text("3\n\nO 0 0 0\nH 0 0 1\nH 0 1 0\n")
    made = SimpleNamespace(structures=(tmp_path / "water.xyz",), level="pbe0/def2-svp")
    assert cost.of_step("find-minima", made) == pytest.approx({"find-minima": own / 3600})
    assert cost.times_asked() == 1
    assert cost.times_asked("hessian", "polarizability") == 13
    runs = SimpleNamespace(
        minima=tmp_path / "water.xyz", structures=("water",),
        settings=SimpleNamespace(
            temperatures_K=(300.0,), duration_fs=1e4, equilibration_fs=0.0, n_replicas=8, timestep_fs=0.5
        ),
    )  # fmt: skip
    runs.members = "mean"
    mean = cost.of_step("run-dipoles", runs)["run-dipoles"]
    runs.members = "each"
    assert cost.of_step("run-dipoles", runs)["run-dipoles"] == pytest.approx(3 * mean)


def test_vibrations_cost_their_members_and_starts(tmp_path: Path) -> None:
    def hours(**given: object) -> float:
        run = parameters.resolve({"experiments": "vibrations", "vibrations": given})
        return sum(cost.of_run(run).values())

    eight = hours()
    assert eight == pytest.approx(64 * 8 * 44_000 * 5 * cost.network_s("gmnn", 1.25e5) / 3600)
    assert hours(n_trajectories=128) == pytest.approx(2 * eight)
    (tmp_path / "model.json").write_text('{"kind": "committee", "parts": ["gfn1-xtb", "gfn2-xtb"]}')
    (tmp_path / "CO.xyz").write_text("2\n\nC 0 0 0\nO 0 0 1.13\n")
    own = hours(model=str(tmp_path), structure=str(tmp_path / "CO.xyz"))
    assert own == pytest.approx(64 * 2 * 44_000 * 4 * 9e-5 / 3600)


def test_raman_spectra_cost_their_starts_and_steps() -> None:
    def hours(**given: object) -> float:
        run = parameters.resolve({"experiments": "raman", "raman": given})
        return sum(cost.of_run(run).values())

    once = hours(n_trajectories=8, duration_fs=20000, equilibration_fs=0)
    # 64 atoms, 4,096 pairs: 0.12 ms a step.
    assert once == pytest.approx(8 * 40000 * cost.PAIR_s * 64**2 / 3600)
    assert hours(n_trajectories=16, duration_fs=20000, equilibration_fs=20000) == pytest.approx(4 * once)
    assert hours(n_trajectories=8, duration_fs=20000, equilibration_fs=0, timestep_fs=0.25) > 1.9 * once


def test_a_hydrogen_bond_costs_its_beads_and_windows() -> None:
    def hours(**given: object) -> float:
        run = parameters.resolve({"experiments": "hydrogen_bond", "hydrogen_bond": given})
        return sum(cost.of_run(run).values())

    classical = hours(n_beads="1")
    assert classical == pytest.approx(8 * 14 * 22_000 * 2 * 36 * cost.PAIR_s / 3600)
    assert hours(n_beads="1,40") == pytest.approx(41 * classical)
    assert hours(n_beads="1,40", mass_integral=True) == pytest.approx((1 + 40 * 24 / 14) * classical)


def test_water_in_a_cell_costs_ewald_s_sum_and_is_let_turn(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"kind": "q-tip4p-f"}')
    (tmp_path / "free.xyz").write_text("6\nProperties=species:S:1:pos:R:3\n" + "O 0 0 0\n" * 6)
    cell = '6\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 pbc="T T T"\n' + "O 0 0 0\n" * 6
    (tmp_path / "cell.xyz").write_text(cell)

    def hours(structure: str) -> float:
        given = {"n_beads": "1", "model": str(tmp_path), "structure": str(tmp_path / structure)}
        run = parameters.resolve({"experiments": "hydrogen_bond", "hydrogen_bond": given})
        return sum(cost.of_run(run).values())

    assert hours("cell.xyz") / hours("free.xyz") == pytest.approx(22 / 14 * cost.EWALD_s / cost.PAIR_s)


def test_fields_cost_their_number_beads_and_the_one_that_changes() -> None:
    def parts(**given: object) -> dict[str, float]:
        return cost.of_run(parameters.resolve({"experiments": "field", "field": given}))

    asked = {"fields_V_per_A": "0,0.1", "n_beads": "1,90", "n_trajectories": 8}
    hours = list(parts(**asked, duration_fs=9000, equilibration_fs=1000).values())
    per_step = 36 * cost.PAIR_s / 3600
    assert hours == pytest.approx(
        [8 * 2 * 20_000 * per_step, 8 * 2 * 20_000 * 90 * per_step, 8 * 4000 * per_step]
    )


def test_a_reaction_costs_its_windows_beads_and_isotopes(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"kind": "lennard-jones"}')

    def parts(**given: object) -> dict[str, float]:
        own = {"model": str(tmp_path), "n_windows": 10, **given}
        run = parameters.resolve({"experiments": "reaction", "reaction": own})
        return {name.rpartition(": ")[2]: hours for name, hours in cost.of_run(run).items()}

    classical = 8 * 10 * 22_000 * 81 * cost.PAIR_s / 3600
    found = parts(n_beads="1,40", truth="gfn2-xtb")
    assert found["windows, 1 bead"] == pytest.approx(classical)
    assert found["windows, 40 beads"] == pytest.approx(2 * 40 * classical)
    level_s = cost.label_s("gfn2-xtb", {"": 9})
    assert found["the truth"] == pytest.approx(8 * 10 * 50 * level_s / 3600)
    learnt = parts(model=None, n_beads="1", max_rounds=1, n_members=2, n_epochs=100)
    atom_s = cost.network_s("gmnn", cost.gmnn_weights(parameters.resolve({}).reaction.architecture), True)
    assert learnt["training"] == pytest.approx(2 * 100 * (200 + 400) * 9 * atom_s / 3600)
    assert learnt["labels"] == pytest.approx((1100 + 540 + 400) * level_s / 3600)


def test_densities_cost_their_labels_and_twice_with_a_response() -> None:
    def parts(**given: object) -> dict[str, float]:
        run = parameters.resolve({"experiments": "density", "density": {"n_large": 0, **given}})
        return {name.rpartition(": ")[2]: hours for name, hours in cost.of_run(run).items()}

    plain, both = parts(response=False), parts()
    assert both["labels"] == pytest.approx(2 * plain["labels"])
    pairs = 82 * sum(cost.label_s("pbe/def2-svp", {"O": n, "H": 2 * n}) for n in (1, 2))
    assert plain["labels"] == pytest.approx(0.6 * pairs / 3600)
    assert parts(n_members=17)["models"] == pytest.approx(2 * both["models"])


def test_a_round_of_learning_by_hand_costs_its_training_and_dynamics(tmp_path: Path) -> None:
    water = "3\n\nO 0 0 0\nH 0 0 1\nH 0 1 0\n"
    (tmp_path / "minima.extxyz").write_text(water)
    (tmp_path / "frames.extxyz").write_text(100 * water)
    made = SimpleNamespace(
        minima=tmp_path / "minima.extxyz", frames=(tmp_path / "frames.extxyz",), before=None,
        settings=Learning(), training=Training(n_members=3, n_epochs=2000), architecture=GmnnArchitecture(),
    )  # fmt: skip
    first = cost.of_step("learn-round", made)["learn-round"]
    made.training = Training(n_members=6, n_epochs=2000)
    assert cost.of_step("learn-round", made)["learn-round"] == pytest.approx(2 * first)
    made.before = tmp_path
    assert cost.of_step("learn-round", made)["learn-round"] < first


def test_a_training_costs_its_own_epochs_and_those_beside(tmp_path: Path) -> None:
    (tmp_path / "train.extxyz").write_text(300 * "4\n\nH 0 0 0\nH 0 0 1\nC 0 9 0\nO 0 9 1\n")

    def needed(before: Path | None = None, further_epochs: int = 0, **adsorbate: Any) -> float:
        made = SimpleNamespace(
            dataset=tmp_path, settings=GmnnTraining(n_epochs=1000), architecture=GmnnArchitecture(),
            adsorbate=AdsorbateTraining(**adsorbate), before=before, further_epochs=further_epochs,
        )  # fmt: skip
        return cost.of_step("train-gmnn", made)["train-gmnn"]

    alone, own = needed(), GmnnArchitecture()
    same = {
        "adsorbate_cutoff_A": own.cutoff_A,
        "adsorbate_n_radial": own.n_radial,
        "adsorbate_hidden": own.hidden,
    }
    assert needed(before=tmp_path, further_epochs=10) == pytest.approx(alone / 100)
    beside = needed(before=tmp_path, adsorbate=("H",), adsorbate_epochs=1000, **same)
    assert beside == pytest.approx(alone / 2), "two of four atoms, as many epochs, the same cutoff"
    assert needed(adsorbate=("H",), adsorbate_epochs=1000, **same) == pytest.approx(1.5 * alone)
