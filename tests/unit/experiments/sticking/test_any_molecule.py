"""Any molecule: molecules by name, SMILES and file, crystals by file, how a projectile turns and vibrates."""

import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ase.io
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import get_distances

from frazil.errors import UserError
from frazil.experiments.repeated import repeat
from frazil.experiments.sticking import projectile as projectiles
from frazil.experiments.sticking.binding import starts
from frazil.experiments.sticking.collisions import BOUNCED, DISSOCIATED, BouncedOrBroken, start
from frazil.experiments.sticking.driver import driver
from frazil.experiments.sticking.preparation import geometry
from frazil.experiments.sticking.projectile import Projectile
from frazil.experiments.sticking.settings import (
    KNOWN_TRUTH,
    Attempts,
    Campaign,
    Grid,
    Preparation,
    Sticking,
    flight_fs_of,
    formula_mass_amu,
)
from frazil.experiments.sticking.surfaces import amorphous, crystalline
from frazil.potentials.analytic import n2
from frazil.report.movie import read
from frazil.systems.crystals import read_crystal
from frazil.systems.molecules import Molecules, molecule
from frazil.systems.packing import shared_out
from frazil.units import hbar, inverse_cm, kB

ROOT = Path(__file__).parents[4]
ALPHA_N2 = ROOT / "assets/structures/alpha_n2.cif"
CAMPAIGN = Campaign(
    surface_temperatures_K=(10.0,), energies_K=(100.0,), n_polar=1, polar_max_deg=0.0, n_azimuth=400,
    aim_radius_A=1.0, model_error=False, campaign_seed=3,
)  # fmt: skip


