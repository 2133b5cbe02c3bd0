"""The import step: read a data set of the user's, list what is suspect, stop, drop or keep, and tabulate."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from frazil.data.frames import label_origin, max_force, molecular_formulas, write_frames
from frazil.data.windows import apply_windows
from frazil.errors import UserError
from frazil.files import write_atomic
from frazil.labels.imports.label_units import COLUMNS as UNIT_COLUMNS
from frazil.labels.imports.label_units import spelled
from frazil.labels.imports.other_code import Adopted, adopt
from frazil.labels.imports.quality import (
    FATAL,
    IN_BOX,
    LONGEST_STEP_A,
    MOST_MISMATCHED,
    Step,
    Suspect,
    energy_zero,
    find_suspects,
    misfits,
    steps,
    unit_ratio,
    unusable,
)
from frazil.labels.imports.readers import Imported, all_frames, read_dataset
from frazil.labels.imports.sheet import LABEL_KEYS
from frazil.labels.levels import labeller
from frazil.report.section import Figure, Gate, Section, Table

ON_SUSPECT = ("stop", "drop", "keep")
GOOD_FORCES_eV_per_A, GOOD_ENERGY_meV_per_atom = 0.02, 1.0
"""Two programs at one level agree better than this."""
SHOWN = 5
"""Suspects that an error message names."""

FILE_COLUMNS = (
    "file", "format", "label_level", "label_code", "label_version", "n_frames", "n_suspect", "n_used",
    "trajectories", "molecules", "atoms_low", "atoms_high", "energy_zero", "energy_low_eV_per_atom",
    "energy_high_eV_per_atom", "max_force_low_eV_per_A", "max_force_high_eV_per_A", "n_dipoles",
    "n_excited", "n_steps_compared", "energy_over_work", "notes",
)  # fmt: skip


def import_dataset(
    dataset: Path | str,
    out: Path | str,
    out_folder: Path | str,
    on_suspect: str = "stop",
    level: str | None = None,
    same_level: bool = False,
    staged: Sequence[Path] = (),
    names: Sequence[str] = (),
    need_dipoles: bool = False,
    other_code: bool = False,
    window_starts_fs: Sequence[float] | None = None,
    window_intervals_fs: Sequence[float] | None = None,
    periodic: str = "no",
    **settings: Any,
) -> str:
    """Write the usable frames of a samplesheet, file or folder, and the tables and section of what was read.

    Returns how many frames are used and where the tables are, then what was left out of the files and why.

    Tables in ``out_folder``: files.csv, elements.csv, suspects.csv. ``on_suspect``: "stop" before anything is
    trained, "drop" suspect frames, or "keep" all that can be trained on. ``level`` (with its settings) is
    what the run labels at; with ``same_level`` frames of another origin are refused, else the report tells.
    ``staged`` and ``names`` as in ``read_dataset``; names and units of labels among the settings hold where
    the sheet says none. ``drop`` takes a file out whole if more than a fifth of its frames do not fit.
    ``other_code``: with ``same_level`` labels of another program at that level are taken over
    (``other_code.adopt``). ``window_…``: of every trajectory the frames in the sampling windows are kept.
    ``periodic``: whether frames keep their cells, where the sheet does not say it.

    Raises UserError for what ``read_dataset`` refuses, mixed or other levels, no usable frame, frames without
    the dipoles that are needed, and suspects under "stop" (the tables are written before).
    """
    said = {name: settings.pop(name, None) or "" for name in (*LABEL_KEYS, *UNIT_COLUMNS)}
    said |= {name: spelled(name, said[name]) for name in UNIT_COLUMNS if said[name]}
    if on_suspect not in ON_SUSPECT:
        raise UserError(f"on suspect frames {on_suspect!r}; allowed are {', '.join(ON_SUSPECT)}")
    files = read_dataset(dataset, staged, names, {**said, "periodic": periodic})
    frames = all_frames(files)
    wanted = f"{level} by {labeller(level, **settings).code}" if level is not None else ""
    adopting = bool(other_code and same_level and level and frames[0].info.get("label_level") == level)
    _check_origins(frames, wanted if same_level and not adopting else "")
    suspects = find_suspects(frames)
    if on_suspect == "drop":
        suspects += _whole_files(files, frames, suspects)
    dropped = {suspect.frame for suspect in suspects if on_suspect != "keep" or suspect.kind in FATAL}
    folder = Path(out_folder)
    _write_tables(folder, files, frames, suspects, dropped, on_suspect)
    if suspects and on_suspect == "stop":
        raise UserError(_told(suspects, _places(files), folder))
    used = [atoms for number, atoms in enumerate(frames) if number not in dropped]
    if not used:
        kinds = Counter(suspect.kind for suspect in suspects)
        raise UserError(
            f"none of the {len(frames)} frames of {dataset} can be used "
            f"({', '.join(f'{n} {kind}' for kind, n in kinds.items())}); see {folder}/suspects.csv"
        )
    without = [atoms for atoms in used if "dipole" not in atoms.calc.results]
    if need_dipoles and without:
        told = "; ".join(note for imported in files for note in imported.notes)
        raise UserError(
            f"{len(without)} of {len(used)} frames of {dataset} have no dipole, which is learned here"
            + (f" ({told})" if told else "")
            + "; give frames with energy, forces and dipole"
        )
    figures = [_figure(folder, files, dropped)]
    section = _section(files, frames, suspects, dropped, on_suspect, figures)
    if window_starts_fs and window_intervals_fs:
        before = len(used)
        used = apply_windows(used, window_starts_fs, window_intervals_fs)
        section.text.append(
            f"{len(used)} of {before} usable frames lie in the sampling windows and are kept."
        )
    if adopting and label_origin(frames[0]) != wanted:
        adopted = adopt(used, str(level), **settings)
        used = adopted.frames
        section.text.append(
            f"Labels of {label_origin(frames[0])} are taken over for {wanted}: the offset of each "
            f"composition is taken out of the energies ({_offsets(adopted)}), which {adopted.n_compared} "
            "frames that were labelled anew give."
        )
        section.gates += [
            Gate.at_most(
                "forces of the two programs differ (eV/Å)", adopted.force_rmse_eV_per_A, GOOD_FORCES_eV_per_A,
                "root mean square over the frames labelled anew",
            ).because(*TAKEN_OVER),
            Gate.at_most(
                "energies differ beyond the offset (meV/atom)", adopted.energy_rmse_meV_per_atom,
                GOOD_ENERGY_meV_per_atom, "root mean square over the frames labelled anew",
            ).because(*TAKEN_OVER),
        ]  # fmt: skip
    elif wanted:
        found = label_origin(frames[0])
        section.gates.append(
            Gate.equal("level of the imported labels", found, wanted, "the run's own labels").because(*LEVEL)
        )
    section.write(folder)
    write_frames(out, used)
    origin = label_origin(frames[0])
    lines = [
        f"{len(used)} of {len(frames)} frames are used, {len(suspects)} findings are suspect; "
        f"see {folder}/files.csv and suspects.csv",
        f"labels are {_origin_told(origin)}" + (f"; for a run {SAY_IT}" if UNSTATED in origin else ""),
    ]
    return "\n".join(
        lines + [f"{imported.entry.name}: {note}" for imported in files for note in imported.notes]
    )


TAKEN_OVER = (
    "Labels of two programs at one level differ by settings such as grids and thresholds. Beyond these "
    "limits the difference is larger than what a model can learn.",
    "Compare the settings of both programs, or label the frames anew.",
)
LEVEL = (
    "A model that is trained on two levels learns neither; the run's own labels are at the level named as "
    "the limit.",
    "Set the run's level to that of the file, or let frames be labelled anew.",
)
SUSPECT = (
    "One wrong frame can spoil a training: each is looked at on its own.",
    "Read suspects.csv; then say --on_suspect drop or keep of that group.",
)
UNITS_TOLD = (
    "Forces times displacements have to give the energy differences along a path. Another ratio than 1 means "
    "another unit of one of them, or forces of another level.",
    "Say the units in the sheet (docs/usage.md), or correct the file.",
)


def _offsets(adopted: Adopted) -> str:
    shown = [f"{formula} {offset:.4f} eV" for formula, offset in adopted.offsets_eV.items()]
    return ", ".join(shown[:SHOWN]) + (" and others" if len(shown) > SHOWN else "")


def _whole_files(
    files: Sequence[Imported], frames: Sequence[Atoms], suspects: Sequence[Suspect]
) -> list[Suspect]:
    """Return all frames of files too many of whose frames do not fit: no choice among them is safe."""
    compared = _compared(frames)
    found = []
    start = 0
    for imported in files:
        numbers = range(start, start + len(imported.frames))
        start += len(imported.frames)
        n_misfits, n_compared = misfits(suspects, compared, numbers)
        if n_misfits > MOST_MISMATCHED * n_compared:
            why = f"{n_misfits} of {n_compared} compared frames do not fit: wrong pairs, axes or units"
            found += [Suspect(i, "file", why) for i in numbers]
    return found


def _compared(frames: Sequence[Atoms]) -> list[Step]:
    return steps(frames, [i for i, atoms in enumerate(frames) if not unusable(atoms)])


UNSTATED = "not stated"
SAY_IT = (
    "say level and code in a samplesheet, and give that in place of the file: a CSV with the line "
    "file,level,code and a line for each file (docs/usage.md, Your own labels)"
)


def _origin_told(origin: str) -> str:
    """Return in words whose labels they are, of ``label_origin``'s text."""
    level, _, code = origin.rpartition(" by ")
    of = "of a level that is not stated" if level == UNSTATED else f"of {level}"
    return f"{of}, by {'a code that is not stated' if code == UNSTATED else code}"


