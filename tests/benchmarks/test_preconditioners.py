"""Families of systems, and the table of preconditioners: work, iterations, break-even."""

import pytest
import torch

from benchmarks import generalisation, graph_preconditioner, preconditioners
from benchmarks.bench import RESULTS
from benchmarks.methods import CLASSICAL, CYCLES, FROM_POLYSOLVE, Counted, Drawn, learned, variant
from benchmarks.preconditioners import COLUMNS, measure, merged, table
from benchmarks.systems import FAMILIES, UNSEEN
from pdeops.compare.tables import read_csv, write_csv
from pdeops.runs.recipe import shipped_recipes
from pdeops.solvers import Multigrid
from pdeops.tasks import load_recipe
from pdeops.tasks.running import training_seconds


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
    s = Drawn.of(FAMILIES["Darcy 12/3"], 255, 0)
    method = CLASSICAL["multigrid V(1,1)"]
    assert method.work(s, Multigrid(s.A)) == pytest.approx(1 + 3 * (1 + 9 / 5 / 3), rel=0.02)
    name = "multigrid W(2,2) Chebyshev"
    twice = variant(*CYCLES[name])
    assert twice.work(s, twice.setup(s)) == pytest.approx(1 + 9 * (1 + 9 / 5), rel=0.08)


@pytest.mark.parametrize(
    "name",
    [
        "Darcy 1e2",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("cells 20 %", "empty, closed")),
    ],
)
def test_every_method_solves(name):
    """A row for each, to the tolerance, whatever it is called; small, and one turn."""
    rows = measure(FAMILIES[name], 40, 0, 1, ["dcdm_poisson"])
    missing = {r["method"] for r in rows if "need polyfem-polysolve" in r["note"]}
    assert missing in (set(), set(FROM_POLYSOLVE))  # the extra bench
    rows = [r for r in rows if r["method"] not in missing]
    assert [r["note"] for r in rows] == [""] * len(rows)
    assert all(float(r["residual"]) < 1.1e-8 for r in rows)
    assert all(float(r[c]) >= 0 for r in rows for c in COLUMNS if r[c])
    methods = [r["method"] for r in rows]
    assert methods[-1].endswith("best of 12")
    assert ("waves" in methods) == (name != "cells 20 %")
    assert ("dcdm_poisson" in methods) == (name != "Darcy 1e2")
    lines = list(table(rows))
    assert any(line.startswith("\ndcdm_poisson repays") for line in lines) == (name != "Darcy 1e2")
    assert len({line.count("|") for line in lines if "|" in line}) == 1


def test_a_method_that_refuses_has_a_row_that_says_so(monkeypatch):
    def refuse(s):
        raise ValueError("not today")

    monkeypatch.setitem(CLASSICAL, "IC(0)", Counted(refuse))
    (row,) = measure(FAMILIES["empty"], 20, 0, 2, [], only="IC(0)")
    assert row["note"] == "failed: not today"
    assert row["s_at_1"] == ""


def test_what_does_not_converge_has_its_count_and_no_further_turn(monkeypatch):
    monkeypatch.setattr("benchmarks.methods.MOST", 3)
    (row,) = measure(FAMILIES["empty"], 20, 0, 2, [], only="IC(0)")
    assert row["note"].startswith("failed: max_iterations = 3")
    assert (row["iterations"], row["turns"]) == ("> 3", "1")