def energies_K(shot: Projectile, campaign: Campaign, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotational energy L·ω/2 and kinetic energy (n,), K, of what is drawn, about the centre of mass."""
    masses = shot.atoms.get_masses()
    turning, moving = [], []
    for identity in range(n):
        positions, velocities = shot.drawn(campaign, identity)
        assert masses @ velocities == pytest.approx(0.0, abs=1e-9)
        momentum = (masses[:, None] * np.cross(positions, velocities)).sum(axis=0)
        tensor = sum(m * (x @ x * np.eye(3) - np.outer(x, x)) for m, x in zip(masses, positions, strict=True))
        turning.append(0.5 * momentum @ np.linalg.pinv(tensor, rcond=1e-6) @ momentum / kB)
        moving.append(0.5 * float((masses[:, None] * velocities**2).sum()) / kB)
    return np.array(turning), np.array(moving)


@pytest.fixture(scope="module")
def water() -> Projectile:
    return projectiles.of("H2O", driver("q-tip4p-f"))


@pytest.fixture(scope="module")
def nitrogen() -> Projectile:
    return projectiles.of("N2", driver("n2-trappe"))


def test_rotation_at_a_temperature_has_half_kt_of_each_degree(
    nitrogen: Projectile, water: Projectile
) -> None:
    warm = replace(CAMPAIGN, rotational_temperature_K=200.0)
    for shot, degrees in ((nitrogen, 2), (water, 3)):
        turning, moving = energies_K(shot, warm, 800)
        error = 200.0 * np.sqrt(degrees / 2 / 800)
        assert turning.mean() == pytest.approx(degrees / 2 * 200.0, abs=4 * error)
        assert turning.var() == pytest.approx(degrees / 2 * 200.0**2, rel=0.3)
        assert moving == pytest.approx(turning), "it does not vibrate"
    at_rest = nitrogen.drawn(CAMPAIGN, 5)
    assert not at_rest[1].any()
    assert at_rest[0] == pytest.approx(nitrogen.atoms.positions)


def test_vibration_at_a_temperature_has_half_kt_of_each_mode_s_motion(water: Projectile) -> None:
    warm = replace(CAMPAIGN, vibrational_temperature_K=300.0)
    turning, moving = energies_K(water, warm, 800)
    assert (moving - turning).mean() == pytest.approx(1.5 * 300.0, abs=4 * 300.0 * np.sqrt(1.5 / 800))
    assert turning.mean() < 5.0


def test_levels_are_those_of_the_morse_oscillator_and_drawn_states_have_them(nitrogen: Projectile) -> None:
    """EBK is exact for a Morse bond without rotation; what is drawn has the level's energy and momentum."""
    omega = n2.OMEGA_cm1 * inverse_cm
    for v in (0, 1, 5):
        exact = omega * (v + 0.5) - (omega * (v + 0.5)) ** 2 / (4 * n2.DEPTH_eV)
        assert nitrogen.level_eV(v, 0) == pytest.approx(exact, rel=2e-5)
    state = replace(CAMPAIGN, vibrational_number=2, rotational_number=7)
    level, mass = nitrogen.level_eV(2, 7), n2.REDUCED_MASS_amu
    lengths = []
    for identity in range(300):
        positions, velocities = nitrogen.drawn(state, identity)
        bond, relative = positions[1] - positions[0], velocities[1] - velocities[0]
        lengths.append(np.linalg.norm(bond))
        stretched = n2.DEPTH_eV * (1 - np.exp(-n2.EXPONENT_per_A * (lengths[-1] - n2.LENGTH_A))) ** 2
        assert stretched + 0.5 * mass * relative @ relative == pytest.approx(level, rel=1e-4)
        assert mass * np.linalg.norm(np.cross(bond, relative)) == pytest.approx(np.sqrt(56) * hbar, rel=1e-6)
    inner, outer = nitrogen.curve.turning_points(level, np.sqrt(56) * hbar)
    ends = np.mean(
        [(x - inner < 0.1 * (outer - inner)) or (outer - x < 0.1 * (outer - inner)) for x in lengths]
    )
    assert 0.3 < ends < 0.52, "uniform in time: of a harmonic motion 41 % is in the outer tenths of the way"


def test_the_longest_flight_is_the_slowest_along_the_most_tilted_way() -> None:
    """28 amu at 100 K fly 0.0024370 Å/fs; at 60° the way is twice the height."""
    straight = replace(CAMPAIGN, energies_K=(100.0, 400.0))
    assert flight_fs_of(straight, 28.0) == pytest.approx(straight.start_height_A / 0.0024370, rel=1e-4)
    tilted = replace(straight, n_polar=3, polar_max_deg=60.0)
    assert flight_fs_of(tilted, 28.0) == pytest.approx(2 * flight_fs_of(straight, 28.0))


def test_states_that_cannot_be_are_refused(nitrogen: Projectile, water: Projectile) -> None:
    with pytest.raises(UserError, match=r"a state \(v, J\) of H2O; only diatomics have one"):
        projectiles.check(water, replace(CAMPAIGN, vibrational_number=0))
    with pytest.raises(UserError, match="v = 900 at J = 0 lies above the bond curve's range"):
        projectiles.check(nitrogen, replace(CAMPAIGN, vibrational_number=900))
    with pytest.raises(
        UserError, match=r"N2 at 100 K needs 3\d\d\d fs to reach the surface, 1000 fs are run"
    ):
        projectiles.check(nitrogen, replace(CAMPAIGN, duration_fs=1000.0))
    with pytest.raises(UserError, match="-1 with temperatures of the projectile"):
        replace(CAMPAIGN, vibrational_number=1, rotational_temperature_K=10.0)
    with pytest.raises(UserError, match="0 without a"):
        replace(CAMPAIGN, rotational_number=1)
    with pytest.raises(UserError, match="atoms N2 for q-tip4p-f"):
        projectiles.of("N2", driver("q-tip4p-f"))


def surface() -> Atoms:
    atoms = Atoms("OHHOHH", np.tile(water_A(), (2, 1)) + np.repeat([[0, 0, 0], [3.2, 0, 0]], 3, axis=0))
    atoms.set_array("fixed", np.array([0, 0, 0, 1, 1, 1]))
    atoms.info |= {"surface_temperature_K": 10.0, "surface_id": 0, "phase": "amorphous"}
    atoms.set_velocities(np.zeros((6, 3)))
    return atoms


def water_A() -> np.ndarray:
    return np.array([[0, 0, 0], [0.76, 0, -0.59], [-0.76, 0, -0.59]])


def test_a_projectile_starts_with_its_energy_turned_at_random_and_outside(water: Projectile) -> None:
    amorphous_id = replace(CAMPAIGN, rotational_temperature_K=100.0).per_phase
    begun = start(CAMPAIGN, amorphous_id, [surface()], water)
    own = begun.velocities[6:]
    masses = water.atoms.get_masses()
    assert 0.5 * masses.sum() * own[0] @ own[0] == pytest.approx(100.0 * kB)
    assert own == pytest.approx(np.tile(own[0], (3, 1)))
    axes = np.array([
        start(CAMPAIGN, amorphous_id + k, [surface()], water).positions_A[6:8] for k in range(40)
    ])  # fmt: skip
    turned = axes[:, 1] - axes[:, 0]
    assert np.linalg.norm(turned.mean(axis=0)) < 0.45
    with pytest.raises(UserError, match=r"H2O starts .* from an atom, inside the surface"):
        start(replace(CAMPAIGN, start_height_A=3.0), amorphous_id, [surface()], water)


def test_outcomes_are_told_by_fragments(water: Projectile) -> None:
    """A hydrogen that leaves any molecule is a fragment; water that turns or vibrates is none."""
    rule = BouncedOrBroken.of(6.0, surface(), water)
    assert len(rule.bonds) == 6

    def ends(positions: np.ndarray, rising: float) -> int:
        velocities = np.zeros_like(positions)
        velocities[6:, 2] = rising
        state: Any = SimpleNamespace(positions=jnp.asarray(positions), velocities=jnp.asarray(velocities))
        return int(rule(state, None))  # type: ignore[arg-type]

    ice = surface().positions
    away = np.concatenate([ice, water_A() + np.array([0, 0, 6.4])])
    assert ends(away, 1.0) == BOUNCED
    assert ends(away, -1.0) == 0
    assert ends(np.concatenate([ice, water_A() + np.array([0, 0, 4.0])]), 1.0) == 0
    for atom in (1, 5, 7):  # of the mobile, of the held one, and of the projectile
        broken = np.concatenate([ice, water_A() + np.array([0, 0, 4.0])])
        broken[atom] += [0.0, 1.2, 0.0]
        assert ends(broken, 1.0) == DISSOCIATED
    argon = BouncedOrBroken.of(6.0, Atoms("Ar", [[0, 0, 0]]), Projectile(Atoms("Ar", [[0, 0, 0]])))
    assert argon.bonds == ()


def test_surfaces_are_cut_from_a_crystal_with_molecules_whole(tmp_path: Path) -> None:
    crystal = read_crystal(ALPHA_N2)
    assert len(crystal.molecules) == 4
    atoms = crystalline(60, 20, face=(1, 1, 0), crystal=crystal)
    whole = Molecules.of(atoms)
    assert whole.formulas == ["N2"] * 60
    lengths = np.linalg.norm(atoms.positions[1::2] - atoms.positions[::2], axis=1)
    assert lengths == pytest.approx(1.0977, abs=1e-3)
    centres = whole.centres(atoms.positions)
    assert centres[:, 2].max() == pytest.approx(0.0, abs=1e-6)
    apart = np.linalg.norm(centres[:, None] - centres, axis=2)[np.triu_indices(60, 1)]
    assert apart.min() == pytest.approx(5.66 / np.sqrt(2), abs=1e-3)
    assert (atoms.arrays["fixed"].reshape(-1, 2).sum(axis=1) == 2).sum() == 20
    # The same crystal written with its molecules cut by the cell, and atoms in another order.
    cell = ase.io.read(ALPHA_N2)
    cell.positions += [0.3, 0.1, 0.2]
    cell.wrap()
    ase.io.write(tmp_path / "moved.extxyz", cell[[5, 1, 7, 0, 3, 2, 6, 4]])
    files = (ALPHA_N2, tmp_path / "moved.extxyz")
    both = [crystalline(0, 9, radius_A=10.0, crystal=read_crystal(file)) for file in files]
    kinds = [Molecules.of(own) for own in both]
    assert [len(own) for own in kinds] == [len(kinds[0])] * 2
    apart_A = [
        np.sort(get_distances(kind.centres(own.positions))[1].ravel())
        for kind, own in zip(kinds, both, strict=True)
    ]
    assert apart_A[0] == pytest.approx(apart_A[1], abs=1e-4)


def test_a_large_projectile_that_would_begin_a_site_inside_the_surface_is_refused() -> None:
    """Its centre is at the clearance over the bottom of a pit, its ends are in the walls."""
    wide = molecule("H2O")
    wide.positions = [[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [-4.0, 0.0, 0.0]]
    turns = np.arange(24) * np.pi / 12
    walls = [[4 * np.cos(turn), 4 * np.sin(turn), z] for z in range(-4, 5) for turn in turns]
    pit = Atoms(["N"] * (len(walls) + 1), [*walls, [0.0, 0.0, -2.0]])
    pit.set_array("fixed", np.zeros(len(pit), int))
    grid = Grid(binding_area_A2=1.0, binding_spacing_A=1.0, binding_clearance_A=2.0)
    with pytest.raises(UserError, match=r"overlaps the surface at a clearance of 2 Å; give a larger one"):
        [starts(pit, replace(grid, campaign_seed=seed), Projectile(wide, None)) for seed in range(9)]  # type: ignore[arg-type]


def test_what_is_no_molecular_crystal_is_refused(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "salt.cif", bulk("NaCl", "rocksalt", a=5.64))
    with pytest.raises(UserError, match=r"salt\.cif has no whole molecules: atom .* its own image"):
        read_crystal(tmp_path / "salt.cif")
    ase.io.write(tmp_path / "free.extxyz", Atoms("N2", [[0, 0, 0], [0, 0, 1.1]]))
    with pytest.raises(UserError, match="has no cell in three dimensions"):
        read_crystal(tmp_path / "free.extxyz")
    half = ALPHA_N2.read_text().replace("_atom_site_fract_z\n", "_atom_site_fract_z\n_atom_site_occupancy\n")
    (tmp_path / "half.cif").write_text(half.rstrip() + " 0.5\n")
    with pytest.raises(UserError, match="atoms that are there in part"):
        read_crystal(tmp_path / "half.cif")
    (tmp_path / "none.cif").write_text("nothing\n")
    with pytest.raises(UserError, match=r"none\.cif is no crystal that ASE reads"):
        read_crystal(tmp_path / "none.cif")
    oxygen = Atoms("O2", [[0, 0, 0], [0, 0, 1.21]], cell=[5, 5, 5], pbc=True)
    ase.io.write(tmp_path / "odd.extxyz", oxygen[:1] + Atoms("H", [[0, 0, 0.97]], cell=[5, 5, 5], pbc=True))
    with pytest.raises(UserError, match="open shell"):
        read_crystal(tmp_path / "odd.extxyz")
    with pytest.raises(UserError, match="holds molecules N2, asked for are H2O"):
        geometry(Preparation(phase="crystalline", molecules=("H2O",), crystal=ALPHA_N2))


def test_molecules_by_name_and_by_file(tmp_path: Path) -> None:
    assert molecule("CH3OH").get_chemical_symbols() == ["C", "O", "H", "H", "H", "H"]
    assert molecule("H2O").get_chemical_symbols() == ["O", "H", "H"]
    ase.io.write(tmp_path / "hcn.xyz", Atoms("HCN", [[0, 0, -1.06], [0, 0, 0], [0, 0, 1.16]]))
    assert molecule(tmp_path / "hcn.xyz").get_chemical_symbols() == ["C", "N", "H"]
    for name in ("O2", "NO", "CH3"):
        with pytest.raises(UserError, match=f"{name} .* has an open shell"):
            molecule(name)
    ion = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]], info={"charge": -1})
    ase.io.write(tmp_path / "ion.extxyz", ion)
    with pytest.raises(UserError, match="has a charge of -1"):
        molecule(tmp_path / "ion.extxyz")
    ase.io.write(tmp_path / "two.xyz", Atoms("N4", [[0, 0, 0], [0, 0, 1.1], [5, 0, 0], [5, 0, 1.1]]))
    with pytest.raises(UserError, match="holds 2 molecules by its bonds"):
        molecule(tmp_path / "two.xyz")
    with pytest.raises(UserError, match="no molecule unobtainium: neither a file nor a name"):
        molecule("unobtainium")
    (tmp_path / "bad.xyz").write_text("words\n")
    with pytest.raises(UserError, match="no structure that ASE reads"):
        molecule(tmp_path / "bad.xyz")


