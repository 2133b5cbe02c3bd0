"""Settings of labels: levels of theory, imported frames, shards of labelling, the division of the data."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from frazil.errors import UserError
from frazil.labels.imports.label_units import COLUMNS, spelled
from frazil.labels.imports.sheet import PERIODIC, entries_of
from frazil.labels.own_level import read_own_level
from frazil.settings import given, same_as, setting, settings, step

FUNCTIONALS = (
    "pbe", "pbe-d3bj", "pbe-d4", "blyp-d4", "bp86-d4", "pbe0", "pbe0-d3bj", "b3lyp-d4", "bhlyp-d4",
)  # fmt: skip
DFT = tuple(
    f"{functional}/{basis}"
    for functional, basis in product(FUNCTIONALS, ("def2-svp", "def2-tzvp", "def2-qzvp"))
)
SEMIEMPIRICAL = ("gfn1-xtb", "gfn2-xtb")
KNOWN_TRUTHS = ("n2-trappe", "q-tip4p-f")
"""Formulas of N2 and of water that label frames, and so are their known truth."""
LEVELS = ("van-hemert", "h2-co-analytic", *KNOWN_TRUTHS, *SEMIEMPIRICAL, "gfn-ff", *DFT)
OF_ONE_KIND = {"van-hemert": "CO", "h2-co-analytic": "H2 and CO", "n2-trappe": "N2", "q-tip4p-f": "H2O"}
"""Levels that label only molecules of these kinds."""
OF_CELLS = ("co-crystal",)
"""Levels of periodic frames alone, for the label step by hand."""
REFERENCES = (
    "ccsd(t)/cc-pvtz", "ccsd(t)/aug-cc-pvdz", "ccsd(t)/aug-cc-pvtz", "ccsd(t)-dmp2/aug-cc-pvtz",
)  # fmt: skip
"""Levels that give energies only."""
OTHER_BASES = tuple(
    f"{functional}/{basis}"
    for functional, basis in product(FUNCTIONALS, ("cc-pvtz", "aug-cc-pvdz", "aug-cc-pvtz"))
)
EVERY_LEVEL = (*LEVELS, *OF_CELLS, *REFERENCES, *OTHER_BASES)
VELOCITIES = ("stated", "derived", "shifted")
"""Of trajectories: as the file has them; made of the frames; stated half a step off, and shifted."""
LEVEL_PATTERN = r"[A-Za-z0-9][\w().,+*/-]*"
SEED_DOC = "Every random number of the campaign follows from this seed and the id of the trajectory or model that asks"


@settings
class Seed:
    """The seed of everything random."""

    campaign_seed: int = setting(SEED_DOC, default=20250615, minimum=0, maximum=2147483647)


@settings
class Labels:
    """Where energies, forces and dipoles come from, and how frames are divided."""

    level: str = setting(
        "Labelling level: one of frazil's, or the name that own_level declares; van-hemert is the analytic CO-CO "
        "teacher with its two invented additions, h2-co-analytic the same with H2 (docs/methods.md), n2-trappe and q-tip4p-f "
        "label N2 and water, those with a slash are PySCF's; GFN-xTB must not label CO",
        default="van-hemert", pattern=LEVEL_PATTERN, examples=("van-hemert", "gfn2-xtb", "pbe-d3bj/def2-svp"),
    )  # fmt: skip
    own_level: Path | None = setting(
        "Folder that declares a level of your own, labelled by any program (level.json, docs/usage.md)",
        default=None, path="folder",
    )  # fmt: skip
    coupling_eV: float = setting(
        "Strength of the teacher's invented excited-bond attraction; 0 is the control that never desorbs",
        default=2.0, minimum=0, maximum=10,
    )  # fmt: skip
    dataset: Path | None = setting(
        "Labelled frames of your own in place of frames made here: a samplesheet (CSV), or one file or folder "
        "(extxyz, ASE trajectory, deepmd/npy, VASP, ORCA, Turbomole, Gaussian, CP2K, …)",
        default=None, path="any",
    )  # fmt: skip
    other_code: bool = setting(
        "Take over a dataset's labels of another program at the run's level: some frames of each composition are "
        "labelled anew, and the offset between the energies is taken out",
        default=False,
    )
    thin: bool = setting(
        "Keep of a dataset's trajectories the frames in the sampling windows only (they need times)",
        default=False,
    )
    bond_curve_file: Path | None = setting(
        "Bond curve of one CO of your own (CSV: bond_length_A, label_eV), which excitation and bond baseline follow, in "
        "place of one labelled at the level",
        default=None, path="file",
    )  # fmt: skip
    bond_curve_of: str = setting(
        "Whose the bond curve is: the labelling level's, or that of the molecules alone among the dataset's frames, so "
        "that nothing is labelled here",
        default="level", choices=("level", "dataset"),
    )  # fmt: skip
    energy_key: str | None = setting(
        "Name of the energy in frames of dataset, where a samplesheet says none (extended XYZ, ASE, arrays); by default "
        "energy with forces, or a pair such as REF_energy and REF_forces",
        default=None,
    )  # fmt: skip
    forces_key: str | None = setting("Name of the forces, likewise (a gradient's is turned)", default=None)
    dipole_key: str | None = setting("Name of the dipole, likewise", default=None)
    energy_unit: str | None = setting(
        "Unit of those energies, where neither file nor samplesheet says one (eV, Hartree, kcal/mol, kJ/mol, Ry); by "
        "default eV",
        default=None,
    )  # fmt: skip
    length_unit: str | None = setting(
        "Unit of those positions (Angstrom, Bohr, nm), likewise; by default Angstrom", default=None
    )
    forces_unit: str | None = setting(
        "Unit of those forces (eV/Angstrom, Hartree/Bohr, …), likewise; by default energy_unit over length_unit",
        default=None,
    )
    dipole_unit: str | None = setting(
        "Unit of those dipoles (e Angstrom, Debye, e Bohr), likewise; by default e Angstrom", default=None
    )
    on_suspect: str = setting(
        "What to do where frames of the dataset are suspect (doubles, outliers, forces that do not fit the energies, "
        "unknown labels): stop, drop them, or keep those that can be trained on",
        default="stop", choices=("stop", "drop", "keep"),
    )  # fmt: skip
    hessian: bool = setting(
        "Ask for the second derivatives too (label_hessian_eV_per_A2, and label_dipole_derivatives_e, of each frame in results/labels; PySCF's "
        "functionals, about ten times the cost)",
        default=False,
    )
    polarizability: bool = setting(
        "Ask for the static polarizability too (label_polarizability_A3; PySCF's functionals, about two more labels' cost)",
        default=False,
    )
    shard_hours: float = setting(
        "Labelling work in one task; changes no result", default=1, above=0, maximum=24
    )
    frame_limit_s: float = setting(
        "Wall time that PySCF may take for one frame of the label step; one that "
        "takes longer is recorded as failed. 0: any",
        default=0, minimum=0, maximum=1000000,
    )  # fmt: skip
    split_by: str = setting(
        "Divide training, test and validation data by whole trajectories, or by single frames as the paper did (optimistic)",
        default="trajectory", choices=("trajectory", "frame"),
    )  # fmt: skip
    train_fraction: float = setting(
        "Part of the data that is trained on; with a validation part of 0.1 the rest divides 80/20 into training and test",
        default=0.72, above=0, below=1,
    )  # fmt: skip
    validation_fraction: float = setting(
        "Part of the data that is kept for validation; what remains is the test set",
        default=0.1,
        above=0,
        below=1,
    )
    max_force_eV_per_A: float = setting(
        "Frames with a larger force on any atom are left out, and counted", default=100, above=0
    )
    window_starts_fs: tuple[float, ...] = setting(
        "Starts of the sampling windows of every trajectory", default=(0.0, 500.0, 2500.0), minimum=0
    )
    window_intervals_fs: tuple[float, ...] = setting(
        "Interval between frames in each sampling window",
        default=(100.0, 10.0, 100.0),
        above=0,
        repeated=True,
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.train_fraction + self.validation_fraction >= 1:
            yield (
                "train_fraction",
                "allowed: a sum with [validation_fraction] below 1, the rest is the test set",
            )
        yield from window_problems(self.window_starts_fs, self.window_intervals_fs)
        yield from dataset_problems(self.dataset)
        yield from unit_problems(self)
        yield from level_problems("level", self.level, LEVELS, self.own_level)
        if self.bond_curve_of == "dataset" and self.dataset is None:
            yield "bond_curve_of", "allowed: level without a [dataset]"
        if self.bond_curve_of == "dataset" and self.bond_curve_file is not None:
            yield "bond_curve_of", "allowed: level with a curve of your own, [bond_curve_file]"
        asked = [name for name in ("hessian", "polarizability") if getattr(self, name)]
        if asked and self.level not in DFT:
            yield asked[0], "allowed: false with [level]; a functional of PySCF gives it (pbe0/def2-svp)"


def level_problems(
    name: str, level: str, allowed: tuple[str, ...], own_level: Path | None, of: str = "own_level"
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a level that is one of those allowed, or that which a folder declares."""
    own = ""
    if own_level is not None:
        try:
            own = read_own_level(own_level).level
        except UserError as problem:
            yield of, str(problem)
            return
        if own in EVERY_LEVEL:
            yield of, f"it declares {own}, which is frazil's own; allowed: another name"
    if level not in (*allowed, own):
        near = difflib.get_close_matches(level, (*allowed, own), 1)
        meant = f"did you mean {near[0]}? " if near else ""
        yield (
            name,
            f"{meant}allowed: {', '.join(allowed)}"
            + (f", or {own} of [{of}]" if own else f"; any other is declared by {of}"),
        )


