"""What the paper prescribes of sticking, and no law forbids to get wrong: aims, energies, temperatures."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.units import fs as ase_fs
from scipy.stats import kstest, norm, t

from frazil.errors import UserError
from frazil.experiments.sticking import clusters, collisions, preparation
from frazil.experiments.sticking.binding import FAR_A, points, site_types, sites, starts
from frazil.experiments.sticking.clusters import PUBLISHED, Row, System, with_bonds, with_velocities
from frazil.experiments.sticking.collisions import BOUNCED, DISSOCIATED, BouncedOrBroken, start
from frazil.experiments.sticking.projectile import Projectile
from frazil.experiments.sticking.residence import typical_energy
from frazil.experiments.sticking.results import half_lives
from frazil.experiments.sticking.settings import Campaign, Grid, Preparation
from frazil.experiments.sticking.surfaces import crystalline, masses_of
from frazil.md.trajectory import Outcome, Trajectory
from frazil.potentials.analytic.h2_co import H2_LENGTH_A, bond_energy
from frazil.potentials.interface import Analytic
from frazil.pytrees import pytree
from frazil.systems.co import molecular_centres
from frazil.systems.molecules import Molecules, molecule, molecules_of, random_rotation
from frazil.units import fs, kB

H2 = Projectile(molecule("H2"))

CAMPAIGN = Campaign(
    surface_temperatures_K=(10.0,), energies_K=(116.0,), n_polar=1, polar_max_deg=0.0, n_azimuth=600,
    azimuth="random", aim_radius_A=2.0, start_height_A=8.0, bounce_A=6.0, timestep_fs=1.0, duration_fs=200.0,
    width=3, model_error=False, campaign_seed=5,
)  # fmt: skip


def surface(number: int = 0) -> Atoms:
    """Four CO lying in a square, one of them held, and moving."""
    places = np.array([[-1.9, -1.9], [-1.9, 1.9], [1.9, -1.9], [1.9, 1.9]])
    atoms = Atoms("CO" * 4, [[x + dx, y, 0.0] for x, y in places for dx in (-0.56, 0.56)])
    atoms.set_array("fixed", np.array([0] * 6 + [1] * 2))
    atoms.info |= {"surface_temperature_K": 10.0, "surface_id": number, "phase": "crystalline"}
    atoms.set_velocities(np.full((8, 3), 1e-3 * (number + 1)))
    return atoms


def test_starts_of_collisions_are_uniform_in_the_disc_in_azimuth_in_orientation_and_over_surfaces() -> None:
    surfaces = [surface(number) for number in range(3)]
    begun = [start(CAMPAIGN, identity, surfaces, H2) for identity in range(600)]
    aims = np.array([[own.known["aim_x_A"], own.known["aim_y_A"]] for own in begun])
    azimuths = np.array([own.known["azimuth_deg"] for own in begun])
    axes = np.array([own.positions_A[-2] - own.positions_A[-1] for own in begun])
    angles = np.arctan2(axes[:, 1], axes[:, 0])
    for drawn, ends in (
        ((aims**2).sum(axis=1), (0.0, CAMPAIGN.aim_radius_A**2)),
        (np.arctan2(aims[:, 1], aims[:, 0]), (-np.pi, np.pi)),
        (azimuths, (0.0, 360.0)),
        (axes[:, 2] / H2_LENGTH_A, (-1.0, 1.0)),
        (angles, (-np.pi, np.pi)),
    ):
        assert kstest(drawn, "uniform", (ends[0], ends[1] - ends[0])).pvalue > 1e-3
    together = np.corrcoef(np.column_stack([aims, azimuths, axes]).T) - np.eye(6)
    assert np.abs(together).max() < 0.2
    chosen = np.array([own.known["surface_id"] for own in begun])
    assert np.bincount(chosen).min() > 150
    for own in begun[:20]:
        held = surfaces[own.known["surface_id"]]
        np.testing.assert_array_equal(own.positions_A[:-2], held.positions)
        np.testing.assert_array_equal(own.velocities[:-2], held.get_velocities())
        assert own.known["height_A"] == 0.0


def test_a_collision_ends_beyond_the_distance_on_the_way_out_or_with_a_broken_bond() -> None:
    one = Atoms("CO", [[0, 0, -1.13], [0, 0, 0]])
    rule = BouncedOrBroken.of(6.0, one, H2)

    def ends(centre: list[float], velocity: list[float], h2_A: float = 0.74, co_A: float = 1.13) -> int:
        half = np.array([0.0, 0.0, h2_A / 2])
        positions = np.array([[0, 0, -co_A], [0, 0, 0], centre + half, centre - half])
        state: Any = SimpleNamespace(
            positions=jnp.asarray(positions),
            velocities=jnp.asarray([[0, 0, 0], [0, 0, 0], velocity, velocity]),
        )
        return int(rule(state, None))  # type: ignore[arg-type]

    up, down = [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]
    assert ends([0, 0, 6.5], up) == BOUNCED
    assert ends([0, 0, 6.5], down) == 0
    assert ends([0, 0, 5.55], up) == 0
    assert ends([0, 0, 5.8], up) == BOUNCED, "one H is beyond"
    assert ends([6.5, 0, 0.1], [1.0, 0, 0.0]) == BOUNCED, "away from the middle, sideways"
    assert ends([0, 0, 3.0], up, h2_A=1.45) == ends([0, 0, 3.0], up, co_A=1.55) == 0
    assert ends([0, 0, 3.0], up, h2_A=1.55) == ends([0, 0, 3.0], up, co_A=1.65) == DISSOCIATED
    assert ends([0, 0, 9.0], up, co_A=1.65) == DISSOCIATED


def test_the_row_of_a_collision_counts_turns_drift_and_the_way_out() -> None:
    time = np.arange(0.0, 2001.0, 20.0)
    height = 3.0 + 0.5 * np.cos(2 * np.pi * time / 500.0)
    height[-25:] = np.linspace(3.5, 5.6, 25)
    begun = SimpleNamespace(known={"height_A": 1.0, "trajectory_id": 4})
    rows = {
        "step": np.arange(len(time)) * 40, "rising": np.gradient(height), "apart_A": height,
        "energy": 2e-6 * time, "kinetic_energy": 1.0 - 1e-6 * time,
        "projectile_A": np.stack([0 * time, 0 * time, height], axis=1),
    }  # fmt: skip
    campaign = replace(CAMPAIGN, timestep_fs=0.5)
    found = collisions._row(campaign, begun, Trajectory(4, Outcome.FINISHED, 4000, rows))  # type: ignore[arg-type]
    assert (found["outcome"], found["time_fs"]) == ("stuck", 2000.0)
    assert found["n_bounces"] == 3, "at 250, 750 and 1250 fs; at 1500 fs it leaves from its highest point"
    assert found["energy_drift_meV_per_ps"] == pytest.approx(1.0)
    assert found["beyond_5_A_fs"] == time[np.argmax((height > 5.0) & (time > 1500))]
    assert found["path"]["z_A"] == pytest.approx(height - 1.0)
    assert found["path"]["time_fs"] == time.tolist()


@pytree
@dataclass(frozen=True)
class Well(Analytic):
    """A flat well for H2's centre, 3 Å above z = 0, that reaches far; atoms of the surface on springs."""

    depth_eV: Any
    rest_A: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        z = positions_A[-2:, 2].mean()
        held = 2.0 * jnp.sum((positions_A[:-2] - self.rest_A) ** 2)
        return -self.depth_eV * jnp.exp(-((z - 3.0) ** 2) / 20.0) + held + bond_energy(positions_A[-2:])


