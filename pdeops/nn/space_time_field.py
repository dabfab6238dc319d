"""Networks that are the solution of one equation: interface, and derivatives of the residual."""
# Axes: d space, c channel, e equation, q entries of a jet, k input and o output of a layer,
# n points, p parameters.

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from .jets import Derivatives
from .tanh_network import TanhNetwork


class SpaceTimeField(nn.Module, ABC):
    """Points (d, n) and times (n,) -> u (c, n), the solution of an equation on [0, t_end].

    A model is built as Model(equation, u0, t_end, **hyperparameters), with u0 (1, d, n) points ->
    (1, c, n). Its residual is pointwise: at a point it depends on the jets of the networks there.

    Attributes:
        equation: a `Transport`, the equation with its box.
        u0: the initial field.
        t_end: end of the time interval.
        ends: the ends of the time windows, which are trained one after another; the last is t_end.
        arguments: the hyperparameters as plain values.
        steps: the windows are steps of a time scheme: the residual does not depend on a time
            within the window, and a window starts with the weights of the one before.
    """

    equation: Any
    u0: Callable[[Tensor], Tensor]
    t_end: float
    ends: tuple[float, ...]
    arguments: dict[str, Any]
    steps: bool = False

    @abstractmethod
    def collocate(self, x: Float[Tensor, "d n"], t: Float[Tensor, " n"]) -> Any:
        """Points of one time window, with what does not depend on the weights that it trains."""

    @abstractmethod
    def parts(self, points: Any) -> Sequence[tuple[TanhNetwork, Derivatives]]:
        """The networks that the residual depends on, and the jets of their inputs."""

    @abstractmethod
    def residual_of(self, points: Any, *jets: Any) -> Float[Tensor, "e n"]:
        """The residual for these jets of the outputs of the networks."""

    @abstractmethod
    def term_arguments(self, points: Any) -> tuple[Tensor, Tensor, Tensor]:
        """u (c, n), positions (d, n) and times (n,) at which the terms of the equation are
        evaluated."""

    def check_times(self, t: Float[Tensor, "*n"]) -> None:
        """Raise a ValueError unless all times are in [0, t_end], up to the round-off of float32."""
        outside = t[~((t >= 0) & (t <= self.t_end * (1 + 1e-6)))]
        if len(outside):
            raise ValueError(
                f"The solution is known for 0 <= t <= {self.t_end:.6g}; got t = "
                f"{outside[0].item():.6g}. Train with a larger t_end."
            )

    def windows_of(self, t: Float[Tensor, "*n"]) -> Integer[Tensor, "*n"]:
        """The number of the window that holds each time.

        Raises:
            ValueError: a time is outside of [0, t_end].
        """
        self.check_times(t)
        return torch.bucketize(t, t.new_tensor(self.ends[:-1]), right=True)

    def interval(self, window: int) -> tuple[float, float]:
        """Begin and duration of a window."""
        begin = self.ends[window - 1] if window else 0.0
        return begin, self.ends[window] - begin

    def begin(self, t: Float[Tensor, " n"]) -> None:
        """Prepare the training of the window of these times; nothing, unless windows are steps."""

    @torch.no_grad()
    def check_terms(self, points: Any) -> None:
        """Raise a ValueError that names the term and the point if f₁, f₂ or S is not finite, or
        f₂ < 0, while u and the position are finite."""
        u, x, t = self.term_arguments(points)
        if u.isfinite().all() and x.isfinite().all():
            self.equation.check_terms(u[None], x[None], t[None, None])

    def residual(self, points: Any) -> Float[Tensor, "e n"]:
        """The residual, zero for a solution; differentiable in the weights."""
        return self.residual_of(points, *(part.jet(inputs) for part, inputs in self.parts(points)))

    def linearise(self, points: Any) -> tuple[Float[Tensor, "e n"], Float[Tensor, "e n p"]]:
        """The residual r and ∂r/∂θ for the parameters θ of `parts` that require a gradient, in the
        order of `parameters`.

        Because r is pointwise, a backward pass to the outputs of the linear layers per equation
        gives all rows: ∂r_n/∂W_ok = Σ_q g_oqn a_kqn with the jet a of the inputs of the layer and
        the derivative g of r in the jet of its outputs.
        """
        parts = self.parts(points)
        used = {id(p) for part, _ in parts for p in part.parameters() if p.requires_grad}
        trained = [p for p in self.parameters() if id(p) in used]
        with torch.enable_grad():
            traces = [part.trace(inputs) for part, inputs in parts]
            r = self.residual_of(points, *(trace[-1][2] for trace in traces))
            steps = [s for trace in traces for s in trace if s[0].weight.requires_grad]
            outputs = [z.data for _, _, z in steps]
            rows = []
            for row in r.unbind(0):
                slopes = torch.autograd.grad(
                    row.sum(), outputs, retain_graph=True, materialize_grads=True
                )
                rows.append(_blocks(steps, slopes, trained))
        return r.detach(), torch.stack(rows)


def _blocks(
    steps: list[tuple[nn.Linear, Derivatives, Derivatives]],
    slopes: Any,
    trained: list[nn.Parameter],
) -> Float[Tensor, "n p"]:
    """The derivatives of one equation in all parameters; a layer used twice counts twice."""
    n = slopes[0].shape[-1]
    blocks: dict[int, Tensor] = {}
    for (layer, inputs, _), g in zip(steps, slopes, strict=True):
        of = {
            id(layer.weight): torch.einsum("oqn,kqn->nok", g, inputs.data.detach()).flatten(1),
            id(layer.bias): g[:, 0].T,
        }
        for key, block in of.items():
            blocks[key] = blocks[key] + block if key in blocks else block
    empty = slopes[0].new_zeros
    return torch.cat([blocks.get(id(p), empty(n, p.numel())) for p in trained], 1)