def _check_origins(frames: Sequence[Atoms], wanted: str) -> None:
    """Raise UserError for labels of more than one level or code, or of another than ``wanted`` (if any)."""
    origins = Counter(label_origin(atoms) for atoms in frames)
    if len(origins) > 1:
        listed = "; ".join(f"{origin} ({n} frames)" for origin, n in origins.items())
        raise UserError(f"labels of different levels in one dataset: {listed}; one level only is allowed")
    (found,) = origins
    if wanted and UNSTATED in found:
        raise UserError(
            f"the dataset's labels are {_origin_told(found)}, those that the run adds would be {wanted}; "
            f"{SAY_IT}"
        )
    if wanted and found != wanted:
        raise UserError(
            f"the dataset's labels are {found}, those that the run adds would be {wanted}; give the run the "
            "dataset's level, take labels of another program at that level over (labels.other_code true), or "
            "label the frames anew (photodesorption: or set --exploration.rounds 0)"
        )


def _places(files: Sequence[Imported]) -> list[tuple[str, int]]:
    """Return file and number in it of every frame."""
    return [(imported.entry.name, number) for imported in files for number in range(len(imported.frames))]


def _told(suspects: Sequence[Suspect], places: Sequence[tuple[str, int]], folder: Path) -> str:
    counts = Counter(suspect.kind for suspect in suspects)
    alike: dict[tuple[str, str, str], list[int]] = {}
    for suspect in suspects:
        file, number = places[suspect.frame]
        alike.setdefault((file, suspect.kind, suspect.detail), []).append(number)
    first = "; ".join(
        f"{file}, frame {numbers[0]}" + (f" and {len(numbers) - 1} more" if len(numbers) > 1 else "") + ": "
        f"{kind}, {detail}"
        for (file, kind, detail), numbers in list(alike.items())[:SHOWN]
    )
    more = f"; all are in {folder}/suspects.csv" if len(suspects) > 1 else ""
    kinds = ", ".join(f"{n} {kind}" for kind, n in counts.items())
    return f"suspect frames ({kinds}): {first}{more}; repair them, or set --labels.on_suspect drop or keep"


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with write_atomic(path) as partial, partial.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def _write_tables(
    folder: Path,
    files: Sequence[Imported],
    frames: Sequence[Atoms],
    suspects: Sequence[Suspect],
    dropped: set[int],
    on_suspect: str,
) -> None:
    places = _places(files)
    _write(
        folder / "suspects.csv",
        ("file", "frame", "trajectory_id", "kind", "detail", "action"),
        [
            (*places[s.frame], frames[s.frame].info.get("trajectory_id", ""), s.kind, s.detail,
             {"stop": "stopped"}.get(on_suspect, "dropped" if s.frame in dropped else "kept"))
            for s in suspects
        ],
    )  # fmt: skip
    elements: Counter[str] = Counter()
    with_element: Counter[str] = Counter()
    for atoms in frames:
        elements.update(atoms.get_chemical_symbols())
        with_element.update(set(atoms.get_chemical_symbols()))
    _write(
        folder / "elements.csv",
        ("element", "n_atoms", "n_frames"),
        [(element, elements[element], with_element[element]) for element in sorted(elements)],
    )
    rows, start = [], 0
    for imported in files:
        numbers = range(start, start + len(imported.frames))
        start += len(imported.frames)
        rows.append(_row(imported, numbers, frames, suspects, dropped))
    _write(folder / "files.csv", FILE_COLUMNS, rows)


