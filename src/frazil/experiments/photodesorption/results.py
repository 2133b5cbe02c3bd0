"""Step 10: from shards of trajectories to tables, figures, gates and the section of the report."""

from dataclasses import dataclass

import pandas

from frazil.experiments.photodesorption.shards import Ensemble


@dataclass(frozen=True)
class Truth:
    """What others say: the teacher's agreement, distributions, energy along paths, net forces; AIMD's."""

    agreement: pandas.DataFrame | None = None
    distributions: pandas.DataFrame | None = None
    path: pandas.DataFrame | None = None
    drift: pandas.DataFrame | None = None
    net_force: pandas.DataFrame | None = None
    aimd: pandas.DataFrame | None = None
    """Trajectories of the user's own beside the model's, and whole distributions; what is told of them."""
    aimd_distributions: pandas.DataFrame | None = None
    told_of_aimd: str = ""


@dataclass(frozen=True)
class Results:
    """All ensembles of a run and the tables made of them: what figures and section are drawn from."""

    ensembles: dict[str, Ensemble]
    probability: pandas.DataFrame
    sensitivity: pandas.DataFrame
    windows: pandas.DataFrame
    fits: pandas.DataFrame
    summary: pandas.DataFrame
    comparison: pandas.DataFrame
    truth: Truth
    criterion_A: float
    duration_fs: float
    level: str
    truth_margin: float
    ended: str = ""
    """How a campaign ended that ran until it was enough."""
    molecule: str = "CO"
    """What the aggregates are made of, by its formula."""
    given: str = ""
    """The potential that was given in place of a DeePMD committee trained here, in words."""
    learnt: bool = False
    """Whether that is a committee that was trained here all the same."""
    species: pandas.DataFrame | None = None
    """What left of each kind of molecule, where there are several."""
    frames_potential: str = ""
    """What the first frames moved under that a committee was trained on."""
    members_apart: pandas.DataFrame | None = None
    """The same starts under every member, where more trajectories do not narrow the interval."""

    @property
    def is_published(self) -> bool:
        """Whether the published study is of this molecule."""
        return self.molecule == "CO"

    @property
    def model(self) -> Ensemble:
        """The ensemble under the model."""
        return self.ensembles["model"]