def test_molecules_by_smiles() -> None:
    pytest.importorskip("rdkit")
    methanol = molecule("smiles:CO")
    assert methanol.get_chemical_symbols() == ["C", "O", "H", "H", "H", "H"]
    assert methanol.get_distance(0, 1) == pytest.approx(1.42, abs=0.04)
    for text, told in (
        ("smiles:C(", "is no SMILES that RDKit reads"),
        ("smiles:C.O", "has 2 molecules"),
        ("smiles:[CH3]", "has an open shell"),
        ("smiles:[NH4+]", "has a charge of 1"),
        ("smiles:C1#CC1", "could not be embedded in space"),
    ):
        with pytest.raises(UserError, match=told):
            molecule(text)


def test_smiles_without_rdkit_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(UserError, match=r"smiles:CO needs RDKit, .* extra smiles \(pip install -e"):
        molecule("smiles:CO")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(package.startswith("rdkit") for package in extras["smiles"])


def test_mixed_ice_is_packed_in_its_parts() -> None:
    assert shared_out(10, (2.0, 1.0)) == [7, 3]
    kinds = [molecule("H2O"), molecule("CO")]
    ice = amorphous(12, 4, 0.7, 3, packing_distance_A=2.2, kinds=kinds, parts=(3.0, 1.0))
    formulas = Molecules.of(ice).formulas
    assert (formulas.count("H2O"), formulas.count("CO")) == (9, 3)
    held = Molecules.of(ice).first[-4:]
    assert ice.arrays["fixed"][held].all()
    with pytest.raises(UserError, match="one for each of molecules"):
        Preparation(phase="amorphous", molecules=("H2O", "CO"), parts=(1.0,))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"molecules": ("H2O",)}, "needed: a crystal of molecules"),
        ({"molecules": ("N2",), "phases": ("amorphous",), "potential": "analytic"}, "knows H2 on CO"),
        ({"molecules": ("no.xyz",), "phases": ("amorphous",)}, r"no\.xyz: no such file"),
        (
            {"projectile": "NO"},
            r"projectile: .* NO has an open shell .*; allowed: molecules of closed shells",
        ),
        ({"molecules": ("CO", "O2"), "phases": ("amorphous",)}, "molecules: .* O2 has an open shell"),
        ({"projectile": "N2", "potential": "gmnn"}, "another than h2-co-analytic, which knows H2 and CO"),
        (
            {"projectile": "H2O", "potential": "gmnn", "interaction_only": True, "label_level": "gfn2-xtb"},
            "interaction_only: given true; allowed: false with H2O",
        ),
        (
            {"molecules": ("CO",), "projectile": "N2", "potential": "gmnn", "label_level": "n2-trappe"},
            "allowed: another than n2-trappe, which labels N2 only",
        ),
        (
            {
                "molecules": ("N2",),
                "projectile": "N2",
                "phases": ("amorphous",),
                "potential": "gmnn",
                "label_level": "gfn2-xtb",
                "truth": True,
            },
            "truth: given true; allowed: with h2-co-analytic, n2-trappe, q-tip4p-f, whose truth is known",
        ),
    ],
)
def test_systems_that_cannot_be_are_refused_at_launch(asked: dict[str, Any], told: str) -> None:
    given = {"potential": "n2-trappe", **asked}
    ice = Preparation(
        phase="amorphous", **{k: v for k, v in given.items() if k in ("molecules", "projectile")}
    )
    campaign = Campaign(model_error=given["potential"] == "gmnn")
    with pytest.raises(UserError, match=told):
        Sticking(
            potential=given["potential"], preparation=ice, campaign=campaign,
            phases=given.get("phases", ("crystalline", "amorphous")),
            label_level=given.get("label_level", KNOWN_TRUTH),
            interaction_only=given.get("interaction_only", False), truth=given.get("truth", False),
        )  # fmt: skip


