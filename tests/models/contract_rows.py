"""The rows of the contract of every model (`test_contract.py`): a small model of each, the domains
it accepts, and where it departs from the contract."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from pdeops.domain import Grid, Points, Sphere


@dataclass(frozen=True)
class Row:
    """A small model, and where it departs from the contract.

    Attributes:
        arguments: hyperparameters of a small one.
        grid: what it is built on where a test needs no other.
        accepts: the grids it maps fields of; each other one it must refuse with a ValueError.
        exempt: test -> why the model cannot meet it. Such a test must fail: an exemption that is
            no longer needed is an error.
        channels: input and output channels.
        times: times of its frames; None for a model without an axis of time.
    """

    arguments: Mapping[str, Any]
    grid: Grid | Points | Sphere = field(default_factory=lambda: Grid((17, 17)))
    accepts: Callable[[Grid | Points | Sphere], bool] = lambda grid: True
    exempt: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[int, int] = (2, 3)
    times: Mapping[str, Any] | None = None

    @property
    def given(self):
        """What a run passes besides the grid."""
        return self.times or {}

    def input_shape(self, shape, batch):
        """Of fields or trajectories on a grid of this shape."""
        frames = (len(self.times["times_in"]),) if self.times else ()
        return (batch, *frames, self.channels[0], *shape)

    def output_shape(self, shape, batch):
        frames = (len(self.times["times_out"]),) if self.times else ()
        return (batch, *frames, self.channels[1], *shape)


def even(grid):
    return grid.shape[0] % 2 == 0


def even_on_all_levels(grid):
    return grid.shape[0] % 4 == 0


def multiple_of_32(grid):
    return all(n % 32 == 0 for n in grid.shape)


def periodic(grid):
    return isinstance(grid, Grid) and set(grid.boundary) == {"periodic"}


def spherical(domain):
    return isinstance(domain, Sphere)


def scattered(domain):
    return isinstance(domain, Points)


def multiple_of_48_after_padding_by_7(grid):
    return all((n + 7) % 48 == 0 for n in grid.shape)


def cloud(n=40):
    """n points of the unit square that all samples share."""
    return Points(2, torch.rand(2, n, generator=torch.Generator().manual_seed(0)))


# What stands in their place: test_neuraloperator.py.
NEURALOPERATOR = {
    "test_gradient_is_that_of_differences": "its spectral convolution computes in single precision",
    "test_periodic_model_commutes_with_shifts": "its coordinates are not ours to hold constant",
    "test_is_one_operator_on_nested_grids": "grids that nest with their ends have odd sizes",
}
PUBLISHED_LSM = {  # what stands in their place: test_lsm_published.py
    "test_every_parameter_has_a_gradient": "sin 0 and the bias of the keys have no effect",
    "test_gradient_is_that_of_differences": "the step crosses kinks of relu and of the maximum",
    "test_evaluation_draws_no_random_numbers": "it has no dropout",
    "test_autocast": "parameters without an effect have no gradient",
    "test_compiled_equals_eager": "parameters without an effect have no gradient",
    "test_real_parameters": "batch normalisation counts its steps",
    "test_samples_do_not_see_each_other": "batch normalisation in training mode",
    "test_is_one_operator_on_nested_grids": "grids that nest with their ends are refused",
    "test_periodic_model_commutes_with_shifts": "it has no 16 x 16 grid, and zeros outside",
}
ROWS = {
    "FNO": Row({"n_modes": [8, 8], "hidden_channels": 6, "n_layers": 2, "mlp_channels": 5}),
    "MgNO": Row({"hidden_channels": 6, "n_layers": 2}),
    "PublishedMgNO": Row(  # its variants: test_mgno_published.py
        {"hidden_channels": 6, "n_layers": 2},
        grid=Grid((32, 32)),
        accepts=multiple_of_32,
        exempt={
            "test_evaluation_draws_no_random_numbers": "it has no dropout",
            "test_is_one_operator_on_nested_grids": "grids that nest with their ends are refused",
            "test_periodic_model_commutes_with_shifts": "it has no 16 x 16 grid, and zeros outside",
        },
    ),
    "LSM": Row({"hidden_channels": 6, "num_heads": 2, "levels": 3, "patches": 1}),
    "PointLSM": Row(
        {
            "hidden_channels": 6,
            "n_modes": [4, 4],
            "latent_shape": [8, 8],
            "levels": 3,
            "num_heads": 2,
            "coordinate_map": True,
        },
        grid=cloud(),
        accepts=scattered,
        exempt={
            "test_every_parameter_has_a_gradient": "its coordinate map starts at the identity",
            "test_periodic_model_commutes_with_shifts": "the box of the test has no points",
            "test_is_one_operator_on_nested_grids": "the box of the test has no points",
        },
    ),
    "PublishedLSM": Row(
        {"variant": "elasticity_grid", "hidden_channels": 8},
        grid=Grid((41, 41)),
        accepts=multiple_of_48_after_padding_by_7,
        exempt=PUBLISHED_LSM,
    ),
    "PublishedPointLSM": Row(
        {
            "hidden_channels": 8,
            "n_modes": [4, 4],
            "latent_shape": [32, 32],
            "patch": [2, 2],
            "num_parameters": 3,
        },
        grid=cloud(),
        accepts=scattered,
        exempt=PUBLISHED_LSM,
    ),
    "Transolver": Row(
        {
            "hidden_channels": 8,
            "num_heads": 2,
            "num_slices": 5,
            "n_layers": 2,
            "reference_nodes": 3,
        }
    ),
    "NeuralopFNO": Row(
        {"n_modes": [8, 8], "hidden_channels": 6, "n_layers": 2},
        grid=Grid((16, 17)),
        accepts=even,
        exempt=NEURALOPERATOR,
    ),
    "NeuralopTFNO": Row(
        {"n_modes": [8, 8], "hidden_channels": 6, "n_layers": 2, "rank": 0.3},
        grid=Grid((16, 17)),
        accepts=even,
        exempt=NEURALOPERATOR,
    ),
    "NeuralopUNO": Row(
        {
            "hidden_channels": 4,
            "uno_out_channels": [4, 6, 4],
            "uno_n_modes": [[8, 8], [4, 4], [4, 4]],
            "uno_scalings": [[1, 1], [0.5, 0.5], [2, 2]],
            "lifting_channels": 8,
            "projection_channels": 8,
        },
        grid=Grid((16, 17)),
        accepts=even_on_all_levels,
        exempt=NEURALOPERATOR,
    ),
    "NeuralopSFNO": Row(
        {"n_modes": [8, 12], "hidden_channels": 6, "n_layers": 2},
        grid=Sphere((13, 24)),
        accepts=spherical,
        exempt={
            "test_periodic_model_commutes_with_shifts": "the box of the test is no sphere",
            "test_is_one_operator_on_nested_grids": "the box of the test is no sphere",
        },
    ),
    "SpatiotemporalFNO": Row(
        {"n_modes": [6, 8], "hidden_channels": 6, "n_layers": 2, "mlp_channels": 5},
        grid=Grid((16, 17), boundary="periodic"),
        accepts=periodic,
        exempt={
            # On a box without ends; M3 in test_spatiotemporal_fno.py is stricter.
            "test_is_one_operator_on_nested_grids": "it refuses boxes with ends",
        },
        channels=(3, 2),
        times={"times_in": [-0.2, -0.1, 0.0], "times_out": [0.1, 0.2, 0.3, 0.4]},
    ),
}

# A second row of a model, "name on a sphere", for another type of domain.
ROWS["SpatiotemporalFNO on a sphere"] = Row(
    {"n_modes": [8, 12], "hidden_channels": 6, "n_layers": 2, "mlp_channels": 5},
    grid=Sphere((13, 24)),
    accepts=lambda domain: spherical(domain) or periodic(domain),
    exempt={
        "test_is_one_operator_on_nested_grids": "it refuses boxes with ends",
        "test_compiled_equals_eager": "Dynamo looks through the lru_cache of nn/constants.py and "
        "traces torch-harmonics, which it cannot",
    },
    channels=(3, 2),
    times={"times_in": [-0.2, -0.1, 0.0], "times_out": [0.1, 0.2, 0.3, 0.4]},
)
ROWS["Transolver on points"] = Row(
    {"hidden_channels": 8, "num_heads": 2, "num_slices": 5, "n_layers": 2},
    grid=cloud(),
    exempt={"test_changes_resolution": "40 points are one axis, and the fields have two"},
)


def model_of(name):
    """The name of the model of a row."""
    return name.split()[0]