class Wells:
    """Stands for a driver: three members whose wells differ in depth, and their mean."""

    def __init__(self, rest_A: np.ndarray, members_K: tuple[float, ...]) -> None:
        self.rest_A, self.members_K, self.n_members = rest_A, members_K, len(members_K)

    def potential(self, atoms: Atoms, member: int | None = None) -> Well:
        depth_K = np.mean(self.members_K) if member is None else self.members_K[member]
        return Well(depth_K * kB, jnp.asarray(self.rest_A))


def test_binding_energies_are_the_depth_of_a_known_well() -> None:
    """Close minus far, far being free, whatever the surface gains by relaxing; members at the same places."""
    start_at = surface()
    rest_A = start_at.positions.copy()
    rest_A[:6] += 0.05  # the mobile ones relax
    grid = Grid(
        binding_area_A2=9.0,
        binding_spacing_A=1.5,
        binding_max_force_eV_per_A=1e-4,
        binding_max_steps=600,
        width=4,
    )
    found = sites(start_at, grid, Wells(rest_A, (380.0, 400.0, 450.0)), H2)  # type: ignore[arg-type]
    assert len(found) == 4
    assert (found["converged"] == 1).all()
    assert found["binding_energy_K"].to_numpy() == pytest.approx(-410.0, abs=0.1)
    for member, depth_K in enumerate((380.0, 400.0, 450.0)):
        assert found[f"member_{member}_K"].to_numpy() == pytest.approx(-depth_K, abs=0.1)
    assert found["model_std_K"].to_numpy() == pytest.approx(np.std([380, 400, 450], ddof=1), rel=1e-3)
    assert found["z_A"].to_numpy() == pytest.approx(3.0, abs=0.05)
    assert found[["x_A", "y_A"]].to_numpy() == pytest.approx(points(grid), abs=1e-3)
    assert (found["largest_shift_A"] < 1e-3).all(), "from where the surface is without H2"
    assert np.isnan(found["truth_energy_K"]).all()
    assert FAR_A > 15