DATASETS = ("dataset", "aimd")
"""Settings of a group that may be samplesheets, whose files a task must have."""


def dataset_problems(dataset: Path | None, name: str = "dataset") -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the samplesheet of a data set."""
    try:
        entries = entries_of(dataset) if dataset is not None else []
    except UserError as problem:
        yield name, str(problem)
        return
    if in_cells := [entry.name for entry in entries if entry.periodic not in ("", "no")]:
        yield (
            name,
            f"the samplesheet says that {in_cells[0]} is periodic; allowed: free aggregates. Crystals and liquids are "
            "taken by the steps import-frames, prepare-dataset and train-gmnn (docs/models.md)",
        )


def unit_problems(values: Any) -> Iterator[tuple[str, str]]:
    """Yield units of labels that are not known."""
    for column in (column for column in COLUMNS if getattr(values, column)):
        try:
            spelled(column, getattr(values, column))
        except ValueError as problem:
            yield column, str(problem)


def window_problems(
    starts_fs: tuple[float, ...] | None, intervals_fs: tuple[float, ...] | None
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with sampling windows."""
    if (starts_fs is None) != (intervals_fs is None) or len(starts_fs or ()) != len(intervals_fs or ()):
        yield "window_intervals_fs", "allowed: as many numbers as [window_starts_fs]"
    elif starts_fs and any(second <= first for first, second in zip(starts_fs, starts_fs[1:])):
        yield "window_starts_fs", "allowed: rising from 0 or more"


