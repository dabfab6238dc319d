"""The families are what they say, and the table counts what it says."""

import pytest
import torch

from benchmarks import generalisation, preconditioners
from benchmarks.preconditioners import CLASSICAL, COLUMNS, CYCLES, System, learned, measure, variant
from benchmarks.systems import FAMILIES, UNSEEN
from pdeops.recipe import load_recipe, shipped_recipes
from pdeops.solvers import Multigrid


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_system_belongs_to_its_seed(family):
    n = 31 if family.ndim == 2 else 12
    first, again, other = (family(n, seed) for seed in (0, 0, 1))
    assert first.grid.shape == (n,) * family.ndim
    assert all(torch.equal(f, g) for f, g in zip(first.faces, again.faces, strict=True))
    constant = family.kind in ("constant", "closed")
    assert constant == (first.constant is not None)
    same = all(torch.equal(f, g) for f, g in zip(first.faces, other.faces, strict=True))
    assert same == constant


def test_obstacles_fill_their_share():
    for name, share in (("boxes 30 %", 0.3), ("cells 5 %", 0.05), ("cells 40 %", 0.4)):
        solid = (FAMILIES[name](101, 3).regions.labels < 0).double().mean().item()
        assert solid == pytest.approx(share, abs=0.03)


def test_no_axis_is_strong_everywhere_where_anisotropy_turns():
    A = FAMILIES["turning anisotropy 100"](63, 0)
    ratio = A.faces[0][:-1] / A.faces[1][:, :-1]
    assert 0.2 < (ratio > 10).double().mean() < 0.8
    assert 0.2 < (ratio < 0.1).double().mean() < 0.8


def test_no_recipe_trains_on_these_seeds():
    assert all(load_recipe(name).seed < UNSEEN for name in shipped_recipes())


def test_work_of_a_cycle_counts_products_with_a():
    """Sweeps and a residual on five points, then on nine with a quarter of the nodes, and so on; a
    W-cycle comes by twice as often on each level, and its levels end."""
    s = System.draw(FAMILIES["Darcy 12/3"], 255, 0)
    method = CLASSICAL["multigrid V(1,1)"]
    assert method.work(s, Multigrid(s.A)) == pytest.approx(1 + 3 * (1 + 9 / 5 / 3), rel=0.02)
    name = "multigrid W(2,2) Chebyshev"
    twice = variant(*CYCLES[name])
    assert twice.work(s, twice.setup(s)) == pytest.approx(1 + 9 * (1 + 9 / 5), rel=0.08)


@pytest.mark.parametrize("name", ["Darcy 1e2", "cells 20 %", "empty, closed"])
def test_every_method_solves(name, monkeypatch):
    """A row for each, to the tolerance, whatever it is called; small, and one turn."""
    rows = measure(FAMILIES[name], 40, 0, 1, ["dcdm_poisson"])
    assert [r["note"] for r in rows] == [""] * len(rows)
    assert all(float(r["residual"]) < 1.1e-8 for r in rows)
    assert all(float(r[c]) >= 0 for r in rows for c in COLUMNS if r[c])
    methods = [r["method"] for r in rows]
    assert methods[-1].endswith("best of 8")
    assert ("waves" in methods) == (name != "cells 20 %")
    assert ("dcdm_poisson" in methods) == (name != "Darcy 1e2")
    lines = list(preconditioners.table(rows, ["dcdm_poisson"]))
    assert len({line.count("|") for line in lines if "|" in line}) == 1


def test_a_method_that_refuses_has_a_row_that_says_so(monkeypatch):
    def refuse(s):
        raise ValueError("not today")

    monkeypatch.setitem(CLASSICAL, "IC(0)", preconditioners.Method(refuse))
    (row,) = measure(FAMILIES["empty"], 20, 0, 2, [], only="IC(0)")
    assert row["note"] == "failed: not today"
    assert row["s_at_1"] == ""


def test_networks_of_conjugate_directions_are_for_poisson_systems_of_their_dimension():
    fits = learned("dcdm_poisson3d").fits
    assert {f.name for f in FAMILIES.values() if fits(f)} == {
        "boxes 30 %, 3D", "cells 20 %, 3D",
    }  # fmt: skip


def test_fields_are_the_same_functions_on_finer_grids():
    coarse, fine = (FAMILIES["Darcy 1e2"](n, 4).coefficient for n in (31, 63))
    assert torch.equal(coarse, fine[::2, ::2])


def test_growth_is_over_the_coarsest_grid():
    """Classical multigrid in the place of the network: both methods count the same."""

    class Classical:
        @staticmethod
        def on(A):
            return Multigrid(A)

    found = generalisation.count(Classical(), ["Darcy 12/3", "cells 20 %"], [15, 63], 4)
    assert {len(counts) for (kind, *_), counts in found.items() if kind == "all"} == {4}
    for (kind, method, n), counts in found.items():
        assert counts == found[kind, "multigrid", n], method
    rows = generalisation.rows(found)
    by = {(r["family"], r["method"], r["unknowns"]): r for r in rows}
    start, end = (by["all", "learned", f"{n} x {n}"] for n in (15, 63))
    assert float(start["mean_growth"]) == 1.0
    assert float(end["mean_growth"]) == pytest.approx(
        float(end["mean"]) / float(start["mean"]), abs=0.01
    )
    assert int(end["worst"]) == max(found["all", "learned", 63])


def test_a_training_is_repaid_by_what_the_best_other_method_takes_more(monkeypatch):
    seconds = {"net": (3.0, 1.0, 0.9), "slow": (9.0, 8.0, 7.0), "best": (2.0, 1.5, 1.4)}
    keys = ("s_at_1", "s_at_10", "s_at_100")
    rows = [
        {"method": name, "note": "", **dict(zip(keys, map(str, s), strict=True))}
        for name, s in seconds.items()
    ]
    monkeypatch.setattr(preconditioners, "training_seconds", {"net": 60.0, "slow": None}.get)
    (line,) = preconditioners.repaid(rows, ["net"])
    assert "never (1 per set-up, best); 120 (10 per set-up, best); 120 (100" in line
    first, second = preconditioners.repaid(rows, ["net", "slow"])
    assert first == line
    assert second.count("never") == 3