def test_a_surface_alone_may_take_more_steps_than_a_site() -> None:
    """It is one minimization that all sites refer to: a glass needs more, and a whole run would end there."""
    begun = surface()
    rest_A = begun.positions.copy()
    rest_A[:6] += 0.05
    wells = Wells(rest_A, (400.0, 410.0))
    grid = Grid(binding_area_A2=9.0, binding_spacing_A=3.0, binding_max_steps=4, width=1)
    (site,) = sites(begun, grid, wells, H2).to_dict("records")  # type: ignore[arg-type]
    assert site["converged"] == 0, "the site has its four steps"
    hard = replace(grid, binding_max_steps=1, binding_max_force_eV_per_A=1e-9)
    with pytest.raises(UserError, match=r"H2 far away did not relax below 1e-09 eV/Å in 10 steps"):
        sites(begun, hard, wells, H2)  # type: ignore[arg-type]


def test_sites_over_one_molecule_between_two_and_among_more_are_told_apart() -> None:
    """N2 standing on a square lattice of 4 Å: over one, over the middle of an edge, over that of a square."""
    places = [[4.0 * i, 4.0 * j] for i in range(-2, 3) for j in range(-2, 3)]
    positions = np.array([[x, y, z] for x, y in places for z in (0.0, -1.1)])
    molecules = Molecules.of(Atoms("N2" * len(places), positions))
    centres = np.array([[0.0, 0.0, 3.3], [2.0, 0.0, 2.6], [2.0, 2.0, 1.8], [0.3, 0.2, 3.3]])
    found = site_types(molecules, np.stack([positions] * len(centres)), centres)
    assert found == ["top", "bridge", "hollow", "top"]


def test_sites_begin_at_the_clearance_over_a_square_grid() -> None:
    wide = Grid(binding_area_A2=16.0, binding_spacing_A=1.0, binding_clearance_A=2.5)
    assert points(wide).min() == -1.5
    assert len(np.unique(points(wide).round(6), axis=0)) == 16
    begun = starts(surface(), wide, H2)
    centres = begun[:, -2:].mean(axis=1)
    assert np.linalg.norm(begun[:, -2] - begun[:, -1], axis=1) == pytest.approx(H2_LENGTH_A)
    apart = np.linalg.norm(begun[:, :-2] - centres[:, None], axis=2).min(axis=1)
    assert apart == pytest.approx(2.5)
    assert (centres[:, 2] > 0).all()
    axes = begun[:, -2] - begun[:, -1]
    assert np.linalg.matrix_rank(axes) == 3, "each turned at random"


def test_intervals_of_typical_energies_and_half_lives_are_of_their_formulas() -> None:
    """A median errs √(π/2) more than a mean; errors of ln t½ by energy and frequency add in quadrature."""
    energies_K = -200.0 + 40.0 * norm.ppf((np.arange(25) + 0.5) / 25)
    sites = pandas.DataFrame(
        {"phase": "crystalline", "binding_energy_K": energies_K, "converged": 1,
         "member_0_K": energies_K - 10.0, "member_1_K": energies_K + 30.0}
    )  # fmt: skip
    lost = pandas.DataFrame({"phase": ["crystalline"], "binding_energy_K": [-9000.0], "converged": [0]})
    sites = pandas.concat([sites, lost.assign(member_0_K=0.0, member_1_K=0.0)])
    mean_half_K = t.ppf(0.975, 24) * energies_K.std(ddof=1) / 5.0
    for kind, wider in (("mean", 1.0), ("median", np.sqrt(np.pi / 2))):
        found = typical_energy(sites, kind)
        assert found.value == pytest.approx(-200.0)
        assert (found.low_95, found.high_95) == pytest.approx(
            (-200.0 - wider * mean_half_K, -200.0 + wider * mean_half_K), rel=1e-4
        )
        assert found.model_std == pytest.approx(np.sqrt(2) * 20.0)
        assert found.total_low_95 < found.low_95 < found.high_95 < found.total_high_95
    frequencies = np.array([3.0, 4.0, 5.0])
    attempts = pandas.DataFrame({"phase": "crystalline", "attempt_frequency_per_ps": frequencies})
    (row,) = half_lives(sites, attempts, [20.0], True).to_dict("records")
    assert row["half_life_s"] == pytest.approx(np.log(2) / 4.0e12 * np.exp(10.0))
    by_frequency = t.ppf(0.975, 2) * frequencies.std(ddof=1) / np.sqrt(3) / 4.0
    energy = typical_energy(sites, "median")
    for end, value in (("low", energy.high_95), ("high", energy.low_95)):
        error = np.hypot((value + 200.0) / 20.0, by_frequency)
        assert abs(np.log(row[f"{end}_95"] / row["half_life_s"])) == pytest.approx(error)
    assert row["low_95"] < row["half_life_s"] < row["high_95"]


