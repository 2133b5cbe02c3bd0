"""What stands over a column, made of the column's name: n_stuck is "stuck (number)", x_A is "x (Å)"."""

import re

from frazil.settings import UNITS

MORE_UNITS = {
    "um": "µm",
    "e_A": "e Å",
    "kJ_per_mol": "kJ/mol",
    "eV_per_atom": "eV/atom",
    "per_meV": "meV⁻¹",
    "e2_A2_per_eV": "e² Å²/eV",
    "meV_per_atom_per_ps": "meV/atom/ps",
    "A4_per_amu": "Å⁴/amu",
    "A4_cm_per_amu": "Å⁴ cm/amu",
    "sqrt_amu_A": "√amu Å",
    **UNITS,
}
WHOLE = {
    "n": "n",
    "mae": "mean absolute error",
    "rmse": "RMSE",
    "max": "largest error",
    "ks_p": "p value (Kolmogorov–Smirnov)",
    "ks_statistic": "Kolmogorov–Smirnov statistic",
    "p_value": "p value",
    "g": "g(r)",
    "j_peak": "J_peak",
    "j_max": "J_max",
    "low_95": "95 % from",
    "high_95": "95 % to",
    "model_std": "part of the model (std. dev.)",
    "weight_above": "weight above the highest energy",
    "weight_below": "weight below the lowest energy",
    "only_model": "stuck under the model only (number)",
    "only_truth": "stuck under the known truth only (number)",
    "exceeds": "beyond the interval (1: yes)",
    "converged": "converged (1: yes)",
    "excited": "excited (1: yes)",
    "returned": "returned (1: yes)",
    "trained": "trained on (1: yes)",
    "selected": "selected (1: yes)",
    "agrees": "agree?",
    "this_run": "this run",
    "fraction_v1": "fraction with v = 1",
    "pca_1": "1st principal component",
    "pca_2": "2nd principal component",
    "peak_minus_9_7_um": "peak less 9.7 µm (µm)",
    "half_life_s_paper": "half-life, paper (s)",
    "binding_energy_K_paper": "binding energy, paper (K)",
    "attempt_frequency_per_ps_paper": "attempt frequency, paper (ps⁻¹)",
}  # fmt: skip
"""Names that are not put together as the others are."""
WORDS = {
    "std": "std. dev.", "se": "std. error", "rmse": "RMSE", "mae": "mean absolute error",
    "j": "J", "rms": "RMS", "wasserstein": "Wasserstein distance",
    "v0": "v = 0", "x1x2": "X1–X2", "co": "C–O", "pca": "PCA",
}  # fmt: skip


_ENDS = {"_low_95": ", 95 % from", "_high_95": ", 95 % to", "_paper": ", paper"}
_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*_[A-Za-z0-9]+")


def head(name: str) -> str:
    """Return the words for a column's name, with the unit in brackets."""
    if name in WHOLE:
        return WHOLE[name]
    for end, text in _ENDS.items():
        if name.endswith(end):
            return head(name.removesuffix(end)) + text
    endings = (ending for ending in sorted(MORE_UNITS, key=len, reverse=True) if name.endswith("_" + ending))
    ending = next(endings, "")
    bare = name.removesuffix("_" + ending) if ending else name
    unit = MORE_UNITS.get(ending, "")
    for end, text in _ENDS.items():
        if ending and bare.endswith(end):  # the unit stands last: polarization_low_95_e_A
            return head(f"{bare.removesuffix(end)}_{ending}") + text
    if bare.startswith("n_"):
        bare, unit = bare[2:], "number"
    text = " ".join(
        WORDS.get(word, word) for word in bare.replace("half_life", "half-life").split("_") if word
    )
    if unit and text[-1:].isdigit():  # j_peak_above_71_meV: the unit is the number's
        return f"{text} {unit}"
    return f"{text} ({unit})" if unit else text


def quantity(text: str) -> str:
    """Return a cell's text as words, where it is a name like those of columns: desorption_probability."""
    if _NAME.fullmatch(text):
        return head(text)
    return text
