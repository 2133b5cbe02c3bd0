"""Settings of sticking (H2 on CO ice, or any molecules): surfaces, sites, collisions, residence times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from frazil.analysis.settings import LEAST_HALFWIDTH, MOST_UNTIL_ENOUGH, ModelError
from frazil.labels.settings import (
    KNOWN_TRUTHS,
    LEVEL_PATTERN,
    OF_ONE_KIND,
    SEMIEMPIRICAL,
    Seed,
    TakeMoleculesOut,
    dataset_problems,
    level_problems,
)
from frazil.settings import given, is_multiple, part, same_as, setting, settings, step
from frazil.systems.settings import FORMULAS, MOLECULE, MOLECULES, composition_of, molecule_problem

PHASES = ("crystalline", "amorphous")
OBSERVE_fs = 20.0
"""Between observations, where the stop rule is judged."""
NEAREST_START_A = 3.0
"""A projectile that starts nearer to an atom is inside the surface."""
CO, H2 = ("CO",), "H2"
"""The ice and the projectile of the published study."""
PLACED_MOLECULES, PLACED_FRAMES, PLACED_BARE = (10, 10, 10, 10, 40), 14, 2
"""Molecules of the clusters that the projectile is placed around, in turn, the frames of each, and how many of
these are without the projectile. A surface has more molecules about the projectile than a small cluster has.
"""
MOST_STEPS = 1_000_000_000
ANALYTIC, KNOWN_TRUTH = "analytic", "h2-co-analytic"
ELEMENTS_OF = {"n2-trappe": {"N"}, "q-tip4p-f": {"H", "O"}}
"""Of the molecules that other known truths are of."""
LABEL_LEVELS = (
    KNOWN_TRUTH, *KNOWN_TRUTHS, "gfn-ff", "bhlyp-d4/def2-svp", "bhlyp-d4/def2-tzvp", "bhlyp-d4/def2-qzvp",
    "b3lyp-d4/def2-tzvp", "pbe-d4/def2-tzvp", *SEMIEMPIRICAL,
)  # fmt: skip
MASSES_amu = {
    "H": 1.008,
    "C": 12.011,
    "N": 14.007,
    "O": 15.999,
    "Ne": 20.18,
    "Si": 28.085,
    "S": 32.06,
    "Ar": 39.95,
}
"""Of the elements of common projectiles, since a login node that checks settings has no ASE."""
SQUARE_SPEED_A2_per_fs2 = 1.6628925e-6
"""2 k / amu: times energy (K) over mass (amu) it is the square of a speed."""
NEEDED_OF_A_MODEL = ("model.h5", "learning_curve.csv", "validation.extxyz", "scans.extxyz")
WIDTH_DOC = (
    "Trajectories or sites that run together; on a GPU several hundred. With model_error a shard should hold as many "
    "for each member. Part of the campaign: another width may change last bits"
)


@settings
class Preparation:
    """How the surfaces of one phase are made."""

    phase: str = given("Phase of the ice", choices=PHASES)
    molecules: tuple[str, ...] = setting(
        "Molecules of the ice, one or several kinds: names that ASE knows, smiles:…, or files of one molecule each",
        default=CO, pattern=MOLECULE, examples=MOLECULES,
    )  # fmt: skip
    parts: tuple[float, ...] = setting(
        "Part of each of these molecules in amorphous ice, in any unit, in their order; empty: equal parts",
        default=(), above=0, maximum=1e6, repeated=True,
    )  # fmt: skip
    crystal: Path | None = setting(
        "Crystal of these molecules (CIF, extxyz, …) that crystalline surfaces are cut from, molecules whole; without "
        "it α-CO of lattice_A",
        default=None, path="file",
    )  # fmt: skip
    projectile: str = setting(
        "Molecule that is shot: a name that ASE knows, smiles:…, or a file of one molecule", default=H2,
        pattern=MOLECULE, examples=MOLECULES,
    )  # fmt: skip
    n_crystalline: int = setting(
        "Molecules of the crystalline hemisphere", default=488, minimum=5, maximum=100000
    )
    n_crystalline_fixed: int = setting("Its outermost molecules that are held", default=172, minimum=0)
    n_amorphous: int = setting(
        "Molecules of the amorphous hemisphere", default=477, minimum=5, maximum=100000
    )
    n_amorphous_fixed: int = setting("Its outermost molecules that are held", default=183, minimum=0)
    lattice_A: float = setting("Lattice constant of crystalline CO", default=5.64, above=3, maximum=10)
    face: tuple[int, ...] = setting(
        "Lattice face of the crystal that is the surface",
        default=(1, 1, 0), minimum=-9, maximum=9, length=3, repeated=True,
    )  # fmt: skip
    radius_A: float = setting(
        "Radius of the crystalline hemisphere; 0: by its number of molecules",
        default=0,
        minimum=0,
        maximum=200,
    )
    shell_A: float = setting(
        "Thickness of the held shell; 0: by the number of held molecules", default=0, minimum=0, maximum=200
    )
    density_g_per_cm3: float = setting(
        "Density at which the amorphous hemisphere is packed", default=1.07, above=0, maximum=3
    )
    packing_distance_A: float = setting(
        "Distance between atoms of different molecules at which it is packed",
        default=2.6,
        minimum=1,
        maximum=5,
    )
    surface_temperatures_K: tuple[float, ...] = setting(
        "Temperatures of the surfaces", default=(5.0, 10.0, 20.0), above=0, maximum=1000
    )
    n_snapshots: int = setting(
        "Surfaces of each phase and temperature that collisions choose from",
        default=20,
        minimum=1,
        maximum=10000,
    )
    thermalization_fs: float = setting("Time at each surface temperature", default=10000.0, above=0)
    anneal_temperature_K: float = setting(
        "Temperature at which the amorphous ice is held first", default=75.0, above=0, maximum=300
    )
    anneal_fs: float = setting("Time at that temperature", default=100000.0, above=0)
    surface_timestep_fs: float = setting("Time step while surfaces are made", default=1.0, above=0, maximum=2)
    damping_fs: float = setting("Relaxation time of the thermostat of surfaces", default=100.0, above=0)
    surface_max_force_eV_per_A: float = setting(
        "Force at which the minimization of a surface has converged", default=0.005, above=0, maximum=0.1
    )
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")

    @property
    def n_molecules(self) -> int:
        """Molecules of the hemisphere."""
        return int(getattr(self, f"n_{self.phase}"))

    @property
    def n_fixed(self) -> int:
        """Its outermost molecules that are held."""
        return int(getattr(self, f"n_{self.phase}_fixed"))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what makes no surface."""
        if not any(self.face):
            yield "face", "allowed: three numbers that are not all 0"
        for phase in PHASES:
            by_count = not self.shell_A and (phase == "amorphous" or not self.radius_A)
            if by_count and getattr(self, f"n_{phase}_fixed") >= getattr(self, f"n_{phase}"):
                yield f"n_{phase}_fixed", f"allowed: fewer than [n_{phase}], so that some are mobile"
        if self.parts and len(self.parts) != len(self.molecules):
            yield "parts", "allowed: one for each of [molecules], or none for equal parts"
        for name in ("thermalization_fs", "anneal_fs"):
            if getattr(self, name) / self.surface_timestep_fs > MOST_STEPS:
                yield name, f"allowed: at most {MOST_STEPS:g} steps of [surface_timestep_fs]"


