"""Objects of an HDF5 file by path, through links, and the reason for each that cannot be read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What h5py raises for damaged metadata: any of these, by chance.
H5PY_ERRORS = (KeyError, RuntimeError, OSError, TypeError, ValueError, AttributeError)
# The attribute NAME of such a dimension, as the netCDF library writes it.
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"


def objects(group: Any, limit: int) -> Iterator[tuple[str, Any]]:
    """Path and dataset of at most `limit` objects below a group; soft and external links are
    followed. In place of an object that cannot be opened, the reason as text.

    h5py's `visititems` follows hard links only. A group that a link leads back to, so that it
    would contain itself, is left out.
    """
    stack: list[tuple[str, Any, tuple[Any, ...]]] = [("", group, (_address(group),))]
    seen = 0
    while stack:
        prefix, parent, ancestors = stack.pop()
        inner = []
        try:
            keys = list(parent)
        except H5PY_ERRORS as error:
            yield prefix.rstrip("/") or "/", f"a group that HDF5 cannot list ({error})"
            continue
        for key in keys:
            seen += 1
            if seen > limit:
                return
            name = f"{prefix}{key}"
            item = opened(parent, key)
            if hasattr(item, "keys"):
                address = _address(item)
                if address is None:
                    yield name, "a group that HDF5 cannot list"
                elif address not in ancestors:
                    inner.append((f"{name}/", item, (*ancestors, address)))
            elif isinstance(item, str) or _holds_values(item):
                yield name, item
        stack += reversed(inner)


def _holds_values(item: Any) -> bool:
    """Whether this is a dataset, and not a dimension of netCDF without coordinates."""
    try:
        name = item.attrs.get("NAME", b"")
    except H5PY_ERRORS:
        return hasattr(item, "shape")
    text = name.decode("latin1") if isinstance(name, bytes) else str(name)
    return hasattr(item, "shape") and not text.startswith(_NO_VARIABLE)


def opened(group: Any, name: str) -> Any:
    """The object at a path, or as text the reason why it cannot be opened."""
    try:
        return group[name]
    except H5PY_ERRORS as error:
        try:
            return _broken(group.get(name, getlink=True), error)
        except H5PY_ERRORS:
            return _broken(None, error)


def _address(group: Any) -> tuple[int, int] | None:
    """File and position of a group; None if its header is damaged."""
    import h5py

    try:
        info = h5py.h5o.get_info(group.id)
    except H5PY_ERRORS:
        return None
    return info.fileno, info.addr


def _broken(link: Any, error: Exception) -> str:
    """The reason why a link leads nowhere."""
    reason = str(error).strip("'\"")
    if hasattr(link, "filename"):
        return (
            f"nothing that can be opened: an external link to {link.path} of the file "
            f"{link.filename}, which is missing or cannot be read ({reason}); put this file beside"
        )
    if hasattr(link, "path"):
        return f"nothing: a soft link to {link.path}, which cannot be opened ({reason})"
    return f"an object that HDF5 cannot open ({reason})"


def why_unreadable(dataset: Any) -> str | None:
    """The reason why the values of a dataset cannot be read, though its header can; else None."""
    if dataset.shape is None:
        return "nothing: the dataset is empty"
    try:
        dtype = dataset.dtype
    except TypeError as error:
        return f"values of a type that NumPy does not have ({error})"
    assert dtype is not None
    return _missing_filter(dataset) or _missing_files(dataset)


def _missing_filter(dataset: Any) -> str | None:
    """The name of a compression whose filter is not installed."""
    import h5py

    plist = dataset.id.get_create_plist()
    for i in range(plist.get_nfilters()):
        number, _, _, name = plist.get_filter(i)
        if not h5py.h5z.filter_avail(number):
            return (
                f"values compressed by the filter {name.decode() or 'without a name'} (HDF5's "
                f"number {number}), which is not installed; write the file with gzip, for example "
                f"h5repack -f GZIP=4"
            )
    return None


def _missing_files(dataset: Any) -> str | None:
    """The files that hold the values of the dataset and are missing.

    HDF5 gives fill values in place of missing sources of a virtual dataset, without an error.
    """
    folder = Path(dataset.file.filename).parent
    names = {name for name, _, _ in dataset.external or ()}
    if dataset.is_virtual:
        names |= {source.file_name for source in dataset.virtual_sources()} - {"."}
    # A name with % stands for a series of files; HDF5 fills it in.
    missing = sorted(n for n in names if "%" not in n and not _exists(n, folder))
    if not missing:
        return None
    return f"values stored in other files, of which {', '.join(missing)} is missing"


def _exists(name: str, folder: Path) -> bool:
    return Path(name).exists() or (folder / name).exists()
