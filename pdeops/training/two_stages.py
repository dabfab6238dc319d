"""Adam and then L-BFGS as one optimizer."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


class TwoStages(torch.optim.Optimizer):
    """The torch optimizer of `optim.AdamThenLBFGS`: both methods, the number of steps, and the
    parameters in training."""

    def __init__(self, parameters: Iterable[nn.Parameter], spec: Any) -> None:
        super().__init__(parameters, {"lr": spec.lr})
        self.spec, self.steps = spec, 0
        self.trained: list[int] = []
        self._restart()

    def _restart(self) -> None:
        """Both methods anew, for the parameters in training."""
        (group,) = self.param_groups
        trained = [group["params"][i] for i in self.trained] or group["params"]
        self.adam = torch.optim.Adam(trained, self.spec.lr)
        self.lbfgs = torch.optim.LBFGS(
            trained,
            max_iter=self.spec.max_iter,
            history_size=self.spec.history,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

    def step(self, closure: Any = None) -> Any:
        (group,) = self.param_groups
        trained = [i for i, p in enumerate(group["params"]) if p.grad is not None]
        if trained and trained != self.trained:
            self.trained, self.steps = trained, 0
            self._restart()
        self.steps += 1
        if self.steps <= self.spec.adam_steps:
            self.adam.param_groups[0]["lr"] = group["lr"]
            loss = closure()
            self.adam.step()
            return loss
        return self.lbfgs.step(closure)

    def state_dict(self) -> dict[str, Any]:
        return {
            "adam": self.adam.state_dict(),
            "lbfgs": self.lbfgs.state_dict(),
            "steps": self.steps,
            "trained": self.trained,
            "groups": super().state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state["groups"])
        self.steps, self.trained = state["steps"], list(state["trained"])
        self._restart()
        self.adam.load_state_dict(state["adam"])
        self.lbfgs.load_state_dict(state["lbfgs"])
