"""Settings of the benchmark of levels of theory on dimers."""

from __future__ import annotations

from pathlib import Path

from frazil.labels.settings import KNOWN_TRUTHS, LEVELS, REFERENCES, Seed
from frazil.settings import given, same_as, setting, settings, step


@settings
class LevelOfTheory:
    """Interaction energies of CO with H2 and CO at several levels, against coupled cluster."""

    levels: tuple[str, ...] = setting(
        "Levels to compare",
        default=("bhlyp-d4/def2-tzvp", "b3lyp-d4/def2-tzvp", "pbe-d4/def2-tzvp"),
        choices=tuple(level for level in LEVELS if level not in ("van-hemert", *KNOWN_TRUTHS)),
    )  # fmt: skip
    dataset: Path | None = setting(
        "The dimers of make-dimers with energies of your own, extended XYZ, one or more levels: judged beside the levels",
        default=None, path="any",
    )  # fmt: skip
    reference: str = setting(
        "Reference level; dmp2 is CCSD(T) in the basis before, and MP2 for the difference",
        default="ccsd(t)-dmp2/aug-cc-pvtz", choices=REFERENCES,
    )  # fmt: skip
    counterpoise: bool = setting("Compute the reference's monomers in the basis of the pair", default=True)
    h2_radii_A: tuple[float, ...] = setting(
        "Distances of H2 from CO (centres of mass)", default=(3.0, 3.5, 4.0), minimum=1.5, maximum=20
    )
    co_radii_A: tuple[float, ...] = setting(
        "Distances of CO from CO (centres of mass)", default=(4.0,), minimum=1.5, maximum=20
    )
    n_points: int = setting(
        "Points of the Fibonacci lattice at each distance", default=25, minimum=1, maximum=10000
    )


GROUPS = {"level_of_theory": LevelOfTheory}


@step("frazil.experiments.level_of_theory.dimers:write_dimers", group="level_of_theory")
class MakeDimers:
    """Write dimers of CO with H2 and CO on Fibonacci lattices, with the monomers that their energies need."""

    h2_radii_A: tuple[float, ...] = same_as(LevelOfTheory, "h2_radii_A")
    co_radii_A: tuple[float, ...] = same_as(LevelOfTheory, "co_radii_A")
    n_points: int = same_as(LevelOfTheory, "n_points")
    counterpoise: bool = given("Monomers in the basis of the pair", default=False)
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Frames, extxyz", path="new file")


@step("frazil.experiments.level_of_theory.analysis:analyse")
class AnalyseLevels:
    """Compare levels of theory with a reference on labelled dimers: interaction energies, errors, figure."""

    labelled: tuple[Path, ...] = given("Dimers at one level each, extxyz", path="any")
    reference: Path = given("Dimers at the reference level, extxyz", path="any")
    published: Path = given("Table of published errors", path="file")
    out: Path = given("Folder of tables, figure and section", path="new folder")
