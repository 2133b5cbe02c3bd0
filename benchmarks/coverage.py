"""Coverage of total intervals over the whole grid of docs/validation.md: a table and its figure.

    python benchmarks/coverage.py --out coverage.csv --figure docs/images/coverage.png

Takes some 20 minutes on one core; ``--n-campaigns`` sets how exact each number is.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas

from frazil.analysis.coverage import of_bands, of_means, of_proportions

MEMBERS = (3, 5, 8)
TAUS = (0.0, 0.15, 0.4, 1.0, None)
PROBABILITIES = (0.02, 0.05, 0.2, 0.5)  # 0.5 … 0.98 are their mirror images
TRIALS = (50, 200, 600, 2000)
STARTS = (4, 8, 16)


def main() -> None:
    """Simulate, write the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("coverage.csv"))
    parser.add_argument("--figure", type=Path, default=Path("coverage.png"))
    parser.add_argument("--n-campaigns", type=int, default=400)
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    rows: list[tuple[object, ...]] = []
    for m in MEMBERS:
        for tau in TAUS:
            shown = "prior" if tau is None else tau
            for n in TRIALS:
                for p in PROBABILITIES:
                    found = of_proportions(p, n, m, tau, given.n_campaigns, rng)
                    rows.append(("probability", m, shown, n, p, found))
                rows.append(("mean", m, shown, n, None, of_means(n, m, tau, 4000, rng)))
            rows += [("band", m, shown, n, None, of_bands(n, m, tau, 10_000, rng)) for n in STARTS]
    table = pandas.DataFrame(rows, columns=["estimate", "n_members", "tau", "n", "p", "coverage"])
    table.to_csv(given.out, index=False, float_format="%.4f")
    draw(table, given.figure)
    print(table.groupby(["estimate", "n_members", "tau"])["coverage"].agg(["mean", "min"]).round(3))


def draw(table: pandas.DataFrame, path: Path) -> None:
    """Draw the coverage of every cell against τ."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
    for axis, (kind, part) in zip(axes, table.groupby("estimate"), strict=True):
        for offset, (members, own) in zip((-0.15, 0.0, 0.15), part.groupby("n_members"), strict=True):
            places = [TAUS.index(None if tau == "prior" else tau) + offset for tau in own["tau"]]
            axis.plot(places, own["coverage"], ".", alpha=0.6, label=f"{members} members")
        axis.axhline(0.95, color="black", linewidth=0.8)
        axis.axhline(0.90, color="black", linewidth=0.8, linestyle=":")
        axis.set(title=f"{kind}s".replace("ys", "ies"), xlabel="members' standard deviation τ")
        axis.set_xticks(range(len(TAUS)), ["prior" if tau is None else f"{tau:g}" for tau in TAUS])
    axes[0].set_ylabel("coverage of the total 95 % interval")
    axes[-1].legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