def test_networks_of_conjugate_directions_are_for_poisson_systems_of_their_dimension():
    fits = learned("dcdm_poisson3d").fits
    assert {f.name for f in FAMILIES.values() if fits(Drawn.of(f, 8, 0))} == {
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
    """Networks do not count among the others; that the last one's training is not known says
    nothing where it saves nothing."""
    seconds = {
        "net": (3.0, 1.0, 0.9),
        "IC(0)": (9.0, 8.0, 7.0),
        "waves": (2.0, 1.5, 1.4),
        "runs/gone": (9.0, 1.2, 7.0),
    }
    keys = ("s_at_1", "s_at_10", "s_at_100")
    rows = [
        {"method": name, "note": "", **dict(zip(keys, map(str, s), strict=True))}
        for name, s in seconds.items()
    ]
    monkeypatch.setattr(
        preconditioners,
        "training_seconds",
        lambda name: 60.0 if name == "net" else training_seconds(name),
    )
    first, second = preconditioners.repaid(rows)
    assert "never (1 per set-up, waves); 120 (10 per set-up, waves); 120 (100" in first
    assert second.startswith("\nruns/gone repays")
    assert "never (1 per set-up, waves); not known (10 per set-up, waves); never (100" in second
    assert list(preconditioners.repaid([rows[0]])) == []


def test_who_leads_is_said_for_each_method_by_others():
    """Equal at (1.0 - 0.1) / (0.05 - 0.01) = 22.5 solves with CHOLMOD, never with PyAMG."""
    seconds = {
        "multigrid V(1,1)": (0.1, 0.05),
        "IC(0)": (0.0, 5.0),
        "CHOLMOD": (1.0, 0.01),
        "PyAMG Ruge-Stüben": (0.3, 0.5),
    }
    rows = [
        {"method": m, "note": "", "setup_s": f"{a}", "solve_s": f"{b}", "s_at_1": f"{a + b}"}
        for m, (a, b) in seconds.items()
    ]
    (line,) = preconditioners.ends(rows)
    assert line == (
        "\nWho leads, multigrid V(1,1) (ours) or the other: PyAMG Ruge-Stüben: ours. "
        "CHOLMOD: ours; theirs from 23 solves."
    )
    assert list(preconditioners.ends(rows[:2])) == []


def command(monkeypatch, folder, *arguments):
    few = ["--learned", "--turns", "1", "--threads", "1", "--out", str(folder)]
    monkeypatch.setattr("sys.argv", ["preconditioners", "--n", "12", *few, *arguments])
    preconditioners.main()


def families(rows):
    return list(dict.fromkeys(r["family"] for r in rows))


@pytest.mark.slow
def test_families_are_added_and_repeated_without_loss_of_the_others(tmp_path, monkeypatch, capsys):
    """Each is replaced as a whole, also by fewer rows; the Markdown is of the whole file."""
    for name in set(CLASSICAL) - {"none", "Jacobi", "IC(0)"}:  # any few methods will do
        monkeypatch.delitem(CLASSICAL, name)
    csv, markdown = (tmp_path / f"preconditioners12.{kind}" for kind in ("csv", "md"))
    command(monkeypatch, tmp_path, "--families", "cells 20 %", "empty")
    first = read_csv(csv)
    assert families(first) == ["cells 20 %", "empty"]
    marked = [{**r, "cpu": "another machine", "gone": "1"} for r in first]
    write_csv(csv, marked)
    monkeypatch.delitem(CLASSICAL, "IC(0)")
    command(monkeypatch, tmp_path, "--families", "empty", "Darcy 1e2")
    rows = read_csv(csv)
    assert families(rows) == ["Darcy 1e2", "cells 20 %", "empty"]
    assert [r for r in rows if r["family"] == "cells 20 %"] == [
        r for r in marked if r["family"] == "cells 20 %"
    ]
    assert "IC(0)" not in {r["method"] for r in rows if r["family"] == "empty"}
    assert {r["cpu"] for r in rows if r["family"] == "empty"} != {"another machine"}
    assert {r["gone"] for r in rows if r["family"] == "empty"} == {""}
    text = markdown.read_text(encoding="utf-8")
    assert text == "\n".join(table(rows)).lstrip() + "\n"
    assert text.count("###") == 3


def test_a_part_of_a_family_is_printed_and_not_written(tmp_path, monkeypatch, capsys):
    command(monkeypatch, tmp_path, "--families", "empty", "--only", "IC(0)")
    assert "| IC(0) |" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_family_of_other_axes_is_refused(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, tmp_path, "--families", "empty, 3D")
    assert "empty, 3D: not of 2 axes; give --ndim" in capsys.readouterr().err


def test_rows_of_a_first_run_are_in_the_order_of_families():
    rows = [{"family": f, "cpu": "x"} for f in ("of older days", "empty", "Darcy 1e2")]
    assert merged([], rows) == [rows[2], rows[1], rows[0]]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("preconditioners*.csv")), ids=lambda p: p.stem)
def test_committed_tables_are_those_of_their_rows(path):
    """All but the sentences, which depend on the weights that are shipped today."""
    lines = "\n".join(table(read_csv(path))).splitlines()
    written = path.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith(("|", "#"))] == [
        line for line in written if line.startswith(("|", "#"))
    ]


def test_docs_give_the_advice_of_the_measurement():
    """Each sentence of docs/solve.md on a kind of matrix follows from the CSV file."""
    rows = read_csv(RESULTS / "graph_preconditioner.csv")
    text = (RESULTS.parents[1] / "docs" / "solve.md").read_text(encoding="utf-8")
    for kind in dict.fromkeys(r["kind"] for r in rows):
        assert graph_preconditioner.advice(kind, [r for r in rows if r["kind"] == kind]) in text


def test_advice_names_the_fastest_and_the_size_from_which_a_factorisation_leads():
    def row(unknowns, method, seconds, products=""):
        return {
            "unknowns": str(unknowns), "method": method, "s_at_1": str(seconds),
            "products": products, "note": "",
        }  # fmt: skip

    rows = [
        row(1000, "CHOLMOD", 1), row(1000, "jacobi", 3), row(1000, "ic0", 2),
        row(9000, "CHOLMOD", 5), row(9000, "jacobi", 4), row(9000, "ic0", 8),
        row(9000, "learned", 2, "80"),
    ]  # fmt: skip
    text = graph_preconditioner.advice("graph", rows)
    assert "take `CHOLMOD` at 1,000, `learned` at 9,000." in text
    assert "the fastest from no measured size on" in text
    assert "`learned` at 9,000 (0.50 of `jacobi`, 0.25 of `ic0`)" in text
    rows[-1]["s_at_1"] = "9"
    rows[3]["s_at_1"] = "3"
    assert "the fastest from 1,000 unknowns on" in graph_preconditioner.advice("graph", rows)
