"""The sticking section of the report."""

import numpy as np

from frazil.analysis.estimates import MODEL_UNKNOWN
from frazil.experiments.sticking.binding import REARRANGED_A
from frazil.experiments.sticking.coefficients import HALF
from frazil.experiments.sticking.driver import ANALYTIC
from frazil.experiments.sticking.results import Results
from frazil.experiments.sticking.tables import CONDITION
from frazil.report.heads import head
from frazil.report.section import Figure, Gate, Result, Section, Table

REFERENCES = [
    "@molpeceres2021: the study that this experiment follows",
    "@buch1991: thermal sticking coefficient",
    "@vanhemert2015: CO–CO force field",
    "@jankowski2005: wells of H2–CO",
    "@lemmon2006: density of liquid CO",
    "@brown2001: Jeffreys' interval",
]
OF_ANY = ("@molpeceres2021", "@buch1991", "@brown2001")
"""Those that are not of H2 and CO."""
POTENTIALS = {
    "n2-trappe": "@potoff2001: potential between N2 molecules",
    "q-tip4p-f": "@habershon2009: q-TIP4P/F water",
    "gfn1-xtb": "@gfn1: GFN1-xTB",
    "gfn2-xtb": "@gfn2: GFN2-xTB",
}
"""What a potential's name begins with, and its reference."""
FAILED = (
    "A trajectory fails where energies are no numbers or atoms collapse, and a molecule dissociates where "
    "the potential has a hole. Both stay in every denominator and so lower the probability.",
    "See their rows in trajectories.csv. Label frames of that kind, or take a shorter sticking.timestep_fs.",
)
UNCONVERGED = (
    "A minimization that did not converge has no binding energy; beyond a tenth, the mean is no longer "
    "that of the surface.",
    "Allow more steps, or look at the sites in binding_energies.csv: on a rough potential they wander.",
)
SPREAD = (
    "A committee that was never taught what is on this surface passes every error on frames held out, and "
    "shows here.",
    "Label frames of the projectile on these surfaces, or train on more (sticking.training_scale).",
)
WARM = (
    "Five standard errors is more than chance gives: the surface is not at the temperature that the result "
    "names.",
    "Thermalize longer (sticking.thermalization_fs).",
)
DENSITY = (
    "Crystalline: the paper's 1.07 g/cm³ within 5 %. Amorphous: from the liquid's at its triple point to the "
    "crystal's. A surface outside has another structure than its name says.",
    "Anneal longer (sticking.anneal_fs) or take more molecules: small hemispheres have much surface.",
)
WELLS = (
    "The paper's model has wells that are off by 10 to 20 K, a tenth of what binds H2.",
    "Label more frames near the wells (sticking.training_scale), or train longer.",
)
AGREE = (
    "The model replaces the known truth. The whole 95 % interval of the difference has to lie within the "
    "margin (sticking.truth_margin), so that few collisions cannot pass by being uncertain.",
    "A wide interval asks for more collisions of both, a shifted one for better labels.",
)
DENSITIES_g_per_cm3 = {"crystalline": (1.02, 1.12), "amorphous": (0.85, 1.07)}
"""Crystalline: the paper's 1.07 within 5 % (measured: 1.05). Amorphous: from the liquid's at the triple
point, out of which it is quenched (0.8495, Lemmon & Span 2006), to the paper's crystal's; the paper gives
none.
"""
DENSITY_PART = 0.1
DENSITY_OTHERS = (
    "Other ices than CO have no limits of their own here: the deep molecules of a surface should be as dense "
    "as it was cut or packed, within a tenth. A surface outside has another structure than its name says.",
    "Give a density that the potential holds (sticking.density_g_per_cm3), or more molecules.",
)
BINDING_LIMIT_K = 20.0
"""The paper: its model's wells are off by 10 to 20 K, to either side."""
SPREAD_LIMIT = 0.2
"""Of the members' binding energies, as a part of their mean: a committee that was never taught what is on a
surface passes every error on frames held out, and shows here.
"""
DRIFT_meV_per_ps = 1.0
WORST_DRIFT_meV_per_ps = 10.0
"""Of a single trajectory: a collision of 10 ps would gain 1 kT at 1000 K, ten times what binds."""