def _row(
    imported: Imported,
    numbers: range,
    frames: Sequence[Atoms],
    suspects: Sequence[Suspect],
    dropped: set[int],
) -> list[Any]:
    """Return one file's row of files.csv."""
    good = [i for i in numbers if not unusable(frames[i])]
    own = [frames[i] for i in numbers]
    energies = [frames[i].get_potential_energy() / len(frames[i]) for i in good]
    forces = [max_force(frames[i]) for i in good]
    compared = steps(frames, good)
    ratio = unit_ratio(compared)
    molecules: Counter[str] = Counter()
    for atoms in (a for a in own if np.isfinite(a.positions).all() and IN_BOX not in a.info):
        found = molecular_formulas(atoms)
        molecules[" + ".join(f"{n} {name}" for name, n in sorted(found.items()))] += 1
    sizes = [len(atoms) for atoms in own]
    return [
        imported.entry.name, imported.format, own[0].info["label_level"], own[0].info["label_code"],
        own[0].info["label_version"], len(own), len({s.frame for s in suspects if s.frame in numbers}),
        len(set(numbers) - dropped), len({str(a.info.get("trajectory_id")) for a in own}),
        "; ".join(f"{text} ({n})" for text, n in molecules.most_common(SHOWN)), min(sizes), max(sizes),
        ", ".join(sorted({energy_zero(frames[i]) for i in good})),
        *([f"{min(energies):.6f}", f"{max(energies):.6f}", f"{min(forces):.6f}", f"{max(forces):.6f}"]
          if good else [""] * 4),
        sum("dipole" in frames[i].calc.results for i in good),
        sum(bool(np.any(a.arrays.get("excited", 0))) for a in own),
        len(compared), f"{ratio:.4f}" if np.isfinite(ratio) else "", "; ".join(imported.notes),
    ]  # fmt: skip


