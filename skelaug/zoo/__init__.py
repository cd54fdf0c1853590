"""Packaged weights, their cards, and the lookup: nothing but data and a table of contents.

A model is a folder: its weights as ``*.safetensors`` and a ``card.md`` that says what they were
trained on, under which licence, and how well they do. A run directory is such a folder too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from skelaug.errors import NotFoundError, did_you_mean

__all__ = ["find_model", "find_weights", "local_models", "packaged", "weights_in"]

_HERE = Path(__file__).parent
_MAIN = "model"


def packaged() -> dict[str, Path]:
    """The folders of the models that came with the program, by name."""
    return {
        folder.name: folder
        for folder in sorted(_HERE.iterdir())
        if any(folder.glob("*.safetensors"))
    }


def local_models(root: Path) -> dict[str, Path]:
    """The run directories at most two folders below `root`, by their path relative to it."""
    weights = [path for depth in ("*", "*/*") for path in root.glob(f"{depth}/{_MAIN}.safetensors")]
    return {str(path.parent.relative_to(root)): path.parent for path in sorted(weights)}


def find_model(name_or_run: str | Path) -> Path:
    """The folder or the single safetensors file that a user means.

    Args:
        name_or_run: Name of a packaged model, a run directory, or a safetensors file.

    Raises:
        NotFoundError: It is none of them; the message names what there is.
    """
    name, path = str(name_or_run), Path(name_or_run)
    if path.is_file() or (path.is_dir() and weights_in(path)):
        return path
    models = packaged()
    if name in models:
        return models[name]
    if path.is_dir():
        hint = "; its training has not come to its end, --resume goes on"
        begun = (path / "config.yaml").exists()
        raise NotFoundError(
            f"{path}: expected a run with *.safetensors in it, got none{hint if begun else ''}"
        )
    near = did_you_mean(name, models) if models else "none is packaged; give a run directory"
    raise NotFoundError(f"model {name!r}: no packaged model and no run directory; {near}")


def weights_in(model: Path) -> Mapping[str, Path]:
    """The weights of a model by role: the file names without their ending."""
    if model.is_file():
        return {model.stem: model}
    return {path.stem: path for path in sorted(model.glob("*.safetensors"))}


def find_weights(model: Path, role: str) -> Path:
    """The weights of one role, e.g. ``"guide"``: ``ROLE.safetensors``, else ``model.safetensors``.

    Args:
        model: What `find_model` returned.
        role: ``diffusion``, ``guide``, ``recognizer``, ``refiner``, ``hgvae`` (of `impute` and
            `score`) or another file name without its ending.

    Raises:
        NotFoundError: The model has no such weights.
    """
    files = weights_in(model)
    if model.is_file():
        return model
    if role in files:
        return files[role]
    if _MAIN in files:
        return files[_MAIN]
    raise NotFoundError(f"{model}: no weights for {role!r}; it has {', '.join(files) or 'none'}")