GROUPS = {"labels": Labels}


@step("frazil.labels.imports.step:import_dataset", group="labels")
class ImportFrames:
    """Import labelled frames of VASP, ORCA, Turbomole, CP2K, Gaussian, ASE or DeePMD, and check them."""

    dataset: Path = given("Samplesheet (CSV), or one file or folder of labels", path="any")
    staged: tuple[Path, ...] = given(
        "The sheet's files, in order, if they lie elsewhere", default=(), repeated=True
    )
    names: tuple[str, ...] = given("What the sheet calls them", default=(), repeated=True)
    energy_key: str | None = same_as(Labels, "energy_key")
    forces_key: str | None = same_as(Labels, "forces_key")
    dipole_key: str | None = same_as(Labels, "dipole_key")
    energy_unit: str | None = same_as(Labels, "energy_unit")
    length_unit: str | None = same_as(Labels, "length_unit")
    forces_unit: str | None = same_as(Labels, "forces_unit")
    dipole_unit: str | None = same_as(Labels, "dipole_unit")
    periodic: str = given(
        "Where a samplesheet does not say it: no (free aggregates, a box is taken away), yes (crystals and liquids, whose "
        "cells are kept; each frame needs one), mixed (as each frame's pbc says)",
        default="no", choices=PERIODIC,
    )  # fmt: skip
    on_suspect: str = same_as(Labels, "on_suspect")
    level: str | None = same_as(Labels, "level", default=None)
    own_level: Path | None = same_as(Labels, "own_level", of="")
    coupling_eV: float = same_as(Labels, "coupling_eV")
    same_level: bool = given("Refuse frames of another level than the run's", default=False)
    need_dipoles: bool = given("Refuse frames without a dipole", default=False)
    other_code: bool = same_as(Labels, "other_code")
    window_starts_fs: tuple[float, ...] | None = same_as(Labels, "window_starts_fs", default=None, of="")
    window_intervals_fs: tuple[float, ...] | None = same_as(
        Labels, "window_intervals_fs", default=None, of=""
    )
    out_folder: Path = given("Folder of tables and section of what was read", path="new folder")
    out: Path = given("Usable frames, extxyz (eV, eV/Å, e Å)", path="new file")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield units that are not known, and windows that are none."""
        yield from unit_problems(self)
        yield from window_problems(self.window_starts_fs, self.window_intervals_fs)


@step("frazil.labels.shards:plan_shards", group="labels")
class PlanLabels:
    """Say what labelling frames will cost, and divide them into files of about equal work."""

    frames: Path = given("Frames to label, extxyz", path="any")
    level: str = same_as(Labels, "level")
    own_level: Path | None = same_as(Labels, "own_level", of="")
    coupling_eV: float = same_as(Labels, "coupling_eV")
    hessian: bool = same_as(Labels, "hessian")
    polarizability: bool = same_as(Labels, "polarizability")
    frame_limit_s: float = same_as(Labels, "frame_limit_s")
    shard_hours: float = same_as(Labels, "shard_hours")
    out: Path = given("Folder for 0000.extxyz, 0001.extxyz, …", path="new folder")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        yield from level_problems("level", self.level, EVERY_LEVEL, self.own_level)


@step("frazil.labels.shards:label_file", group="labels")
class LabelFrames:
    """Label frames with energies, forces and dipoles; frames that fail go to failed.csv beside the output."""

    frames: Path = given("Frames to label, extxyz", path="any")
    level: str = same_as(PlanLabels, "level")
    own_level: Path | None = same_as(PlanLabels, "own_level")
    coupling_eV: float = same_as(Labels, "coupling_eV")
    hessian: bool = same_as(Labels, "hessian")
    polarizability: bool = same_as(Labels, "polarizability")
    frame_limit_s: float = same_as(Labels, "frame_limit_s")
    checkpoints: Path | None = given(
        "Folder of finished labels, so that a killed run goes on", default=None, path="new folder"
    )
    known: Path | None = given(
        "Labels of an earlier run at this level, extxyz; not done again", default=None, path="any"
    )
    allow_none: bool = given("Write an empty file where no frame could be labelled", default=False)
    out: Path = given("Labelled frames, extxyz (eV, eV/Å, e Å)", path="new file")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        yield from level_problems("level", self.level, EVERY_LEVEL, self.own_level)


@step("frazil.labels.shards:gather")
class GatherLabels:
    """Put the shards of a labelled set together again, with the list of frames that failed."""

    labelled: tuple[Path, ...] = given("Labelled shards, in order", path="file")
    failed: tuple[Path, ...] = given("Their failed.csv, in the same order", path="file")
    name: str = given("Name of the set")
    allow_none: bool = given("Write an empty file where no frame could be labelled", default=False)
    out: Path = given("Folder for labelled-NAME.extxyz, failed.csv, labels.csv", path="new folder")


@step("frazil.data.split:prepare", group="labels")
class PrepareDataset:
    """Check labelled frames and split them into train, test and validation sets, with table and summary."""

    frames: tuple[Path, ...] = given("Labelled frames: extxyz files or DeePMD directories", path="any")
    molecules: str = given("What the frames are made of", default="CO", choices=("CO", "any"))
    periodic: str = given(
        "With molecules any: no (free aggregates), yes (crystals and liquids, each frame in its cell), mixed (both)",
        default="no", choices=PERIODIC,
    )  # fmt: skip
    split_by: str = same_as(Labels, "split_by")
    train_fraction: float = same_as(Labels, "train_fraction", maximum=1, below=None)
    validation_fraction: float = same_as(Labels, "validation_fraction", minimum=0, above=None)
    max_force_eV_per_A: float = same_as(Labels, "max_force_eV_per_A")
    cutoff_A: float = setting(
        "Two excited molecules nearer than this are refused",
        default=6.5,
        minimum=2,
        maximum=20,
        of="deepmd.cutoff_A",
    )
    window_starts_fs: tuple[float, ...] | None = same_as(Labels, "window_starts_fs", default=None, of="")
    window_intervals_fs: tuple[float, ...] | None = same_as(
        Labels, "window_intervals_fs", default=None, of=""
    )
    campaign_seed: int = same_as(Seed, "campaign_seed", of="campaign_seed")
    out: Path = given("Folder of the data set", path="new folder")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        if self.train_fraction + self.validation_fraction > 1 + 1e-12:
            yield "train_fraction", "allowed: a sum with [validation_fraction] of at most 1"
        if self.periodic != "no" and self.molecules == "CO":
            yield "periodic", "allowed: no with [molecules]; crystals and liquids are any"
        yield from window_problems(self.window_starts_fs, self.window_intervals_fs)


@step("frazil.labels.bond_curve:write_bond_curve", group="labels")
class BondCurve:
    """Write the energy of one isolated CO against its bond length at a label level."""

    level: str = same_as(PlanLabels, "level")
    own_level: Path | None = same_as(PlanLabels, "own_level")
    curve_file: Path | None = given("A curve of one's own, the same columns", default=None, path="file")
    frames: Path | None = given(
        "Labelled frames, among them one CO alone at many lengths: their curve is taken",
        default=None,
        path="any",
    )
    coupling_eV: float = same_as(Labels, "coupling_eV")
    out: Path = given("Table to write: bond_length_A, label_eV", path="new file")
    out_fine: Path | None = given(
        "Table to write for evaluate-model: more lengths", default=None, path="new file"
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        yield from level_problems("level", self.level, LEVELS, self.own_level)


@step("frazil.labels.interaction:take_molecules_out", group="sticking")
class TakeMoleculesOut:
    """Take every molecule's own energy and forces out of labels: what is left is the interaction."""

    frames: tuple[Path, ...] = given("Labelled frames of diatomic molecules", path="any", repeated=True)
    molecules: Path | None = given(
        "Labelled frames of each molecule alone, at many bond lengths; not set: those among the frames",
        default=None, path="any",
    )  # fmt: skip
    force_scale_eV_per_A: float = setting(
        "With interaction_only: f of a training frame's weight (f/(f + F))², F its largest interaction force; 0 counts "
        "all frames alike",
        default=0, minimum=0, maximum=100,
    )  # fmt: skip
    out: Path = given("Frames with labels of the interaction, molecules alone among them", path="new file")
    out_curves: Path = given("molecular_curves.csv: what was taken out", path="new file")
