"""From labelled dimers to interaction energies, mean absolute errors and the section of the report."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import ase.units
import numpy as np
import pandas
from ase import Atoms

from frazil.data.frames import load_frames
from frazil.errors import UserError
from frazil.experiments.level_of_theory.dimers import ALONE
from frazil.report import section
from frazil.report.plot import BLACK, CYCLE, new, save
from frazil.report.section import Figure, Result, Section
from frazil.tables import SIX_DIGITS, Table

KJ_PER_MOL = ase.units.kJ / ase.units.mol
KEYS = ["system", "radius_A", "point"]
INTERACTIONS = Table(
    "interactions",
    """
    *level:str *system:str *radius_A *point:int interaction_kJ_per_mol reference_kJ_per_mol
    """,
    digits=SIX_DIGITS,
)
ERRORS = Table(
    "errors",
    """
    *system:str *radius_A *level:str n:int mae_kJ_per_mol mean_error_kJ_per_mol largest_kJ_per_mol
    mean_reference_kJ_per_mol published_mae_kJ_per_mol?
    """,
    digits=SIX_DIGITS,
)
PUBLISHED = Table(
    "level_of_theory",
    "*system:str *radius_A *method:str published_mae_kJ_per_mol?",
    made_by="hand, as assets/reference/level_of_theory.csv is",
)
FRAME_KEYS = (*KEYS, "part", "label_level")
"""What every labelled frame has to say of itself."""
SAME_A = 1e-4
"""Atoms of one dimer in two files differ by less."""
REFERENCES = ["@molpeceres2021: Tables A.1, A.2", "@boys1970: counterpoise correction"]


def _key(atoms: Atoms) -> tuple[str, float, int]:
    info = atoms.info
    return str(info["system"]), float(info["radius_A"]), int(info["point"])


def interactions(frames: Sequence[Atoms]) -> pandas.DataFrame:
    """Return the interaction energy of every dimer with all its parts: KEYS, interaction_kJ_per_mol."""
    energies: dict[tuple[str, float, int], dict[str, float]] = {}
    for atoms in frames:
        energies.setdefault(_key(atoms), {})[str(atoms.info["part"])] = atoms.get_potential_energy()
    rows = []
    for (system, radius, point), parts in energies.items():
        whole = {**energies.get((system, *ALONE), {}), **parts}
        if (radius, point) != ALONE and len(whole) == 3:
            value = (whole["pair"] - whole["first"] - whole["second"]) / KJ_PER_MOL
            rows.append((system, radius, point, value))
    return pandas.DataFrame(rows, columns=[*KEYS, "interaction_kJ_per_mol"])


def errors(table: pandas.DataFrame, published: pandas.DataFrame) -> pandas.DataFrame:
    """Return errors by system, radius and level, in kJ/mol, beside the published ones where there are any."""
    difference = table["interaction_kJ_per_mol"] - table["reference_kJ_per_mol"]
    grouped = table.assign(absolute=difference.abs(), difference=difference).groupby(
        ["system", "radius_A", "level"], sort=True
    )
    found = grouped.agg(
        n=("point", "size"),
        mae_kJ_per_mol=("absolute", "mean"),
        mean_error_kJ_per_mol=("difference", "mean"),
        largest_kJ_per_mol=("absolute", "max"),
        mean_reference_kJ_per_mol=("reference_kJ_per_mol", "mean"),
    ).reset_index()
    found["method"] = found["level"].str.split("/").str[0]
    merged = found.merge(published, on=["system", "radius_A", "method"], how="left")
    return merged.drop(columns="method")


def analyse(
    labelled: Sequence[Path | str], reference: Path | str, published: Path | str, out: Path | str
) -> None:
    """Write ``interactions.csv``, ``errors.csv``, a figure and the section of the report into ``out``.

    ``labelled`` are dimers at one or more levels each, ``reference`` the same at the reference, ``published``
    a table system, radius_A, method, published_mae_kJ_per_mol. Raises UserError where no dimer is complete,
    and for frames that do not say what they are.
    """
    folder = Path(out)
    references = load_frames(reference)
    truth = interactions(references).rename(columns={"interaction_kJ_per_mol": "reference_kJ_per_mol"})
    places = {_key(atoms): atoms.positions for atoms in references if atoms.info["part"] == "pair"}
    parts = []
    for path in labelled:
        of_level: dict[str, list[Atoms]] = {}
        for number, atoms in enumerate(load_frames(path)):
            missing = [name for name in FRAME_KEYS if name not in atoms.info]
            if missing or atoms.calc is None:
                wanted = ", ".join(missing) or "an energy"
                raise UserError(
                    f"{path}, frame {number}: no {wanted}; give the frames of make_dimers.py with their info "
                    "and energies"
                )
            if np.abs(atoms.positions - places.get(_key(atoms), atoms.positions)).max() > SAME_A:
                raise UserError(
                    f"{path}, frame {number}: not the dimer {_key(atoms)} of the reference; give the same "
                    "--campaign_seed, radii and number of points to both"
                )
            of_level.setdefault(str(atoms.info["label_level"]), []).append(atoms)
        for level, frames in of_level.items():
            parts.append(interactions(frames).merge(truth, on=KEYS).assign(level=level))
    table = pandas.concat(parts).sort_values(["level", *KEYS])
    if not len(table):
        raise UserError("no dimer has all its parts labelled at a level and at the reference; see failed.csv")
    table = table[["level", *KEYS, "interaction_kJ_per_mol", "reference_kJ_per_mol"]]
    summary = errors(table, PUBLISHED.read(published, by_hand=True))
    INTERACTIONS.write(table, folder)
    ERRORS.write(summary, folder)
    origin = references[0].info
    counterpoise = any("ghost" in atoms.arrays for atoms in references)
    named = f"{origin['label_level']} ({origin['label_code']} {origin['label_version']})"
    means = summary.groupby("level")["mae_kJ_per_mol"].mean().sort_values()
    best, figure = means.index[0], _figure(folder, table)
    Section(
        title="Levels of theory",
        headline=(
            f"{len(summary['level'].unique())} levels against {named}: the smallest mean absolute error, "
            f"averaged over systems and radii, has {best}."
        ),
        text=[
            "Rigid CO at the centre, the partner's centre of mass on a spherical Fibonacci lattice, turned "
            f"at random; the reference is {'' if counterpoise else 'not '}counterpoise-corrected, the levels "
            "are not. Published values are against CCSD(T)-F12/cc-pVTZ-F12, with orientations of their own.",
        ],
        figures=[figure],
        results=[
            Result(
                f"Mean absolute error of {level}",
                float(mae),
                "kJ/mol",
                n=int((table["level"] == level).sum()),
                of="dimers",
                verdict="the smallest of all" if level == best and len(means) > 1 else "",
            )
            for level, mae in means.items()
        ],
        main_figure=figure.file,
        methods=(
            f"Levels of theory: interaction energies of rigid dimers were compared with those of {named}; "
            "errors are means over systems and radii."
        ),
        tables=[section.Table("errors.csv", "Errors of interaction energies, beside the published ones.")],
        references=REFERENCES,
    ).write(folder)


def _figure(folder: Path, table: pandas.DataFrame) -> Figure:
    """Draw each level's interaction energies against the reference's, system by system."""
    systems = sorted(table["system"].unique())
    canvas, axes = new(columns=len(systems), width_in=3.6 * len(systems), height_in=3.4)
    for axis, system in zip(axes[0], systems, strict=True):
        part = table[table["system"] == system]
        for colour, (level, own) in zip(cycle(CYCLE), part.groupby("level"), strict=False):
            axis.plot(
                own["reference_kJ_per_mol"], own["interaction_kJ_per_mol"], ".", color=colour, label=level
            )
        ends = np.array([part["reference_kJ_per_mol"].min(), part["reference_kJ_per_mol"].max()])
        axis.plot(ends, ends, color=BLACK, linewidth=0.8)
        axis.set(
            title=system, xlabel="reference interaction (kJ/mol)", ylabel="interaction at the level (kJ/mol)"
        )
        axis.legend()
    return save(canvas, table, folder, "parity", "Interaction energies at each level against the reference.")
