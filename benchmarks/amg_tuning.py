"""Learned settings of PyAMG over a sequence of matrices, from products with A alone.

python -m benchmarks.amg_tuning: solve each matrix with each setting once (the costs are kept in
--costs, and a run that was interrupted continues), let tuners choose from the costs, print, and
write results/amg_tuning.csv, .md and .png.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy import ndarray

from pdeops.compare.figures import CLASSICAL_COLOURS, OPERATOR_COLOURS, new_figure
from pdeops.compare.tables import markdown_table, write_csv
from pdeops.datasets.systems.matrices import KINDS
from pdeops.solvers import Binned, ChebCB, TsallisINF
from pdeops.solvers.choice.system import System
from pdeops.solvers.tuning.linucb import LinUCB
from pdeops.solvers.tuning.matrix_features import NAMES, matrix_features
from pdeops.solvers.tuning.relax import Tuner
from pdeops.solvers.tuning.tuned_multigrid import ARMS, solve_by_multigrid

from .bench import RESULTS, machine
from .opponents import limit_threads

SIZES, BLOCK, SEED, SEEDS, RTOL = (100, 10_000), 20, 2**41, (0, 1, 2), 1e-8
DEFAULT, EARLY = len(ARMS) - 1, 200  # PyAMG's setting; matrices of the early figures


@dataclass(frozen=True)
class Costs:
    """The matrices of a sequence.

    Attributes:
        features: (systems, features).
        products, seconds: of each arm, (systems, arms).
        converged: (systems, arms).
    """

    features: ndarray
    products: ndarray
    seconds: ndarray
    converged: ndarray

    def __getitem__(self, order: ndarray) -> "Costs":
        return Costs(
            self.features[order], self.products[order], self.seconds[order], self.converged[order]
        )

    @property
    def charged(self) -> ndarray:
        """Products of each arm; where it fails, with those of PyAMG's default, which follows."""
        return np.where(self.converged, self.products, self.products + self.products[:, [DEFAULT]])


def mixed(index: int) -> tuple[Any, ndarray]:
    """A and b of a random kind, and of a size that is log-uniform in `SIZES`."""
    random = np.random.default_rng((SEED, index))
    kind = list(KINDS)[random.integers(len(KINDS))]
    return _drawn(kind, random)


def homogeneous(index: int) -> tuple[Any, ndarray]:
    """A and b of triangles in the plane without jumps, of the same sizes."""
    return _drawn("triangles", np.random.default_rng((SEED + 1, index)))


def _drawn(kind: str, random: np.random.Generator) -> tuple[Any, ndarray]:
    low, high = np.log(SIZES)
    A = scipy.sparse.csr_array(KINDS[kind](round(np.exp(random.uniform(low, high))), random))
    return A, random.standard_normal(A.shape[0])


SEQUENCES: dict[str, tuple[Callable[[int], tuple[Any, ndarray]], int]] = {
    "mixed": (mixed, 2000),
    "homogeneous": (homogeneous, 400),
}


def costs_of(A: Any, b: ndarray) -> dict[str, ndarray]:
    """The row of one system: its features, and products, seconds and success of each arm."""
    system = System.of(A)
    features = matrix_features(system)
    products, seconds, converged = [], [], []
    for setting in ARMS:
        begin = time.process_time()
        try:
            found = solve_by_multigrid(system, b, setting, rtol=RTOL)
            products.append(found.products)
            converged.append(found.converged)
        except ValueError as error:
            print(f"no hierarchy by {setting}: {error}", flush=True)
            products.append(0.0)
            converged.append(False)
        seconds.append(time.process_time() - begin)
    named = {"products": products, "seconds": seconds, "converged": converged}
    return {"features": features, **{name: np.array(row) for name, row in named.items()}}


