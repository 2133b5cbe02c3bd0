"""Works to cite: those that sections name, and the software and levels of theory that a run used."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from frazil.errors import UserError

BIBLIOGRAPHY = Path(__file__).with_name("works.bib")
SOFTWARE = {
    "photodesorption": ("deepmd2025", "zhang2018", "lammps2022", "packmol2009"),
    "sticking": ("jax2018", "packmol2009"),
    "infrared": ("zaverkin2020", "jax2018"),
    "dynamic_training": ("jax2018", "packmol2009"),
}
"""Of an experiment, beside what every run uses."""
ALWAYS = ("nextflow2017", "ase2017", "numpy2020", "scipy2020")
LEVELS = (
    (r"gfn2-xtb", ("gfn2",)),
    (r"gfn1-xtb", ("gfn1",)),
    (r"/", ("pyscf2020",)),
    (r"\bpbe", ("pbe1996",)),
    (r"d3bj", ("d3bj2011",)),
    (r"d4\b", ("d42019",)),
    (r"def2", ("def22005",)),
)
"""What a level of theory rests on, by parts of its name."""


@dataclass(frozen=True)
class Work:
    """An entry of the bibliography: its key, BibTeX, text and DOI ("" where none is known)."""

    key: str
    bibtex: str
    text: str
    doi: str


@cache
def works() -> dict[str, Work]:
    """Return the bibliography by key."""
    found = {}
    for entry in re.findall(r"^@.*$", BIBLIOGRAPHY.read_text(encoding="utf-8"), re.MULTILINE):
        key = re.match(r"@\w+\{(\w+)", entry)
        assert key is not None
        fields = dict(re.findall(r"(\w+)=\{([^{}]*)\}", entry))
        names = [" ".join(reversed(name.split(", "))) for name in fields["author"].split(" and ")]
        authors = " et al.".join([", ".join(names[:-1]), ""]) if names[-1] == "others" else ", ".join(names)
        place = " ".join(fields[name] for name in ("journal", "volume") if name in fields)
        parts = [authors, fields.get("title", ""), ", ".join(filter(None, (place, fields.get("pages", ""))))]
        text = ", ".join(filter(None, parts)) + f" ({fields['year']})"
        bibtex = re.sub(r", (\w+)=\{", r",\n  \1 = {", entry)[:-1] + "\n}"
        found[key[1]] = Work(key[1], bibtex, text, fields.get("doi", ""))
    return found


def cited(reference: str) -> tuple[Work | None, str]:
    """Return the work of a section's reference ``@key`` or ``@key: what for``, and what it is cited for.

    Any other text is a reference as it stands: (None, text). Raises UserError for a key that is not there.
    """
    named = re.fullmatch(r"@(\w+)(?:: (.*))?", reference)
    if not named:
        return None, reference
    if named[1] not in works():
        raise UserError(f"reference @{named[1]} is not in {BIBLIOGRAPHY.name}; add it there")
    return works()[named[1]], named[2] or ""


def used(experiments: list[str], parameters: dict[str, Any]) -> list[Work]:
    """Return the software and the levels of theory that a run rests on, in the order of the bibliography."""
    keys = {*ALWAYS, *(key for name in experiments for key in SOFTWARE.get(name, ()))}
    if "photodesorption" in experiments and not trains(parameters):
        others = (SOFTWARE.get(name, ()) for name in experiments if name != "photodesorption")
        keys = {*ALWAYS, "jax2018", "packmol2009", *(key for own in others for key in own)}
    levels = " ".join(_levels(parameters, set(experiments)))
    keys |= {key for pattern, found in LEVELS if re.search(pattern, levels) for key in found}
    if "sticking" in experiments and parameters.get("sticking", {}).get("potential") == "gmnn":
        keys.add("zaverkin2020")
    return [work for key, work in works().items() if key in keys]


def trains(parameters: dict[str, Any]) -> bool:
    """Return whether photodesorption, with these parameters, trains DeePMD-kit's models."""
    own = parameters.get("photodesorption", {})
    return own.get("potential", "deepmd") == "deepmd" and not own.get("model")


def _levels(parameters: dict[str, Any], experiments: set[str]) -> list[str]:
    """Return the levels of theory among the parameters of what ran."""
    trained = "photodesorption" in experiments and trains(parameters)
    groups = experiments | ({"labels"} if trained else set())
    found = []
    for group in groups:
        item = parameters.get(group)
        if isinstance(item, dict):
            found += [str(value) for name, value in item.items() if re.fullmatch(r"(label_)?levels?", name)]
    return found


def listed() -> str:
    """Return CITATIONS.md: the whole bibliography."""
    lines = [
        "# What frazil rests on",
        "",
        'The report of a run lists those of these works that the run used, under "Methods and citations",',
        "with BibTeX to copy. How to cite frazil itself is in [CITATION.cff](CITATION.cff).",
        "",
    ]
    for work in sorted(works().values(), key=lambda work: work.text):
        link = f" [doi:{work.doi}](https://doi.org/{work.doi})" if work.doi else ""
        lines.append(f"- {work.text}.{link}")
    return "\n".join(lines) + "\n"