def test_a_projectile_that_cannot_arrive_is_refused_at_launch() -> None:
    """8 Å at 100 K and along the normal: N2 takes 8 Å / √(2 kT/m) = 3.3 ps."""
    ice = Preparation(phase="amorphous", molecules=("N2",), projectile="N2")
    attempts = Attempts(attempts_duration_fs=3000.0, attempts_after_fs=1000.0, attempts_temperature_K=10.0)
    for duration_fs, name in ((3000.0, "duration_fs"), (4000.0, "attempts_duration_fs")):
        campaign = Campaign(model_error=False, energies_K=(100.0,), n_polar=1, duration_fs=duration_fs)
        with pytest.raises(
            UserError, match=rf"{name}: given 3000 fs; allowed: above 328\d fs, which N2 needs"
        ):
            Sticking(
                potential="n2-trappe", preparation=ice, campaign=campaign, phases=("amorphous",),
                attempts=replace(attempts, attempts_duration_fs=3000.0 if name != "duration_fs" else 4000.0),
            )  # fmt: skip
    assert formula_mass_amu("CH3OH") == pytest.approx(32.042)
    assert formula_mass_amu("methanol.xyz") == formula_mass_amu("smiles:CO") == formula_mass_amu("n2") == 0


def test_nitrogen_on_nitrogen_ice_by_the_command_line(tmp_path: Path) -> None:
    """Surface, sites and collisions of a system that is not the paper's, each in a shell of its own."""

    def step(name: str, *flags: object) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, ROOT / "bin" / f"{name}.py", *map(str, flags)]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    given = ("--model", "n2-trappe", "--campaign-seed", 1)
    ice = ("--phase", "crystalline", "--molecules", "N2", "--crystal", ALPHA_N2, "--projectile", "N2",
           "--n-crystalline", 14, "--n-crystalline-fixed", 8, "--surface-temperatures-K", 10,
           "--n-snapshots", 1, "--thermalization-fs", 100)  # fmt: skip
    done = step("prepare_surface", *given, *ice, "--out", "ice")
    assert done.returncode == 0, done.stderr
    shot = ("--surfaces", "ice", "--phase", "crystalline", "--n-trajectories", 2,
            "--energies-K", 2000, "--n-polar", 1,
            "--n-azimuth", 2, "--aim-radius-A", 1, "--surface-temperatures-K", 10, "--timestep-fs", 1,
            "--duration-fs", 1000, "--width", 2, "--model-error", "false", "--vibrational-number", 0,
            "--rotational-number", 4, "--checkpoints", "kept")  # fmt: skip
    done = step("run_collisions", *given, *shot, "--out", "shard")
    assert done.returncode == 0, done.stderr
    table = pandas.read_csv(tmp_path / "shard/trajectories.csv")
    assert table["outcome"].tolist() == ["stuck", "stuck"]
    assert table["energy_drift_meV_per_ps"].abs().max() < 1.0
    assert '"ice": "N2"' in (tmp_path / "shard/campaign.json").read_text()
    results = tmp_path / "results/sticking"
    shutil.copytree(tmp_path / "ice", results / "surfaces/ice")
    for name in ("trajectories.csv", "campaign.json"):
        shutil.copy(tmp_path / "shard" / name, results)
    repeat("sticking", tmp_path / "results", 0, 3, tmp_path / "again")
    assert read(tmp_path / "again/frames.extxyz")[0].get_chemical_formula() == "N30"
    refused = step("prepare_surface", "--model", "q-tip4p-f", "--campaign-seed", 1, *ice, "--out", "no")
    assert refused.returncode == 2
    assert "q-tip4p-f, which takes O, H, H" in refused.stderr