def _gates(results: Results) -> list[Gate]:
    counts = results.trajectories["outcome"].value_counts()
    failed = int(counts.get("failed", 0) + counts.get("dissociated", 0))
    unconverged = float((results.sites["converged"] == 0).mean())
    gates = [
        Gate.at_most("trajectories that failed or dissociated", failed, 0).because(*FAILED),
        *Gate.conserves(
            results.trajectories["energy_drift_meV_per_ps"], DRIFT_meV_per_ps, WORST_DRIFT_meV_per_ps
        ),
        Gate.at_most("binding sites that did not converge", unconverged, 0.1).because(*UNCONVERGED),
    ]
    for row in results.sites_summary.to_dict("records"):
        part = float(row["model_std_K"]) / abs(float(row["mean_K"]))
        if np.isfinite(part):
            what = f"members' spread of binding energies, part of their mean ({row['phase']})"
            gates.append(Gate.at_most(what, part, SPREAD_LIMIT).because(*SPREAD))
    for row in results.checks.to_dict("records"):
        what = f"{row['phase']}, {row['surface_temperature_K']:g} K"
        error_K = max(float(row["temperature_error_K"]), 1e-9)
        off = abs(float(row["temperature_K"]) - float(row["surface_temperature_K"])) / error_K
        name = f"temperature of the surface, standard errors off ({what})"
        gates.append(Gate.at_most(name, off, 5.0).because(*WARM))
        limits, told = DENSITIES_g_per_cm3[str(row["phase"])], DENSITY
        if results.ice != "CO":
            begun = float(row["initial_density_g_per_cm3"])
            limits, told = ((1 - DENSITY_PART) * begun, (1 + DENSITY_PART) * begun), DENSITY_OTHERS
        gate = Gate.within(f"density (g/cm³), {what}", float(row["density_g_per_cm3"]), *limits)
        gates.append(gate.because(*told))
    return gates + _truth_gates(results)


def _truth_gates(results: Results) -> list[Gate]:
    """Return what the known truth, where it ran from the same starts and at the same sites, says of the
    model.
    """
    gates = []
    for row in results.sites_summary.to_dict("records"):
        error = abs(float(row["truth_mean_error_K"]))
        if np.isfinite(error):
            what = f"mean error of binding energies against the known truth (K), {row['phase']}"
            gate = Gate.at_most(what, error, BINDING_LIMIT_K, "the paper: 10 to 20 K")
            gates.append(gate.because(*WELLS))
    if results.truth_pairs is None or results.truth_coefficients is None:
        return gates
    margin = results.truth_margin
    for row in results.truth_pairs.to_dict("records"):
        what = f"part that sticks, model less known truth, same starts ({row['phase']})"
        told = f"{row['n_stuck_model']} and {row['n_stuck_truth']} of {row['n']} stuck"
        interval = row["difference_low_95"], row["difference_high_95"]
        gates.append(Gate.equivalent(what, row["difference"], interval, margin, told).because(*AGREE))
    both = results.coefficients.merge(
        results.truth_coefficients, on=[*CONDITION, "gas_temperature_K"], suffixes=("", "_truth")
    )
    off = (both["coefficient"] - both["coefficient_truth"]).to_numpy(float)
    half = 0.5 * np.hypot(both["high_95"] - both["low_95"], both["high_95_truth"] - both["low_95_truth"])
    for phase in sorted(set(both["phase"])):
        worst = int(np.argmax(np.where(both["phase"] == phase, np.abs(off) + half, -1.0)))
        what = f"S(T_g), model less known truth, at the T_g where they may differ most ({phase})"
        interval = off[worst] - half[worst], off[worst] + half[worst]
        gates.append(Gate.equivalent(what, float(off[worst]), interval, margin).because(*AGREE))
    return gates


def _told_sensitivity(results: Results) -> str:
    over = results.sensitivity[results.sensitivity["exceeds"] == 1]
    told = "; ".join(
        f"{row['phase']}, {head(row['criterion'])} {row['setting']:g}: {row['part_stuck']:.3f}"
        for row in over.to_dict("records")
    )
    if not told:
        return (
            "No nearer distance and no shorter time changes the part that sticks by more than its interval."
        )
    return f"Beyond the interval of the part that sticks are other criteria: {told}."


def _headline(results: Results) -> str:
    parts = []
    for (phase, surface_K), part in results.coefficients.groupby(CONDITION, sort=True):
        row = part.iloc[0]
        kind = "" if np.isnan(row["total_low_95"]) else "total_"
        parts.append(
            f"{phase} at {surface_K:g} K: S({row['gas_temperature_K']:g} K) = {row['coefficient']:.2f} "
            f"[{row[f'{kind}low_95']:.2f}, {row[f'{kind}high_95']:.2f}]"
        )
    known = "sampling and model error" if results.trajectories["model_id"].nunique() > 1 else MODEL_UNKNOWN
    return f"{len(results.trajectories)} collisions. {'; '.join(parts)} (95 %, {known})."


