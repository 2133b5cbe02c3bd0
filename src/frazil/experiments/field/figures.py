"""Figures of clusters and cells in electric fields, each with its data beside it."""

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from frazil.experiments.field.tables import EXPECTED, POLARIZATION, RIGID
from frazil.experiments.passes import nuclei_of
from frazil.report.plot import BLACK, BLUE, CYCLE, GREY, ORANGE, label, new, save
from frazil.report.section import Figure

DASHES = {"a": "-", "b": "--", "c": ":"}
"""Of the vectors of a cell."""


def response(table: pandas.DataFrame, curves: pandas.DataFrame, out: Path) -> Figure:
    """Draw each quantity against the field, polarization over the curves of ``results.curves``."""
    names = list(dict.fromkeys(table["quantity"]))
    canvas, axes = new(1, len(names), width_in=1.0 + 2.6 * len(names), height_in=3.1)
    for axis, name in zip(axes[0], names, strict=True):
        for place, (n_beads, own) in enumerate(table[table["quantity"] == name].groupby("n_beads")):
            colour = CYCLE[place % len(CYCLE)]
            both = np.abs(own[["low_95", "high_95"]].to_numpy().T - own["value"].to_numpy())
            axis.errorbar(
                own["field_V_per_A"], own["value"], both, fmt="o", color=colour, markersize=3,
                label=nuclei_of(int(n_beads)),
            )  # fmt: skip
            if name == POLARIZATION:
                rows = curves[(curves["quantity"] == EXPECTED) & (curves["n_beads"] == n_beads)]
                axis.plot(
                    rows["field_V_per_A"], rows["value"], "-", color=colour, linewidth=0.8,
                    label=EXPECTED if place == 0 else None,
                )  # fmt: skip
        if name == POLARIZATION:
            rows = curves[curves["quantity"] == RIGID]
            if len(rows):
                axis.plot(rows["field_V_per_A"], rows["value"], ":", color=GREY, label=RIGID)
            axis.legend()
        unit = table[table["quantity"] == name]["unit"].iloc[0]
        label(axis, "field (V/Å)", f"{name} ({unit})")
    return save(
        canvas, pandas.concat([table, curves], ignore_index=True), out, "polarization",
        "Polarization and lengths against the field, 95 % of sampling; lines: what the dipoles without a "
        "field lead to (of free clusters by Langevin's function), and a rigid dipole.",
    )  # fmt: skip


def driven(table: pandas.DataFrame, out: Path) -> Figure:
    """Draw the field that changes with time, the polarization under it and the energy gained."""
    canvas, axes = new(3, width_in=5.0, height_in=5.2, share_x=True)
    times = table["time_fs"]
    axes[0, 0].plot(times, table["field_V_per_A"], color=BLACK, linewidth=1.0)
    label(axes[0, 0], "", "field (V/Å)")
    for axis, name, unit, colour in (
        (axes[1, 0], "polarization", "e_A", BLUE), (axes[2, 0], "gained", "meV", ORANGE)
    ):  # fmt: skip
        axis.fill_between(
            times, table[f"{name}_low_95_{unit}"], table[f"{name}_high_95_{unit}"], color=colour, alpha=0.3,
            linewidth=0,
        )  # fmt: skip
        axis.plot(times, table[f"{name}_{unit}"], color=colour, linewidth=1.0)
    label(axes[1, 0], "", "polarization (e Å)")
    label(axes[2, 0], "time (fs)", "energy gained (meV)")
    return save(
        canvas, table, out, "drive",
        "The field that changes with time, and means per molecule of the dipole along it and of the energy "
        "gained; 95 % of sampling.",
    )  # fmt: skip


def carried(table: pandas.DataFrame, out: Path) -> Figure:
    """Draw the dipole and the energy as what is carried goes through a vector of the cell."""
    canvas, axes = new(2, width_in=5.0, height_in=4.8, share_x=True)
    colours = dict(zip(table["carried"].unique(), cycle(CYCLE)))
    for (name, along), own in table.groupby(["carried", "along"]):
        look: dict[str, Any] = {"color": colours[name], "linestyle": DASHES[str(along)], "linewidth": 1.2}
        axes[0, 0].plot(own["fraction"], own["change_e"], label=name if along == "a" else None, **look)
        axes[1, 0].plot(own["fraction"], own["energy_eV"], **look)
    axes[0, 0].legend()
    label(axes[0, 0], "", "change of dipole (e)")
    label(axes[1, 0], "part of the cell's vector", "energy (eV)")
    return save(
        canvas, table, out, "carried_through",
        "An ion (or a whole molecule) that goes through a vector of the cell, a (solid), b (dashed) or c "
        "(dotted): at its end the dipole has changed by the oxidation number times the vector, and the "
        "energy is what it was. Changes of the dipole are along the vector, over its length.",
    )  # fmt: skip