def measured(name: str, folder: Path) -> Costs:
    """The costs of a sequence; blocks of systems that `folder` lacks are measured and written."""
    draw, count = SEQUENCES[name]
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}_{start}.npz" for start in range(0, count, BLOCK)]
    shuffled = np.random.default_rng().permutation(len(files))  # several processes may share them
    missing = [number for number in shuffled.tolist() if not files[number].exists()]
    if missing:
        costs_of(*draw(0))  # loads PyAMG and compiled loops
    for number in missing:
        if files[number].exists():
            continue
        indices = range(number * BLOCK, min((number + 1) * BLOCK, count))
        rows = [costs_of(*draw(index)) for index in indices]
        draft = files[number].with_suffix(".part")
        with open(draft, "wb") as file:
            np.savez(file, **{key: np.stack([row[key] for row in rows]) for key in rows[0]})
        draft.replace(files[number])
        print(f"{name}: {sum(f.exists() for f in files)} of {len(files)} blocks", flush=True)
    parts = [np.load(file) for file in files]
    keys = ("features", "products", "seconds", "converged")
    return Costs(*(np.concatenate([part[key] for part in parts]) for key in keys))


@dataclass(frozen=True)
class Learner:
    """A tuner, and what it receives as the context of a system."""

    make: Callable[[Sequence[float], torch.Generator], Tuner]
    context: Callable[[ndarray], Any] = lambda features: None
    shuffled: bool = False  # the features are those of other systems
    seconds: bool = False  # learns from processor seconds, not from products


def by_size(features: ndarray) -> float:
    """log10 of the number of rows, the first feature."""
    return float(features[0])


SPAN = {"low": float(np.log10(SIZES[0])), "high": float(np.log10(SIZES[1]))}
LINUCB = "LinUCB, 13 features"
LEARNERS = {
    LINUCB: Learner(partial(LinUCB, num_features=len(NAMES)), lambda x: x),
    "LinUCB, features of other matrices": Learner(
        partial(LinUCB, num_features=len(NAMES)), lambda x: x, shuffled=True
    ),
    "LinUCB, 13 features, from seconds": Learner(
        partial(LinUCB, num_features=len(NAMES)), lambda x: x, seconds=True
    ),
    "ChebCB, log10 n": Learner(partial(ChebCB, **SPAN), by_size),
    "Tsallis-INF, 5 bins of log10 n": Learner(
        lambda arms, random: Binned(lambda: TsallisINF(arms, random), **SPAN), by_size
    ),
    "Tsallis-INF": Learner(TsallisINF),
}


def play(learner: Learner, costs: Costs, seed: int) -> ndarray:
    """The arm that a tuner takes for each system, in turn.

    The tuner has the arms in another order for each seed, so that it is not helped by theirs. At
    every hundredth system its state goes through JSON to a new tuner, which continues.
    """
    random = np.random.default_rng((SEED + 2, seed))
    order = random.permutation(len(ARMS))
    features = costs.features
    if learner.shuffled:
        features = features[random.permutation(len(features))]
    generator = torch.Generator().manual_seed(seed)
    tuner = learner.make(range(len(ARMS)), generator)
    taken = []
    table = costs.seconds if learner.seconds else costs.charged
    for t, (x, charged) in enumerate(zip(features, table, strict=True)):
        if t % 100 == 99:
            state = json.loads(json.dumps(tuner.state()))
            tuner = learner.make(range(len(ARMS)), generator)
            tuner.restore(state)
        arm = order[int(tuner.choose(learner.context(x)))]
        tuner.observe(tuner.least_cost + charged[arm])
        taken.append(arm)
    return np.array(taken)


def along(table: ndarray, taken: ndarray) -> ndarray:
    """The entries of the arms taken."""
    return table[np.arange(len(taken)), taken]


Row = dict[str, str]