def section_of(results: Results, figures: list[Figure]) -> Section:
    """Return the section."""
    models = ", ".join(sorted(results.trajectories["model_id"].unique()))
    text = [
        f"Trajectories ran under {models}."
        + (" Small hemispheres differ from the paper's 488 and 477 CO." if results.is_published else ""),
        "Failed and dissociated trajectories stay in every denominator. Intervals of P are Jeffreys'; S(T_g) "
        "is the integral of Buch & Zhang with P(0) = 1 and the last P held beyond the highest energy, which "
        "gives the paper's Table 3 from its Table 2.",
        "Half-lives take the median binding energy of crystalline ice and the mean of amorphous ice, as the "
        "paper does, and the mean attempt frequency of the long trajectories that stayed.",
        f"Where {results.projectile} made the surface fall into another minimum (an atom moved more than "
        f"{REARRANGED_A:g} Å), the binding energy holds that difference; such sites are counted, none is "
        "left out.",
    ]
    if results.truth is not None and results.truth_id != ANALYTIC:
        text.append(
            f"The known truth, from the same starts and at the same sites, is {results.truth_id}, the "
            "formula that labelled the frames: the committee is judged by it. It is no prediction for real "
            "ice."
        )
    elif ANALYTIC in models.split(", ") or results.truth is not None:
        text.append(
            "The analytic potential is the known truth: van Hemert's CO–CO field and an H2–CO pair potential "
            "invented here and fitted to published wells; its numbers are no prediction for real ice."
        )
    if results.trajectories["model_id"].nunique() > 1:
        text.append(
            "The members' part of the errors: each collision runs under one member of the committee. What "
            "counting does not explain of the spread between members is the part of the model, and total "
            "intervals hold both. A site's binding energy is the mean's at the mean's minimum, its error the "
            "spread of the members there."
        )
    if results.ended:
        text.append(results.ended)
    text.append(_told_sensitivity(results))
    told = "Binding energies over one molecule (top), between two (bridge), among more (hollow)."
    tables = [
        Table("sticking_probabilities.csv", "Sticking probabilities."),
        Table("sticking_coefficients.csv", "Thermal sticking coefficients."),
        Table("sensitivity.csv", "The part that sticks by nearer distances and shorter times."),
        Table("binding_summary.csv", "Binding energies."),
        Table("binding_by_type.csv", told),
        Table("surfaces.csv", "Surfaces and their checks."),
    ]
    if results.is_published:
        compared = "Probabilities beside the paper's, where energies and temperatures agree."
        tables.insert(2, Table("comparison.csv", compared))
        tables.insert(5, Table("residence_beside_paper.csv", "Half-lives, beside the paper's Table 4."))
    else:
        tables.insert(4, Table("residence_times.csv", "Half-lives."))
    if results.truth is not None:
        tables.append(Table("truth_pairs.csv", "Collisions from the same starts, model and known truth."))
        tables.append(Table("truth_probabilities.csv", "The known truth on the same starts."))
        tables.append(Table("truth_coefficients.csv", "Thermal sticking coefficients of the known truth."))
    return Section(
        title=f"{results.projectile} sticking on {results.ice} ice",
        headline=_headline(results),
        text=text,
        gates=_gates(results),
        figures=figures,
        tables=tables,
        results=_results(results),
        main_figure=next((item.file for item in figures if item.file.startswith("coefficients")), ""),
        methods=_methods(results, models),
        references=_references(results, models),
    )


def _references(results: Results, models: str) -> list[str]:
    """Return the works that a run rests on."""
    ran = (models, results.truth_id)
    own = [cited for name, cited in POTENTIALS.items() if any(one.startswith(name) for one in ran)]
    if results.is_published:
        return REFERENCES + own
    return [cited for cited in REFERENCES if cited.startswith(OF_ANY)] + own


def _results(results: Results) -> list[Result]:
    """Return S at the lowest gas temperature of each condition, and the mean binding energy of each phase."""
    cards = []
    for (phase, surface_K), part in results.coefficients.groupby(CONDITION, sort=True):
        row = part.iloc[0].to_dict()
        runs = results.trajectories
        own = (runs["phase"] == phase) & (runs["surface_temperature_K"] == surface_K)
        gas_K = float(row["gas_temperature_K"])
        told = []
        for who, table in (
            ("known truth", results.truth_coefficients),
            ("paper", results.paper_coefficients),
        ):
            if table is not None:
                same = table[(table["phase"] == phase) & (table["surface_temperature_K"] == surface_K)]
                same = same[np.isclose(same["gas_temperature_K"], gas_K)]
                told += [f"{who}: {value:.2f}" for value in same["coefficient"].head(1)]
        name = f"Sticking coefficient of {phase} ice at {surface_K:g} K, gas at {gas_K:g} K"
        outside = float(row["weight_below"]) + float(row["weight_above"])
        if outside > HALF:
            told.append(f"{100 * outside:.3g} % of its weight lies at collision energies that did not run")
        verdict = "; ".join(told)
        cards.append(
            Result.of_row(name, "coefficient", row, n=int(own.sum()), of="collisions", verdict=verdict)
        )
    for row in results.sites_summary.to_dict("records"):
        ends = {end: row[f"mean_{end}_K"] for end in ("low_95", "high_95", "total_low_95", "total_high_95")}
        name = f"Mean binding energy on {row['phase']} ice"
        found = {"mean_K": row["mean_K"], **ends}
        alone = "one site: its error is unknown" if row["n"] == 1 else ""
        cards.append(Result.of_row(name, "mean_K", found, "K", n=int(row["n"]), of="sites", verdict=alone))
    return cards


def _methods(results: Results, models: str) -> str:
    energies = ", ".join(
        f"{value:g}" for value in sorted(results.probabilities["collision_energy_K"].unique())
    )
    shot, ice = results.projectile, results.ice
    return (
        f"Sticking: {len(results.trajectories)} collisions of {shot} with {ice} ice were run under {models} "
        f"at collision energies of {energies} K. Thermal sticking coefficients are the integral of Buch and "
        f"Zhang over the probabilities; binding energies are of minimized {shot} over a grid of places."
    )
