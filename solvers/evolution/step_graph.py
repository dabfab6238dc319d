"""Steps as CUDA graphs: the launches of a step are recorded once, and replayed by one call.

A step consists of tens of short kernels. On a small grid a GPU computes them faster than Python
launches them, one after the other; a graph launches them all at once. The results are the same.
"""

from collections.abc import Callable

from jaxtyping import Inexact
from torch import Tensor

from ...kernels.forms import has_graphs, warn_once
from ...kernels.runtime.graphs import Call, Recorder
from .evolution import Evolution
from .stepper import Stepper

MOST = 8  # graphs of one run: lengths of steps


class StepGraphs:
    """Steps of a method on one state, each length of a step recorded as a graph.

    The first step of a length is computed as usual, which fills the caches: plans of FFTs, compiled
    kernels, coefficients, buffers. The second one is recorded; it and the later ones are replays. A
    graph contains addresses: the state, the buffers of the method and of its equation must not be
    replaced while it is used. Adaptive steps have few lengths; those after the first `MOST` are not
    recorded.

    Args:
        method: its `step` reads no number back from the device (`Evolution.autonomous`).
        u_hat: the state that all steps advance.
        record: a call -> its replay; by default a CUDA graph. The call is made once, by `record`,
            and has no effect before the replay.
    """

    def __init__(
        self,
        method: Stepper,
        u_hat: Inexact[Tensor, "*state"],
        record: Callable[[Call], Call] | None = None,
    ) -> None:
        self.method, self.u_hat = method, u_hat
        self._record = record or Recorder(u_hat.device)
        self._computed: set[float] = set()  # lengths of steps that were computed once
        self._replays: dict[float, Call] = {}
        self._kept: list[list[Tensor]] = []
        self._limit = MOST

    def step(self, u_hat: Inexact[Tensor, "*state"], t: float, dt: float) -> None:
        """Same as `Stepper.step`, for the state of this object."""
        assert u_hat is self.u_hat
        if dt not in self._replays and dt in self._computed:
            self._add(t, dt)
        if dt in self._replays:
            self._replays[dt]()
            return
        self.method.step(u_hat, t, dt)
        if len(self._computed) < self._limit:
            self._computed.add(dt)

    def _add(self, t: float, dt: float) -> None:
        """The graph of a step; if it cannot be recorded, a message, and no graphs any more."""
        # The method may drop coefficients of this length, which the graph reads.
        self._kept.append(self.method.coefficients(dt, self.u_hat))
        try:
            self._replays[dt] = self._record(lambda: self.method.step(self.u_hat, t, dt))
        except RuntimeError as error:
            self._computed, self._limit = set(), 0
            warn_once(
                f"steps of {type(self.method.equation).__name__}",
                "one launch per kernel",
                f"a step cannot be recorded as a CUDA graph ({error}); N must not read numbers "
                f"back from the device",
            )


def launched(method: Stepper, u_hat: Inexact[Tensor, "*state"]) -> Stepper | StepGraphs:
    """The method whose steps are replayed as graphs where the device has them and N is the same at
    all times; otherwise the method itself."""
    if not has_graphs(u_hat) or method.equation.depends_on_time:
        return method
    check_autonomous(method.equation, u_hat)
    return StepGraphs(method, u_hat)


def check_autonomous(equation: Evolution, u_hat: Inexact[Tensor, "*state"]) -> None:
    """Raise a ValueError if N of this state differs between two times."""
    first, second = (equation.nonlinear(u_hat, t) for t in (0.0, 0.37))
    if (first - second).norm() > 1e-5 * first.norm():
        raise ValueError(
            f"N of {type(equation).__name__} depends on t, so its steps cannot be recorded as a "
            f"graph. Set `autonomous = False` in the class."
        )