def rows_of(name: str, costs: Costs) -> tuple[list[Row], dict[str, list[ndarray]]]:
    """Ratios of each method after 200 systems and after all; and, for each learner from products,
    the regret over time with each seed."""
    table: dict[tuple[str, int], list[dict[str, float]]] = {}
    regrets: dict[str, list[ndarray]] = {}
    for seed in SEEDS:
        part = costs[np.random.default_rng((SEED + 3, seed)).permutation(len(costs.features))]
        best = part.charged.sum(axis=0).argmin()
        taken = {learner: play(LEARNERS[learner], part, seed) for learner in LEARNERS}
        taken["best for each matrix"] = part.charged.argmin(axis=1)
        taken |= {label(k): np.full(len(part.features), k) for k in range(len(ARMS))}
        for method, arms in taken.items():
            for after in sorted({EARLY, len(arms)}):
                table.setdefault((method, after), []).append(ratios(part, arms[:after]))
            if method in LEARNERS and not LEARNERS[method].seconds:
                excess = along(part.charged, arms) - part.charged[:, best]
                regrets.setdefault(method, []).append(excess.cumsum())
        # From the state after the last systems to the first ones.
        turned = part[np.arange(-EARLY, EARLY)]
        later = play(LEARNERS[LINUCB], turned, seed)[EARLY:]
        key = f"{LINUCB}, state of {EARLY} others"
        table.setdefault((key, EARLY), []).append(ratios(part, later))
    rows = []
    for (method, after), found in table.items():
        row = {"sequence": name, "method": method, "matrices": str(after)}
        for key in found[0]:
            values = [one[key] for one in found]
            row[key] = f"{np.mean(values):.3f}"
            row[f"{key}_worst"] = f"{max(values):.3f}"
        crossing = [crossed(r) for r in regrets.get(method, ())]
        text = " ".join("never" if t is None else str(t) for t in crossing)
        row["below_best_fixed_from"] = text if after > EARLY else ""
        rows.append(row)
    return rows, regrets


def ratios(costs: Costs, arms: ndarray) -> dict[str, float]:
    """Products and seconds relative to PyAMG's default and to the best fixed setting in hindsight,
    over the first systems; `costs` may have more of them."""
    first = costs[np.arange(len(arms))]
    total, seconds = along(first.charged, arms).sum(), along(first.seconds, arms).sum()
    return {
        "to_default": total / first.charged[:, DEFAULT].sum(),
        "to_best_fixed": total / first.charged.sum(axis=0).min(),
        "seconds_to_default": seconds / first.seconds[:, DEFAULT].sum(),
        "seconds_to_best_fixed": seconds / first.seconds.sum(axis=0).min(),
    }


def crossed(regret: ndarray) -> int | None:
    """The number of systems from which the regret stays negative; None if it does not."""
    above = np.flatnonzero(regret >= 0)
    after = int(above[-1]) + 1 if len(above) else 0
    return after if after < len(regret) else None


def label(arm: int) -> str:
    """A setting in words."""
    return "PyAMG's default" if arm == DEFAULT else ", ".join(map(str, ARMS[arm].values()))


def draw_regret(path: Path, regrets: Mapping[str, Mapping[str, Sequence[ndarray]]]) -> None:
    """Regret against the best fixed setting of the whole sequence, one panel for each sequence."""
    with new_figure(path, (4.2 * len(regrets), 3.2)) as figure:
        for axes, (name, learners) in zip(
            np.ravel(figure.subplots(1, len(regrets))), regrets.items(), strict=True
        ):
            for colour, (learner, runs) in zip(COLOURS, learners.items(), strict=True):
                for k, run in enumerate(runs):
                    text = learner if k == 0 else None
                    axes.plot(np.arange(1, len(run) + 1), run, color=colour, lw=1, label=text)
            axes.axhline(0, color="black", lw=0.5)
            axes.set(title=f"{name} sequence", xlabel="matrices", ylabel="regret (products with A)")
        figure.axes[0].legend(fontsize=7)


COLOURS = (*OPERATOR_COLOURS[:2], *CLASSICAL_COLOURS[:3])
COLUMNS = (
    "method", "matrices", "to_default", "to_default_worst", "to_best_fixed", "to_best_fixed_worst",
    "below_best_fixed_from", "seconds_to_default", "seconds_to_best_fixed",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.amg_tuning")
    parser.add_argument("--sequences", nargs="*", choices=[*SEQUENCES], default=[*SEQUENCES])
    parser.add_argument("--costs", type=Path, default=Path("runs/amg_tuning"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args()
    torch.set_num_threads(1)
    limit_threads(1)
    rows, regrets, page = [], {}, []
    for name in a.sequences:
        found, regrets[name] = rows_of(name, measured(name, a.costs))
        rows += [{**row, **machine()} for row in found]
        shown = [[row[key] for key in COLUMNS] for row in found]
        page += [f"### {name} sequence\n", markdown_table(COLUMNS, shown), ""]
    print("\n".join(page))
    write_csv(a.out / "amg_tuning.csv", rows)
    (a.out / "amg_tuning.md").write_text("\n".join(page), encoding="utf-8")
    draw_regret(a.out / "amg_tuning.png", regrets)


if __name__ == "__main__":
    main()