def _figure(folder: Path, files: Sequence[Imported], dropped: set[int]) -> Figure:
    """Draw energy per atom against largest force, file by file; dropped frames as crosses."""
    import pandas

    from frazil.report.plot import new, save

    rows, number = [], 0
    for imported in files:
        for atoms in imported.frames:
            if not unusable(atoms):
                rows.append(
                    {
                        "file": Path(imported.entry.name).name,
                        "energy_eV_per_atom": atoms.get_potential_energy() / len(atoms),
                        "max_force_eV_per_A": max_force(atoms),
                        "dropped": int(number in dropped),
                    }
                )
            number += 1
    data = pandas.DataFrame(rows)
    canvas, axes = new(width_in=5.5)
    for name, part in data.groupby("file"):
        kept = part[part["dropped"] == 0]
        axes[0, 0].plot(kept["max_force_eV_per_A"], kept["energy_eV_per_atom"], ".", label=name)
    left = data[data["dropped"] == 1]
    if len(left):
        axes[0, 0].plot(left["max_force_eV_per_A"], left["energy_eV_per_atom"], "kx", label="dropped")
    axes[0, 0].set(xlabel="largest force on an atom (eV/Å)", ylabel="energy per atom (eV)", xscale="symlog")
    axes[0, 0].legend()
    return save(canvas, data, folder, "frames", "Labels as read: energy per atom against largest force.")


def _section(
    files: Sequence[Imported],
    frames: Sequence[Atoms],
    suspects: Sequence[Suspect],
    dropped: set[int],
    on_suspect: str,
    figures: list[Figure],
) -> Section:
    compared = _compared(frames)
    ratio = unit_ratio(compared)
    n_suspect = len({suspect.frame for suspect in suspects})
    return Section(
        title="Imported labels",
        headline=(
            f"{len(frames) - len(dropped)} of {len(frames)} frames from {len(files)} file(s) are used "
            f"({label_origin(frames[0])}); {n_suspect} were suspect (choice: {on_suspect})."
        ),
        text=[
            "A frame is suspect for missing or unknown labels, periodic images within 6 Å, nuclei on top of "
            "each other, electrons that did not converge, forces that are all exactly zero, a double, an "
            "energy counted from another zero than most, an energy or force alone beyond a gap as wide as "
            "all the rest, or forces that do not explain the energy differences along its trajectory or to "
            f"the nearest frame of its composition ({len(compared)} steps were short enough to compare).",
            *(f"{imported.entry.name}: {note}." for imported in files for note in imported.notes),
        ],
        gates=[
            Gate.at_most("suspect frames", n_suspect, 0, "listed in suspects.csv").because(*SUSPECT),
            Gate.within(
                "energy difference over work of the forces",
                ratio,
                0.9,
                1.1,
                "median over steps; one unit system gives 1",
            ).because(*UNITS_TOLD)
            if np.isfinite(ratio)
            else Gate.unmeasured(
                "units not checked",
                "forces explain energy differences",
                f"no two frames of a composition lie within {LONGEST_STEP_A:g} Å and differ enough in energy",
            ).because(*UNITS_TOLD),
        ],
        figures=figures,
        tables=[
            Table("files.csv", "What was read."),
            Table("elements.csv", "Elements."),
            Table("suspects.csv", "Suspect frames and what was done with them."),
        ],
    )