@settings
class Grid:
    """Where the projectile starts towards binding sites, and when a minimization has converged."""

    binding_area_A2: float = setting(
        "Square over the middle of the surface that the grid of sites covers", default=400.0, above=0
    )
    binding_spacing_A: float = setting("Spacing of that grid", default=1.0, above=0)
    binding_clearance_A: float = setting(
        "Distance of the projectile's centre from the nearest atom where a minimization starts",
        default=2.5,
        above=0,
        maximum=6,
    )
    binding_max_force_eV_per_A: float = setting(
        "Force at which a site has converged", default=0.001, above=0, maximum=0.1
    )
    binding_max_steps: int = setting("Steps after which a site has not converged; the surface alone may take ten times as many",
        default=2000, minimum=1,
    )  # fmt: skip
    width: int = setting(WIDTH_DOC, default=8, minimum=1, maximum=100000)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is no grid."""
        if self.binding_area_A2 / self.binding_spacing_A**2 > 1e6:
            yield "binding_spacing_A", "allowed: at most a million sites in [binding_area_A2]"


@settings
class Campaign:
    """The grid of collisions and how each is run."""

    surface_temperatures_K: tuple[float, ...] = same_as(Preparation, "surface_temperatures_K")
    energies_K: tuple[float, ...] = setting(
        "Collision energies, all translational",
        default=(12.0, 35.0, 58.0, 93.0, 116.0, 174.0, 232.0, 290.0, 348.0), above=0, maximum=100000,
    )  # fmt: skip
    n_polar: int = setting(
        "Polar angles of incidence, equidistant from 0", default=16, minimum=1, maximum=1000
    )
    polar_max_deg: float = setting(
        "Largest polar angle, from the surface normal", default=60.0, minimum=0, below=90
    )
    n_azimuth: int = setting("Collisions for each polar angle", default=12, minimum=1, maximum=1000)
    azimuth: str = setting(
        "Azimuths at random (the paper's text), or equidistant (its count)",
        default="random",
        choices=("random", "grid"),
    )
    aim_radius_A: float = setting(
        "Radius of the disc in the middle of the surface that is aimed at", default=6.0, minimum=0, maximum=50
    )
    start_height_A: float = setting(
        "Height of the projectile above the surface at the start; nearer than 3 Å it would be inside",
        default=8.0, minimum=NEAREST_START_A, maximum=50,
    )  # fmt: skip
    bounce_A: float = setting(
        "Distance of an atom of the projectile from every atom of the surface beyond which it has bounced",
        default=6.0,
        above=0,
        maximum=1000,
    )
    timestep_fs: float = setting("Time step of collisions", default=0.5, above=0, maximum=2)
    duration_fs: float = setting(
        "Time after which a projectile that has not bounced is stuck", default=10000.0, above=0
    )
    rotational_temperature_K: float = setting(
        "Temperature of the projectile's classical rotation; 0: it does not turn",
        default=0,
        minimum=0,
        maximum=10000,
    )
    vibrational_temperature_K: float = setting(
        "Temperature of the projectile's classical vibration (harmonic, at its own minimum); 0: at rest",
        default=0, minimum=0, maximum=10000,
    )  # fmt: skip
    vibrational_number: int = setting(
        "Vibrational state v of a diatomic projectile (EBK level on its own bond curve) in place of temperatures; -1: "
        "none", default=-1, minimum=-1, maximum=1000,
    )  # fmt: skip
    rotational_number: int = setting(
        "Rotational state J that goes with vibrational_number", default=0, minimum=0, maximum=1000
    )
    width: int = same_as(Grid, "width")
    model_error: bool = setting(
        "Let each collision run under one member of the committee, so that the model's part of the error shows; "
        "false: all under the mean",
        default=True,
    )
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what makes no collision."""
        if any(second <= first for first, second in zip(self.energies_K, self.energies_K[1:])):
            yield "energies_K", "allowed: in ascending order"
        warm = self.rotational_temperature_K or self.vibrational_temperature_K
        if self.vibrational_number >= 0 and warm:
            yield (
                "vibrational_number",
                "allowed: -1 with temperatures of the projectile, or no such temperatures",
            )
        if self.vibrational_number < 0 and self.rotational_number:
            yield "rotational_number", "allowed: 0 without a [vibrational_number] from 0 on"
        if not is_multiple(OBSERVE_fs, self.timestep_fs):
            yield "timestep_fs", f"allowed: a whole part of {OBSERVE_fs:g} fs, the interval of observations"
        if not is_multiple(self.duration_fs, OBSERVE_fs):
            yield "duration_fs", f"allowed: a whole number of {OBSERVE_fs:g} fs, the interval of observations"
        if self.duration_fs / self.timestep_fs > MOST_STEPS:
            yield "duration_fs", f"allowed: at most {MOST_STEPS:g} steps of [timestep_fs]"

    @property
    def per_energy(self) -> int:
        """Trajectories for one phase, surface temperature and collision energy."""
        return self.n_polar * self.n_azimuth

    @property
    def per_phase(self) -> int:
        """Trajectories of one phase."""
        return self.per_energy * len(self.energies_K) * len(self.surface_temperatures_K)


