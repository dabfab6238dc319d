"""Geo-FNO's structured meshes (Li et al. 2023), a folder of .npy files: NACA_Cylinder_X and
NACA_Cylinder_Y (sample, 221, 51) with NACA_Cylinder_Q (sample, 5, 221, 51), the flow around an
airfoil; Pipe_X and Pipe_Y (sample, 129, 129) with Pipe_Q (sample, channel, 129, 129).

As in LSM and Geo-FNO the fields are read on the grid of the numbers of the nodes, here the unit box
with both ends stored, and the curvilinear coordinates X and Y are the two channels of the input.
The target is the Mach number Q_4 of the airfoil (five channels), and the first velocity Q_0 of the
pipe (any other number); other channels are read if they are named. Integrals and norms are those of
the box, not of the physical domain: every node has the weight of its cell in the box.
"""

import re

from ..containers.store import Store
from ..containers.virtual import Entry, VirtualStore
from .chosen import Chosen
from .content import Content

AIRFOIL_CHANNELS, MACH, FIRST_VELOCITY = 5, 4, 0


def _named(store: Store, letter: str) -> str | None:
    """The name of the array called by this letter, alone or behind an underscore."""
    found = [name for name in store.arrays if re.split(r"[_/]", name)[-1] == letter]
    return found[0] if len(found) == 1 else None


def recognises(store: Store) -> bool:
    """Whether there are X and Y (sample, i, j) and Q (sample, channel, i, j)."""
    names = [_named(store, letter) for letter in "XYQ"]
    if None in names:
        return False
    x, y, q = (store.arrays[str(name)].shape for name in names)
    return len(x) == 3 and x == y and len(q) == 4 and (q[0], *q[2:]) == x


def content(store: Store) -> Content:
    """Coordinates -> one channel of Q."""
    x, y, q = (str(_named(store, letter)) for letter in "XYQ")
    num_samples, channels, *space = store.arrays[q].shape
    target = MACH if channels == AIRFOIL_CHANNELS else FIRST_VELOCITY
    entries = {f"Q_{k}": Entry(q, axis=1, index=k) for k in range(channels)}
    made = VirtualStore(store, {"X": Entry(x), "Y": Entry(y), **entries})
    axes, shape = ("sample", "x", "y"), (num_samples, *space)
    fields = [Chosen(name, "input", axes, shape) for name in "XY"]
    fields += [Chosen(name, "target", axes, shape) for name in entries]
    others = frozenset(entries) - {f"Q_{target}"}
    note = (
        f"read as Geo-FNO's structured meshes: the coordinates X and Y are inputs on the grid of "
        f"the node numbers, channel {target} of {channels} of {q} is the target; norms are over "
        f"the unit box of these numbers, not over the physical domain"
    )
    grid = {"extent": 1.0, "boundary": "neumann", "placement": "endpoints"}
    return Content(made, tuple(fields), unopened=others, grid=grid, notes=(note,), read=(x, y, q))
