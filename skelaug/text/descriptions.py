"""What the classes look like in words: a sparse phrase, rich sentences, and how brisk they are.

Each data set's classes are described in a YAML file, written for this project and meant to be
edited. A file of one's own has the same form::

    squat:
      sparse: squat down and stand up again
      intensity: 0
      rich:
      - The knees and hips bend slowly until the thighs are level, and stretch again after a pause.
      - ...
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from skelaug.errors import DataError, NotFoundError, did_you_mean

__all__ = ["ClassTexts", "describe_classes", "described", "load_descriptions"]

_FOLDER = resources.files("skelaug.text").joinpath("descriptions")
_KEYS = {"sparse", "rich", "intensity"}
_SHOWN = 8  # classes in a stub


@dataclass(frozen=True)
class ClassTexts:
    """The texts of one class.

    Attributes:
        name: Of the class, as files of clips have it.
        sparse: The plain action in a few words, the form of a label that a user would type.
        rich: Sentences on the body parts, the phases and the pace of the movement.
        intensity: 1 = rapid, 0 = slow or steady (the binary label of FDSM's appendix B.2).
    """

    name: str
    sparse: str
    rich: tuple[str, ...]
    intensity: int


def described() -> tuple[str, ...]:
    """The data sets whose classes are described here."""
    files = (file.name for file in _FOLDER.iterdir())
    return tuple(sorted(name[:-5] for name in files if name.endswith(".yaml")))


def load_descriptions(source: str | Path) -> dict[str, ClassTexts]:
    """The texts of all classes of a data set or of a YAML file, by class name, in their order.

    Args:
        source: One of `described`, with ``-`` or ``_``, or the path of a YAML file.

    Raises:
        NotFoundError: It is neither.
        DataError: The file is not of the form above; all its faults are named.
    """
    name = str(source).replace("-", "_").lower()
    if name in described():
        return _parsed(_FOLDER.joinpath(f"{name}.yaml"), name)
    path = Path(source)
    if not path.is_file():
        raise NotFoundError(
            f"descriptions {str(source)!r}: no such file or data set; "
            f"{did_you_mean(name, described())}"
        )
    return _parsed(path, str(path))


def describe_classes(
    classes: Sequence[str], source: str | Path | Sequence[str | Path] = ()
) -> tuple[ClassTexts, ...]:
    """The texts of these classes, in their order; names are compared without regard to case.

    Args:
        classes: Class names, e.g. those of a file of clips.
        source: Where to look, the first that has a class wins; by default in all data sets
            described here, those with the most of these classes first.

    Raises:
        NotFoundError: A class is not described; the message has YAML to fill in.
        DataError: A file is not of the form above.
    """
    given = [source] if isinstance(source, str | Path) else [*source]
    books = [_folded(load_descriptions(one)) for one in given or described()]
    wanted = [name.casefold().strip() for name in classes]
    if not given:
        books.sort(key=lambda book: -sum(name in book for name in wanted))
    found = [next((book[name] for book in books if name in book), None) for name in wanted]
    missing = [name for name, texts in zip(classes, found, strict=True) if texts is None]
    if missing:
        where = " and ".join(str(one) for one in given) or ", ".join(described())
        raise NotFoundError(
            f"{where}: expected texts of all classes, got none of {len(missing)}; fill these in "
            f"and give the YAML file:\n{_stub(missing)}"
        )
    return tuple(texts for texts in found if texts is not None)


def _folded(texts: Mapping[str, ClassTexts]) -> dict[str, ClassTexts]:
    return {name.casefold(): one for name, one in texts.items()}


def _stub(classes: Sequence[str]) -> str:
    lines = [
        f"{json.dumps(name, ensure_ascii=False)}:\n  sparse: \n  intensity: \n  rich:\n  - \n  - "
        for name in classes[:_SHOWN]
    ]
    more = [f"# and {len(classes) - _SHOWN} more"] if len(classes) > _SHOWN else []
    return "\n".join([*lines, *more])


class _Once(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; see PyYAML."""
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = [key for key, count in keys.items() if count > 1]
        if twice:
            problem = f"the key {twice[0]!r} twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _parsed(file: Path | Traversable, where: str) -> dict[str, ClassTexts]:
    try:
        data = yaml.load(file.read_text(encoding="utf-8"), Loader=_Once)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: expected YAML, got {' '.join(str(error).split())}") from error
    if not isinstance(data, Mapping) or not data:
        raise DataError(f"{where}: expected classes with their texts, got {type(data).__name__}")
    faults = [f"{name!r}: {fault}" for name, entry in data.items() for fault in _faults(entry)]
    faults += [f"{name!r}: expected text as a class name" for name in data if not _is_text(name)]
    if faults:
        raise DataError(f"{where}: {'; '.join(faults)}")
    return {
        name: ClassTexts(
            name=name,
            sparse=_flat(entry["sparse"]),
            rich=tuple(_flat(text) for text in entry["rich"]),
            intensity=int(entry["intensity"]),
        )
        for name, entry in data.items()
    }


def _faults(entry: object) -> list[str]:
    if not isinstance(entry, Mapping):
        return [f"expected {', '.join(sorted(_KEYS))}, got {entry!r}"]
    faults = [f"unknown key {key!r}" for key in entry if key not in _KEYS]
    if not _is_text(entry.get("sparse")):
        faults.append(f"expected sparse to be text, got {entry.get('sparse')!r}")
    rich = entry.get("rich")
    if not isinstance(rich, list) or not rich or not all(_is_text(text) for text in rich):
        faults.append(f"expected rich to be a list of texts, got {rich!r}")
    intensity = entry.get("intensity")
    if isinstance(intensity, bool) or intensity not in (0, 1):
        faults.append(f"expected intensity 0 or 1, got {intensity!r}")
    return faults


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _flat(text: str) -> str:
    return " ".join(text.split())