@pytree
@dataclass(frozen=True)
class Springs(Analytic):
    """Every atom on a spring of its own."""

    rest_A: Any

    def energy(self, positions_A: jax.Array) -> jax.Array:
        return 5.0 * jnp.sum((positions_A - self.rest_A) ** 2)


@pytest.mark.parametrize("phase", ["crystalline", "amorphous"])
def test_packings_relax_as_a_whole_first_and_then_a_shell_is_held(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = crystalline(12, 4)
    held: list[int] = []

    class Source:
        def potential(self, atoms: Atoms) -> Springs:
            n_fixed = int(atoms.arrays["fixed"].sum()) // 2 if "fixed" in atoms.arrays else 0
            held.append(n_fixed)
            assert atoms.get_chemical_symbols() == ["C", "O"] * 12
            return Springs(jnp.asarray(packed.positions + (0.3 if n_fixed else 0.1)))

    settings = Preparation(phase=phase, surface_max_force_eV_per_A=0.01)
    found = preparation._relaxed(settings, Source(), packed.copy())  # type: ignore[arg-type]
    moved = found.positions - packed.positions
    assert held == ([4] if phase == "crystalline" else [0, 4])
    assert moved[:16] == pytest.approx(0.3, abs=2e-3)
    assert moved[16:] == pytest.approx(0.0 if phase == "crystalline" else 0.1, abs=2e-2)
    assert found.info["phase"] == phase
    assert np.isnan(found.info["initial_density_g_per_cm3"])


class Bath:
    """Stands for the engine: notes how it was asked to run, and returns frames that know their number."""

    runs: list["Bath"]

    def __init__(self, potential: Any, integrator: Any, masses: np.ndarray, **options: Any) -> None:
        self.integrator, self.masses, self.options = integrator, masses, options
        self.runs.append(self)

    def run(self, positions: np.ndarray, velocities: np.ndarray) -> list[Trajectory]:
        self.velocities = velocities
        n = self.options["n_steps"] // self.options["observe_every"] + 1
        number = np.arange(n)
        return [
            Trajectory(
                i,
                Outcome.FINISHED,
                self.options["n_steps"],
                {
                    "step": number * self.options["observe_every"], "temperature_K": 100.0 + number,
                    "positions": x[None] + 1e-3 * number[:, None, None],
                    "velocities": (1.0 + number)[:, None, None] * v[None] / (1.0 + i),
                },
            )
            for i, (x, v) in enumerate(zip(positions, velocities, strict=True))
        ]  # fmt: skip


def prepared(monkeypatch: pytest.MonkeyPatch, folder: Any, phase: str) -> tuple[list[Bath], list[Atoms], Any]:
    """The runs by which surfaces of a phase are prepared, the surfaces, and the table of checks."""
    Bath.runs = []
    monkeypatch.setattr(preparation, "Ensemble", Bath)
    relaxed = crystalline(150, 40)
    relaxed.info |= {"phase": phase, "initial_density_g_per_cm3": 1.0}
    monkeypatch.setattr(preparation, "_relaxed", lambda *_: relaxed)
    settings = Preparation(
        phase=phase, n_snapshots=3, surface_temperatures_K=(5.0, 20.0), thermalization_fs=1200.0,
        anneal_fs=3000.0, anneal_temperature_K=75.0, surface_timestep_fs=0.5, damping_fs=80.0,
        campaign_seed=1,
    )  # fmt: skip
    preparation.prepare(settings, "analytic", folder)
    checks = preparation.CHECKS.read(folder / "checks.csv")
    return Bath.runs, preparation.read_surfaces(folder), checks


def kinetic_K(masses: np.ndarray, velocities: np.ndarray) -> float:
    """The temperature of velocities (natoms, 3) of free atoms."""
    return float((masses[:, None] * velocities**2).mean() / kB)


def test_crystals_start_at_their_temperature_and_give_the_second_half(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    runs, surfaces, checks = prepared(monkeypatch, tmp_path, "crystalline")
    assert len(runs) == 2
    for run, bath_K in zip(runs, (5.0, 20.0), strict=True):
        assert run.integrator.temperature_K == bath_K
        assert (run.integrator.timestep_fs, run.integrator.damping_fs) == (0.5, 80.0)
        assert kinetic_K(run.masses, run.velocities[0]) == pytest.approx(bath_K, rel=0.15)
        assert np.abs(run.velocities.mean(axis=(0, 1))).max() > 0
        assert run.options["n_steps"] * 0.5 == 1200.0
        assert run.options["observe_every"] * 0.5 == 200.0
        assert run.options["frozen"].sum() == 80
    assert [s.info["surface_temperature_K"] for s in surfaces] == [5.0] * 3 + [20.0] * 3
    relaxed = crystalline(150, 40)
    for number, atoms in enumerate(surfaces):
        frame = 4 + number % 3  # of 0 to 6, the later half
        assert atoms.positions == pytest.approx(relaxed.positions + 1e-3 * frame, abs=1e-6)
        own = runs[number // 3].velocities[0] * (1 + frame)
        assert atoms.get_velocities() == pytest.approx(own, abs=1e-6)
    assert checks["temperature_K"].to_numpy() == pytest.approx(104.5)  # of observations 3 to 6
    assert checks["temperature_error_K"].to_numpy() == pytest.approx(
        np.array([5.0, 20.0]) * np.sqrt(2 / (3 * 220 * 4)), rel=1e-4
    )
    assert checks["rms_displacement_A"].to_numpy() == pytest.approx(6e-3 * np.sqrt(3), rel=1e-3)
    assert checks[["n_molecules", "n_fixed", "n_surfaces"]].to_numpy().tolist() == [[150, 40, 3]] * 2


def test_amorphous_ice_is_annealed_and_each_snapshot_quenched_with_its_velocities_scaled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (warm, *quenches), surfaces, _ = prepared(monkeypatch, tmp_path, "amorphous")
    assert warm.integrator.temperature_K == 75.0
    assert kinetic_K(warm.masses, warm.velocities[0]) == pytest.approx(75.0, rel=0.15)
    assert warm.options["n_steps"] * 0.5 == 3000.0
    assert warm.options["observe_every"] * 0.5 == 1000.0, "equispaced, the last at the end"
    annealed = np.stack([warm.velocities[0] * (1 + number) for number in (1, 2, 3)])
    for run, bath_K in zip(quenches, (5.0, 20.0), strict=True):
        assert run.velocities == pytest.approx(annealed * np.sqrt(bath_K / 75.0))
        assert run.integrator.temperature_K == bath_K
        assert run.options["n_steps"] * 0.5 == 1200.0
    assert len(surfaces) == 6
    relaxed = crystalline(150, 40)
    for number, atoms in enumerate(surfaces):
        start_A = relaxed.positions + 1e-3 * (1 + number % 3)
        assert atoms.positions == pytest.approx(start_A + 2e-3, abs=1e-6), "the end of a quench"


def test_drawn_velocities_have_their_temperature_and_no_drift() -> None:
    atoms = crystalline(150, 0)
    with_velocities(atoms, 100.0, np.random.default_rng(1))
    assert kinetic_K(masses_of(atoms), atoms.get_velocities()) == pytest.approx(100.0, rel=0.12)
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-10


class Free(Calculator):
    """No forces."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms: Any = None, properties: Any = None, changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Atoms:
    """Clusters that are one molecule at rest, without forces; what each was made of in ``asked``."""
    one = Atoms("CO", [[0.0, 0.0, -0.64], [0.0, 0.0, 0.49]])
    one.positions -= molecular_centres(one.positions).mean(axis=0)
    one.info["asked"] = []

    def cluster(system: System, n: int, campaign_seed: int, identity: int, steps: int = 500) -> Atoms:
        one.info["asked"].append((n, campaign_seed, identity))
        atoms = Atoms(one.symbols, one.positions)
        atoms.calc = Free()
        return atoms

    monkeypatch.setattr(clusters, "cluster", cluster)
    monkeypatch.setattr(System, "rests", lambda self, n, shot: [*self.kinds, *[self.projectile] * shot])
    monkeypatch.setattr(clusters, "calculator", lambda rests: Free())
    return one


def test_h2_is_shot_at_the_cluster_s_middle_with_its_energy_and_kept_while_near(free: Atoms) -> None:
    row = Row(1, 0.0, 25.0, 10, 300.0, 100)
    frames = clusters.shot(PUBLISHED, row, 1, 7)
    assert free.info["asked"] == [(1, 1, 7)]
    centres = np.array([frame.positions[-2:].mean(axis=0) for frame in frames])
    steps = np.diff(centres, axis=0)
    speed_A_per_fs = np.sqrt(2 * 300.0 * kB / 2.016) * ase_fs
    assert np.linalg.norm(steps, axis=1) == pytest.approx(25.0 * speed_A_per_fs, rel=1e-6)
    direction = steps[0] / np.linalg.norm(steps[0])
    assert np.linalg.norm(np.cross(centres, direction), axis=1).max() < 1e-6, "through the middle"
    apart = [np.linalg.norm(f.positions[:2, None] - f.positions[None, 2:], axis=2).min() for f in frames]
    assert max(apart) < 6.0
    assert len(frames) == pytest.approx(2 * 6.4 / (25.0 * speed_A_per_fs), abs=5), "in and out again"
    travelled = centres[0] @ direction + 7.0  # the outermost centre of mass is at the middle
    assert travelled == pytest.approx(
        round(travelled / (25 * speed_A_per_fs)) * 25 * speed_A_per_fs, abs=1e-6
    )
    assert len(clusters.shot(PUBLISHED, replace(row, frames_each=5), 1, 7)) == 10, (
        "at most twice what the paper has"
    )
    (other,) = {tuple(np.round(clusters.shot(PUBLISHED, row, 1, 8)[0].positions[0], 9))}
    assert other == pytest.approx(tuple(frames[0].positions[0])), "a cluster at 0 K rests"


def test_frames_of_a_warm_cluster_come_after_a_picosecond_at_their_interval(free: Atoms) -> None:
    times: list[float] = []

    class Thermostat:
        def __init__(self, atoms: Atoms, timestep: float, **options: float) -> None:
            assert timestep / fs == pytest.approx(1.0)
            assert options == {"temperature_K": 1000.0, "taut": pytest.approx(100 * fs)}
            assert kinetic_K(atoms.get_masses(), atoms.get_velocities()) > 0
            assert [type(held) for held in atoms.constraints] == [clusters.Wall], "what boils off comes back"
            self.atoms, self.time_fs = atoms, 0.0

        def run(self, steps: int) -> None:
            self.time_fs += steps
            self.atoms.positions[0, 0] = self.time_fs
            times.append(self.time_fs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "NVTBerendsen", Thermostat)
        frames = clusters.thermal(PUBLISHED, Row(1, 1000.0, 200.0, 10), 4, 1, 2)
    assert times == [1000.0, 1200.0, 1400.0, 1600.0, 1800.0]
    assert [frame.positions[0, 0] for frame in frames] == times[1:]


def test_table_1_is_counted_out_and_frames_know_their_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a percent of all rows; H2's frames are spread over collisions, and over each."""
    asked: list[tuple[float, float, int]] = []

    def shot(system: System, row: Row, campaign_seed: int, identity: int, at_most: int | None) -> list[Atoms]:
        assert at_most is None, "the published study's collisions end as they did"
        asked.append((row.temperature_K, row.h2_energy_K, identity))
        return [Atoms("COHH", np.full((4, 3), float(i)) + np.eye(4, 3)) for i in range(12)]

    def thermal(system: System, row: Row, n_frames: int, seed: int, identity: int) -> list[Atoms]:
        return [Atoms("CO", np.eye(2, 3))] * n_frames

    monkeypatch.setattr(clusters, "shot", shot)
    monkeypatch.setattr(clusters, "thermal", thermal)
    monkeypatch.setattr(System, "rests", lambda self, n, shot: [*self.kinds, *[self.projectile] * shot])
    frames = list(clusters.sampled(PUBLISHED, 0.001, 1))
    numbers = [str(frame.info["trajectory_id"]) for frame in frames]
    counts = [sum(name.startswith(f"{row}/") for name in numbers) for row in range(6)]
    assert counts == [1, 1, 1, 1, 7, 12]
    slow = [identity for _, energy_K, identity in asked if energy_K == 50.0]
    assert slow == list(range(len(slow)))
    assert len(slow) > 3, "several collisions, though one has enough frames"
    parents = {str(frame.info["parent"]) for frame in frames if len(frame) == 4}
    assert parents >= {"cluster-10-0", "cluster-10-1"}
    monkeypatch.setattr(clusters, "shot", lambda *given: [])
    with pytest.raises(UserError, match="never came near"):
        list(clusters.sampled(PUBLISHED, 0.001, 1))


def test_scans_pull_h2_straight_away_from_the_cluster(free: Atoms) -> None:
    frames = clusters.scan(PUBLISHED, 1, 3)
    assert free.info["asked"] == [(10, 1, clusters.FIRST_SCAN + 3)]
    centres = np.array([frame.positions[-2:].mean(axis=0) for frame in frames])
    distances = np.array([frame.info["distance_A"] for frame in frames])
    assert (distances.min(), distances.max(), len(frames)) == (-0.8, 6.0, 23)
    away = centres[-1] / np.linalg.norm(centres[-1])
    assert np.linalg.norm(np.cross(centres, away), axis=1).max() < 1e-9
    assert np.diff(centres @ away) == pytest.approx(np.diff(distances))
    for frame in frames:
        np.testing.assert_array_equal(frame.positions[:2], frames[0].positions[:2])
        assert frame.get_distance(0, 1) == pytest.approx(1.128)
        assert frame.get_distance(2, 3) == pytest.approx(H2_LENGTH_A)


def test_bonds_are_drawn_and_centres_and_axes_stay() -> None:
    ice = crystalline(200, 0)
    rests = PUBLISHED.rests(200, False)
    drawn = with_bonds(ice, rests, np.random.default_rng(2))
    assert molecular_centres(drawn.positions) == pytest.approx(molecular_centres(ice.positions), abs=1e-9)
    bonds, before = (atoms.positions[1::2] - atoms.positions[::2] for atoms in (drawn, ice))
    lengths = np.linalg.norm(bonds, axis=1)
    assert lengths.mean() == pytest.approx(1.128, abs=0.005)
    assert lengths.std() == pytest.approx(0.02, rel=0.15)
    assert np.abs(np.cross(bonds, before)).max() < 1e-9
    moved = clusters.jostled(ice, rests, 0.1, np.random.default_rng(3))
    shifts = molecular_centres(moved.positions) - molecular_centres(ice.positions)
    assert shifts.std() == pytest.approx(0.1, rel=0.15)
    assert np.abs(shifts.mean()) < 0.02
    turned = moved.positions[1::2] - moved.positions[::2]
    cosines = (turned * before).sum(axis=1) / np.linalg.norm(turned, axis=1) / np.linalg.norm(before, axis=1)
    assert np.degrees(np.arccos(cosines)).mean() == pytest.approx(np.degrees(0.1) * 1.2533, rel=0.15)


def test_the_wall_is_harmonic_beyond_20_bohr() -> None:
    radius_A = 20 * 0.529177
    atoms = Atoms("He3", [[radius_A - 0.1, 0, 0], [0, radius_A + 0.3, 0], [0, 0.6, -radius_A]])
    wall = clusters.Wall()

    def energy(positions: np.ndarray) -> float:
        return wall.adjust_potential_energy(Atoms("He3", positions))

    forces = np.zeros((3, 3))
    wall.adjust_forces(atoms, forces)
    third_A = np.hypot(0.6, radius_A) - radius_A
    assert energy(atoms.positions) == pytest.approx(0.5 * 0.3**2 + 0.5 * third_A**2, rel=1e-4)
    assert forces[0].tolist() == [0, 0, 0]
    assert forces[1] == pytest.approx([0, -0.3, 0], abs=1e-4)
    for axis in (1, 2):
        step = np.zeros((3, 3))
        step[2, axis] = 1e-5
        slope = (energy(atoms.positions + step) - energy(atoms.positions - step)) / 2e-5
        assert forces[2, axis] == pytest.approx(-slope, abs=1e-6)


def test_clusters_have_the_density_of_ice_and_bonds_within_molecules_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def packed(counts: Any, region: str, *given: Any) -> Atoms:
        ((_, n),) = counts
        asked.append((n, float(region.split()[-1]), *given))
        return Atoms("CO" * n, np.arange(6.0 * n).reshape(-1, 3))

    monkeypatch.setattr(clusters, "packed", packed)
    monkeypatch.setattr(clusters, "calculator", lambda rests: Free())
    atoms = clusters.cluster(PUBLISHED, 30, 4, 7)
    ((n, radius_A, nearest_A, seed, _, identity),) = asked
    assert (n, nearest_A, seed, identity) == (30, 2.8, 4, 7)
    assert n / (4 / 3 * np.pi * radius_A**3) == pytest.approx(0.018, rel=1e-3)
    assert molecular_centres(atoms.positions).mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    monkeypatch.undo()
    pytest.importorskip("gfnff")
    monkeypatch.setattr("gfnff.ase_calculator.GFNFF", lambda fragments: fragments.tolist())
    assert clusters.calculator(PUBLISHED.rests(2, False)) == [1, 1, 2, 2]
    assert clusters.calculator(PUBLISHED.rests(2, True)) == [1, 1, 2, 2, 3, 3]


def test_clusters_of_other_molecules_are_as_loose_beside_their_ice_and_keep_what_they_look_like() -> None:
    """Water with N2, three to one, and HCN shot: counts, density, insides with their spread, intervals."""
    system = System.of(("H2O", "N2"), (3, 1), "HCN", 0.94, 2.0)
    assert [(one.get_chemical_formula(), n) for one, n in system.counts(10)] == [("H2O", 8), ("N2", 2)]
    mean_amu = (3 * 18.015 + 28.014) / 4
    assert system.density_per_A3 * mean_amu / 0.60221 == pytest.approx(0.78 * 0.94, rel=1e-3)
    assert PUBLISHED.density_per_A3 * 28.01 / 0.60221 == pytest.approx(0.78 * 1.07, rel=5e-3)
    assert (system.slowness, PUBLISHED.slowness) == (4, 1), "HCN is √13.4 times as slow as H2"
    assert system.projectile.get_center_of_mass() == pytest.approx(np.zeros(3), abs=1e-12)
    rests = system.rests(400, True)
    generator = np.random.default_rng(5)
    parts = [3.0 * k + one.positions @ random_rotation(generator) for k, one in enumerate(rests)]
    seen = Atoms(np.concatenate([one.numbers for one in rests]), np.concatenate(parts))
    seen.positions += 0.002 * generator.normal(size=seen.positions.shape)
    exact, drawn = with_bonds(seen, rests, None), with_bonds(seen, rests, generator)
    for found in (exact, drawn, clusters.jostled(exact, rests, 0.1, generator)):
        assert found.numbers.tolist() == seen.numbers.tolist()
    before, after = (clusters.centres(rests, atoms.positions) for atoms in (seen, drawn))
    assert after == pytest.approx(before, abs=1e-9), "centres of mass stay"
    water = [slice(3 * k, 3 * k + 3) for k in range(300)]
    assert np.abs([exact[own].get_angle(1, 0, 2) - rests[0].get_angle(1, 0, 2) for own in water]).max() < 1e-6
    oh_A = np.array([drawn[own].get_distance(0, 1) for own in water])
    assert oh_A.mean() == pytest.approx(rests[0].get_distance(0, 1), abs=0.005)
    assert oh_A.std() == pytest.approx(np.hypot(0.03, 0.02) / np.sqrt(2), rel=0.15)
    nn_A = np.array([drawn.get_distance(900 + 2 * k, 901 + 2 * k) for k in range(100)])
    assert nn_A.std() == pytest.approx(0.02, rel=0.3)
    for own, one in ((water[7], rests[7]), (slice(1100, 1103), rests[-1])):
        away = seen.positions[own] - seen[own].get_center_of_mass()
        assert exact.positions[own] - exact[own].get_center_of_mass() == pytest.approx(away, abs=0.01), one
    assert {len(frame) for frame in clusters.isolated(system)} == {2}
    assert {frame.get_chemical_formula() for frame in clusters.isolated(system)} == {"N2"}


def test_water_on_water_is_explored_by_gfn_ff() -> None:
    pytest.importorskip("gfnff")
    system = System.of(("H2O",), (), "H2O", 0.94, 2.0)
    frames = clusters.shot(system, Row(4, 100.0, 25.0, 10, 300.0, 2), 1, 0)
    assert frames
    assert {frame.get_chemical_formula() for frame in frames} == {"H10O5"}
    for frame in frames:
        assert len(molecules_of(frame)) == 5, "molecules stay whole"
        assert np.linalg.norm(frame.positions[:-3, None] - frame.positions[-3:], axis=2).min() < 6.0