@settings
class Attempts:
    """Long trajectories for the attempt frequency."""

    n_attempts: int = setting(
        "Long trajectories of each phase for the attempt frequency", default=8, minimum=1, maximum=1000
    )
    attempts_temperature_K: float = setting("Surface temperature of these", default=10.0, above=0)
    attempts_duration_fs: float = setting("Length of these", default=25000.0, above=0)
    attempts_after_fs: float = setting(
        "Maxima of the projectile's height count from this time on", default=5000.0, minimum=0
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.attempts_after_fs >= self.attempts_duration_fs:
            yield "attempts_after_fs", "allowed: below [attempts_duration_fs]"
        if not is_multiple(self.attempts_duration_fs, OBSERVE_fs):
            yield (
                "attempts_duration_fs",
                f"allowed: a whole number of {OBSERVE_fs:g} fs, the interval of observations",
            )


@settings
class Analysis:
    """What is made of the collisions."""

    gas_temperatures_K: tuple[str, ...] = setting(
        "Gas temperatures of the sticking coefficients; 'surface' is the surface's own",
        default=("surface", "50", "100", "150", "200", "250", "300"),
        pattern=r"surface|(?=.*[1-9])\d{1,6}(\.\d{1,6})?", examples=("surface", "50", "12.5"),
    )  # fmt: skip
    residence_temperatures_K: tuple[float, ...] = setting(
        "Surface temperatures of the half-lives",
        default=(5.0, 8.0, 10.0, 12.0, 15.0, 17.0, 20.0),
        above=0,
        maximum=1000,
    )


@settings
class Cutouts:
    """Surroundings of the projectile that are cut out of surfaces, to be labelled."""

    cutout_spread: float = setting(
        "Part of the projectile's binding that the members' median standard deviation of it at sites may be; where it "
        "is larger, surroundings are cut out", default=0.1, above=0, maximum=10,
    )  # fmt: skip
    max_cutouts: int = setting(
        "Most places that a round cuts out, those of largest spread; each gives two labels, with the projectile and "
        "without",
        default=100, minimum=1, maximum=100_000,
    )  # fmt: skip
    cutout_radius_A: float = setting(
        "Molecules with an atom within this distance of the projectile are cut out, whole",
        default=12.0,
        above=2,
        maximum=50,
    )
    cutout_molecules: int = setting(
        "Most molecules of a cutout, the nearest", default=60, minimum=1, maximum=1000
    )
    cutout_collisions: int = setting(
        "Collisions of each phase that are judged along their way", default=24, minimum=0, maximum=100_000
    )
    cutout_frames: int = setting(
        "Frames of each of these collisions that are judged", default=8, minimum=1, maximum=1000
    )
    cutout_weight: float = setting(
        "How many frames a cutout counts as in the loss of training", default=3, above=0, maximum=1000
    )


@settings
class Sticking:
    """Sticking of a molecule on ice (H2 on CO): surfaces, binding energies, collisions, residence times."""

    potential: str = setting(
        "What drives everything: a GM-NN committee trained on label_level, the analytic known truth of H2 on CO, another "
        "potential by its name, or any ASE calculator, which a function of no arguments returns",
        default="gmnn", pattern=rf"gmnn|{ANALYTIC}|{'|'.join(FORMULAS)}|ase:\w+(\.\w+)+",
        examples=("gmnn", ANALYTIC, *FORMULAS[:2], "ase:MODULE.FUNCTION"),
    )  # fmt: skip
    phases: tuple[str, ...] = setting("Phases of the ice that are studied", default=PHASES, choices=PHASES)
    label_level: str = setting(
        "Level of the training frames' labels; h2-co-analytic is the known truth of H2 on CO, n2-trappe of N2, q-tip4p-f "
        "of water (docs/methods.md), the paper has bhlyp-d4/def2-tzvp",
        default=KNOWN_TRUTH, pattern=LEVEL_PATTERN, examples=(KNOWN_TRUTH, "bhlyp-d4/def2-svp"),
    )  # fmt: skip
    dataset: Path | None = setting(
        "Labelled frames of your own to train on, at label_level, in place of the sampled clusters (as labels.dataset)",
        default=None, path="any",
    )  # fmt: skip
    model: Path | None = setting(
        "Folder of a committee that is ready, in place of training one: model.h5, learning_curve.csv, "
        "validation.extxyz and scans.extxyz, and molecular_curves.csv where it learnt interactions only",
        default=None, path="folder",
    )  # fmt: skip
    training_scale: float = setting(
        "Number of training frames, in units of the paper's Table 1 (20,344 frames); other molecules take the place of "
        "its CO and H2",
        default=1,
        above=0,
        maximum=10,
    )
    n_placed: int = setting(
        "Further clusters (10 molecules, every fifth 40) that the projectile is placed around, or slides towards its "
        "pockets: twelve frames with it, two without, of each. Not in the paper; energies then say what belongs to it",
        default=0, minimum=0, maximum=100000,
    )  # fmt: skip
    interaction_only: bool = setting(
        "Take what each molecule does alone out of the labels before training, and add it back exactly afterwards: "
        "far fewer frames are needed. The paper trains on whole energies",
        default=False,
    )
    molecules_of: str = setting(
        "With interaction_only: whose are the molecules alone that are taken out, labelled at label_level, or those "
        "among the frames of dataset; with scans of your own nothing is then labelled here",
        default="level", choices=("level", "dataset"),
    )  # fmt: skip
    force_scale_eV_per_A: float = same_as(TakeMoleculesOut, "force_scale_eV_per_A")
    scans: Path | None = setting(
        "Labelled rigid scans of your own at label_level (extxyz: trajectory_id and distance_A per frame) to test the "
        "committee on, in place of n_scans",
        default=None, path="file",
    )  # fmt: skip
    n_scans: int = setting(
        "Rigid scans of the projectile off a cluster of 10 molecules that the committee is tested on (23 labels each)",
        default=3, minimum=1, maximum=100,
    )  # fmt: skip
    n_members: int = setting(
        "GM-NN models of the committee, trained side by side; each has gmnn.n_heads members",
        default=3,
        minimum=1,
        maximum=50,
    )
    cutout_rounds: int = setting(
        "Rounds of learning on the surfaces themselves, at most: surroundings of the projectile on which members "
        "differ are cut out, labelled at label_level and added; 0: what was sampled is all", default=0, minimum=0, maximum=64,
    )  # fmt: skip
    cutouts: Cutouts = part(Cutouts)
    cutout_epochs: int = setting(
        "Epochs of each training of the rounds that goes on from the committee before it; 0 trains anew, for "
        "gmnn.n_epochs. With a model, the rounds begin with that", default=0, minimum=0, maximum=1_000_000,
    )  # fmt: skip
    truth: bool = setting("Run all collisions under the known truth too, from the same starts", default=False)
    truth_margin: float = setting(
        "How far the part that sticks and S(T_g) may be from the known truth's, their 95 % intervals included, for the "
        "gates to pass: few collisions do not", default=0.1, above=0, maximum=1,
    )  # fmt: skip
    preparation: Preparation = part(Preparation)
    binding_surfaces: int = setting(
        "Surfaces of each phase on which binding sites are sought", default=1, minimum=1, maximum=10000
    )
    grid: Grid = part(Grid)
    campaign: Campaign = part(Campaign)
    shard_size: int = setting("Collisions in one task; changes no result", default=192, minimum=1)
    target_halfwidth: float = setting(
        "Half-width of the total interval of P(E) that is enough: at each energy that is not known so well, rounds of "
        "collisions run (all polar angles, one azimuth or more), n_azimuth at most; 0 runs them all",
        default=0, minimum=0, below=0.5,
    )  # fmt: skip
    attempts: Attempts = part(Attempts)
    analysis: Analysis = part(Analysis)

    @property
    def trains(self) -> bool:
        """Whether a committee is trained: one that is ready is not, but where it goes on learning in rounds."""
        return self.potential == "gmnn" and (self.model is None or self.cutout_rounds > 0)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.campaign.model_error and self.potential != "gmnn":
            yield "model_error", "allowed: false with [potential], which has no members"
        if self.potential == "gmnn" and self.truth and self.label_level not in (KNOWN_TRUTH, *KNOWN_TRUTHS):
            known = ", ".join((KNOWN_TRUTH, *KNOWN_TRUTHS))
            yield "truth", f"allowed: with {known}, whose truth is known, as [label_level]"
        yield from self._system_problems()
        yield from self._flight_problems()
        temperatures_K = self.campaign.surface_temperatures_K
        if self.attempts.attempts_temperature_K not in temperatures_K:
            yield "attempts_temperature_K", "allowed: one of [surface_temperatures_K]"
        if self.binding_surfaces > self.preparation.n_snapshots * len(temperatures_K):
            yield (
                "binding_surfaces",
                "allowed: at most all surfaces of a phase, [n_snapshots] at each of [surface_temperatures_K]",
            )
        if self.cutout_rounds and self.potential != "gmnn":
            yield "cutout_rounds", "allowed: 0 unless [potential] is gmnn"
        if self.cutout_epochs and not self.cutout_rounds:
            yield "cutout_epochs", "allowed: 0 without [cutout_rounds]"
        if self.cutout_rounds and self.model is not None and not self.cutout_epochs:
            yield "cutout_epochs", "allowed: above 0 where [model] is to go on learning in [cutout_rounds]"
        if self.cutout_rounds and self.n_members < 2:
            yield "n_members", "allowed: two or more with [cutout_rounds], which look at what they differ in"
        if 0 < self.target_halfwidth < LEAST_HALFWIDTH:
            yield "target_halfwidth", f"allowed: 0 (all collisions), or from {LEAST_HALFWIDTH:g} on"
        if self.target_halfwidth and self.campaign.per_energy > MOST_UNTIL_ENOUGH:
            yield "n_azimuth", f"allowed: up to {MOST_UNTIL_ENOUGH} collisions with [target_halfwidth]"
        yield from dataset_problems(self.dataset)
        for name in ("model", "dataset"):
            if getattr(self, name) is not None and self.potential != "gmnn":
                yield name, "allowed: with gmnn, which is trained or ready, as [potential]"
        if self.model is not None and self.dataset is not None and not self.cutout_rounds:
            yield "dataset", "allowed: without a [model] that is ready, since nothing is trained then"
        if self.molecules_of == "dataset" and self.dataset is None:
            yield "molecules_of", "allowed: level without a [dataset]"
        missing = [name for name in NEEDED_OF_A_MODEL if self.model and not (self.model / name).is_file()]
        if missing:
            yield "model", f"the folder lacks {', '.join(missing)}; needed: {', '.join(NEEDED_OF_A_MODEL)}"
        if not is_multiple(OBSERVE_fs, self.campaign.timestep_fs):
            return
        if not is_multiple(self.attempts.attempts_duration_fs, self.campaign.timestep_fs):
            yield "attempts_duration_fs", "allowed: a whole number of [timestep_fs]"

    def _flight_problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is too short for the slowest projectile to arrive (not H2, as the study has it)."""
        campaign, name = self.campaign, self.preparation.projectile
        mass_amu = formula_mass_amu(name)
        if name == H2 or not mass_amu:
            return
        longest_fs = flight_fs_of(campaign, mass_amu)
        for where, length_fs, flight_fs in (
            ("duration_fs", campaign.duration_fs, longest_fs),
            ("attempts_duration_fs", self.attempts.attempts_duration_fs, longest_fs * cosine_of(campaign)),
        ):
            if flight_fs >= length_fs:
                yield (
                    where,
                    f"allowed: above {flight_fs:.0f} fs, which {name} needs to reach the surface at the lowest of "
                    "[energies_K] from [start_height_A]",
                )

    def _system_problems(self) -> Iterator[tuple[str, str]]:
        """Yield what molecules, potential and training do not have in common."""
        ice = self.preparation
        for name in ("molecules", "projectile"):
            value = getattr(ice, name)
            for what in (value,) if name == "projectile" else value:
                if problem := molecule_problem(what):
                    yield name, problem
        if "crystalline" in self.phases and ice.crystal is None and ice.molecules != CO:
            yield (
                "crystal",
                "needed: a crystal of [molecules]; where there is none, leave crystalline out of [phases]",
            )
        if self.potential == ANALYTIC and (ice.molecules != CO or ice.projectile != H2):
            yield (
                "potential",
                "allowed: another than analytic, which knows H2 on CO, with [molecules] and [projectile]",
            )
        if not self.trains or (ice.molecules == CO and ice.projectile == H2):
            return
        if self.label_level == KNOWN_TRUTH:
            yield (
                "label_level",
                f"allowed: another than {KNOWN_TRUTH}, which knows H2 and CO, with [molecules] and [projectile]; "
                "gfn2-xtb, a level of PySCF such as pbe-d4/def2-tzvp, or one of your own",
            )
        known, present = ELEMENTS_OF.get(self.label_level), elements_of((*ice.molecules, ice.projectile))
        if known and not present <= known:
            yield (
                "label_level",
                f"allowed: another than {self.label_level}, which labels {OF_ONE_KIND[self.label_level]} only, "
                "with [molecules] and [projectile]",
            )
        larger = [
            what
            for what in (*ice.molecules, ice.projectile)
            if sum(composition_of(what).values()) not in (0, 2)
        ]
        if self.interaction_only and larger:
            yield (
                "interaction_only",
                f"allowed: false with {', '.join(larger)}: what is taken out are the curves of diatomics",
            )


def elements_of(what: Sequence[str]) -> set[str]:
    """Return the elements of molecules named by their formulas; those of files and SMILES are not known."""
    return {element for name in what for element in composition_of(name)}


def cosine_of(campaign: Campaign) -> float:
    """Return the cosine of the steepest polar angle of a campaign."""
    return math.cos(math.radians(campaign.polar_max_deg if campaign.n_polar > 1 else 0.0))


def flight_fs_of(campaign: Campaign, mass_amu: float) -> float:
    """Return the time of flight, fs, of a campaign's slowest projectile along its longest way."""
    speed_A_per_fs = math.sqrt(SQUARE_SPEED_A2_per_fs2 * min(campaign.energies_K) / mass_amu)
    return campaign.start_height_A / cosine_of(campaign) / speed_A_per_fs


def formula_mass_amu(name: str) -> float:
    """Return the mass of a molecule named by its formula; 0 where it is not one, or of other elements."""
    found = composition_of(name)
    return (
        sum(n * MASSES_amu[element] for element, n in found.items()) if set(found) <= set(MASSES_amu) else 0.0
    )


KEEPS_FRAMES = True
GROUPS = {"sticking": Sticking}


def contradictions(run: Any) -> Iterator[tuple[str, str]]:
    """Yield what does not go together between the groups of a run of sticking."""
    own = run.sticking
    trains = own.trains and "sticking" in run.experiments
    if trains and own.campaign.model_error and own.n_members * run.gmnn.training.n_heads < 2:
        yield (
            "sticking.model_error",
            "allowed: with at least 2 members, [sticking.n_members] or [gmnn.n_heads]",
        )
    named = set(run.gmnn.adsorbate.adsorbate)
    if named and not trains:
        yield "gmnn.adsorbate", "allowed: none, unless sticking trains a committee"
    of_it, of_ice = (elements_of(what) for what in ((own.preparation.projectile,), own.preparation.molecules))
    if named and trains and ((of_it and named != of_it) or named & of_ice):
        yield (
            "gmnn.adsorbate",
            "allowed: the elements of [sticking.projectile], if none of them is in [sticking.molecules]",
        )
    if "sticking" in run.experiments and own.cutout_epochs and run.labels.split_by == "frame":
        yield (
            "labels.split_by",
            "allowed: trajectory with [sticking.cutout_epochs], else frames that were learnt would be tests later",
        )
    if "sticking" in run.experiments and run.sticking.label_level not in LABEL_LEVELS:
        yield from level_problems(
            "sticking.label_level",
            run.sticking.label_level,
            LABEL_LEVELS,
            run.labels.own_level,
            "labels.own_level",
        )


@step("frazil.experiments.sticking.clusters:write_clusters", group="sticking")
class SampleClusters:
    """Explore clusters of molecules and collisions with them by GFN-FF: training frames without labels (Table 1)."""

    molecules: tuple[str, ...] = same_as(Preparation, "molecules")
    parts: tuple[float, ...] = same_as(Preparation, "parts")
    projectile: str = same_as(Preparation, "projectile")
    density_g_per_cm3: float = same_as(Preparation, "density_g_per_cm3")
    packing_distance_A: float = same_as(Preparation, "packing_distance_A")
    interaction_only: bool = same_as(Sticking, "interaction_only")
    training_scale: float = same_as(Sticking, "training_scale", minimum=0, above=None)
    n_placed: int = same_as(Sticking, "n_placed")
    n_scans: int = same_as(Sticking, "n_scans", minimum=0)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Frames, extxyz", path="new file")
    out_molecules: Path = given("Each molecule alone, at many bond lengths, extxyz", path="new file")
    out_scans: Path = given("Frames of the scans, extxyz", path="new file")


@step("frazil.experiments.sticking.validation:validate")
class ValidateCommittee:
    """Errors of a GM-NN committee, rigid scans against labels, and its section of the report."""

    model: Path = given("Folder of train-gmnn", path="folder")
    curves: Path | None = given(
        "molecular_curves.csv, where it learnt interactions only", default=None, path="file"
    )
    dataset: Path = given("Folder of prepare-dataset that it was trained on", path="folder")
    scans: Path | None = given(
        "Labelled rigid scans of sample-clusters; not set: nothing to pull off", default=None, path="any"
    )
    out: Path = given("Folder of tables, figures and section", path="new folder")


@settings
class Driver:
    """The potential that drives a step."""

    model: str = given(
        f"model.h5 of train-gmnn, '{ANALYTIC}' for the known truth of H2 on CO, another potential's name, or "
        "ase:MODULE.FUNCTION",
        default=ANALYTIC,
    )
    curves: Path | None = given("molecular_curves.csv of a model of interactions", default=None, path="file")


@step("frazil.experiments.sticking.preparation:prepare", group="sticking")
class PrepareSurface:
    """Make the surfaces of one phase of ice: cut or pack a hemisphere, relax, thermalize, quench, check."""

    settings: Preparation = part(Preparation)
    model: str = same_as(Driver, "model")
    curves: Path | None = same_as(Driver, "curves")
    out: Path = given("Folder of surfaces and checks", path="new folder")


@step("frazil.experiments.sticking.binding:write_sites", group="sticking")
class BindSites:
    """Binding energies of the projectile on a grid over a surface."""

    surfaces: Path = given("Folder of prepare-surface", path="folder")
    model: str = same_as(Driver, "model")
    curves: Path | None = same_as(Driver, "curves")
    binding_surfaces: int = same_as(Sticking, "binding_surfaces")
    grid: Grid = part(Grid)
    truth: str = given(
        "Known truth, by its name, that says of each site, too; empty: none", default="",
        choices=("", KNOWN_TRUTH, *KNOWN_TRUTHS),
    )  # fmt: skip
    model_error_scale: float = same_as(ModelError, "model_error_scale", of="model_error_scale")
    out: Path = given("Folder of binding_energies.csv", path="new folder")


@step("frazil.experiments.sticking.collisions:run_shard", group="sticking")
class RunCollisions:
    """Run one shard of collisions with a surface and write its table."""

    surfaces: Path = given("Folder of prepare-surface", path="folder")
    model: str = same_as(Driver, "model")
    curves: Path | None = same_as(Driver, "curves")
    phase: str = given("Phase of this shard", choices=PHASES)
    first: int = given(
        "Number of the first trajectory within the phase", default=0, minimum=0, maximum=2**32 - 1
    )
    n_trajectories: int = given("Number of trajectories", minimum=1)
    campaign: Campaign = part(Campaign)
    first_azimuth: int = given("Number of the first azimuth of every polar angle", default=0, minimum=0)
    n_azimuths: int = given("Azimuths of every polar angle; 0: all from there on", default=0, minimum=0)
    decision: Path | None = given(
        "JSON of enough-trajectories: energies and temperatures that it ended are left out, and first counts the rest",
        default=None, path="file",
    )  # fmt: skip
    keep_paths: int = given("First trajectories of a phase whose heights are kept", default=0, minimum=0)
    checkpoints: Path = given("Folder for finished rows that outlives the task", path="new folder")
    out: Path = given("Folder of the shard", path="new folder")


@step("frazil.experiments.sticking.cutouts:write_cutouts", group="sticking")
class CutSurroundings:
    """Cut the surroundings of the projectile that a committee does not know out of surfaces, for the label step."""

    surfaces: tuple[Path, ...] = given("Folders of prepare-surface", path="folder", repeated=True)
    model: str = same_as(Driver, "model")
    curves: Path | None = same_as(Driver, "curves")
    grid: Grid = part(Grid)
    campaign: Campaign = part(Campaign)
    cutouts: Cutouts = part(Cutouts)
    round_number: int = given("Number of the round, written into the summary", default=0, minimum=0)
    apart: bool = given(
        "Only along collisions that end differently when the same starts run under every member",
        default=False,
    )
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Folder of candidates.extxyz, cutouts.csv and summary.json", path="new folder")


@step("frazil.experiments.sticking.analysis:analyse", group="sticking")
class AnalyseSticking:
    """Tables, figures and the report's section of the sticking experiment."""

    surfaces: Path = given("Folder of folders of prepare-surface", path="folder")
    sites: Path = given("Folder of folders of bind-sites", path="folder")
    shards: Path = given("Folder of shards of run-collisions", path="folder")
    decision: Path | None = given(
        "JSON of enough-trajectories, where the campaign ran until it was enough", default=None, path="file"
    )
    attempts: Path = given("Folder of shards of long trajectories", path="folder")
    truth: Path | None = given("Folder of shards under the known truth", default=None, path="folder")
    worth_labelling: Path | None = given(
        "Folder of cut-surroundings --apart, where what members differ by limits the campaign",
        default=None,
        path="folder",
    )
    gas_temperatures_K: tuple[str, ...] = same_as(Analysis, "gas_temperatures_K")
    residence_temperatures_K: tuple[float, ...] = same_as(Analysis, "residence_temperatures_K")
    attempts_after_fs: float = same_as(Attempts, "attempts_after_fs")
    reference: Path = given("Folder of the paper's tables", path="folder")
    truth_margin: float = same_as(Sticking, "truth_margin")
    model_error_scale: float = same_as(ModelError, "model_error_scale", of="model_error_scale")
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Folder of results", path="new folder")


@step("frazil.experiments.sticking.coefficients:write_coefficients", group="sticking")
class StickingCoefficients:
    """Integrate sticking probabilities P(E) to thermal sticking coefficients S(T_g), with intervals."""

    probabilities: Path = given("sticking_probabilities.csv", path="file")
    gas_temperatures_K: tuple[str, ...] = same_as(Analysis, "gas_temperatures_K")
    below: str = given(
        "P at zero energy: one, or held from the lowest energy", default="one", choices=("one", "held")
    )
    above: str = given(
        "P beyond the highest energy: held, zero or linear",
        default="held",
        choices=("held", "zero", "linear"),
    )
    vanishing_K: float = given(
        "Where P reaches zero, for above linear", default=1500.0, minimum=1e-3, maximum=1e6
    )
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("sticking_coefficients.csv to write", path="new file")


@step("frazil.experiments.sticking.residence:write_residence_times")
class ResidenceTimes:
    """Half-lives of bound molecules from binding energies and an attempt frequency."""

    binding_energy_K: float | None = given(
        "One binding energy, negative where the molecule is bound",
        default=None,
        minimum=-100000,
        maximum=100000,
    )
    binding_energies: Path | None = given(
        "binding_energies.csv, for the distribution over its sites", default=None, path="file"
    )
    attempt_frequency_per_ps: float = given("Attempts to leave", above=0, maximum=10000)
    surface_temperatures_K: tuple[float, ...] = same_as(Analysis, "residence_temperatures_K", of="")
    phase: str = given("Name of the phase, or the phase of the binding energies to take", default="")
    out: Path = given("residence_times.csv to write", path="new file")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if (self.binding_energy_K is None) == (self.binding_energies is None):
            yield "binding_energy_K", "needed: either this or [binding_energies]"
        if self.phase and not re.fullmatch(r"[\w -]+", self.phase):
            yield "phase", "allowed: letters, digits and - only"
