"""Which features carry over to classes without clips, asked of seen classes that are left out.

    python pipelines/study_zeroshot_features.py utd.h5,official,purls/utd-mhad/22-5 \\
        ucla.h5,official,purls/nw-ucla/8-2 hdm05.h5

Each FILE[,SPLIT[,CLASSES]] is looked at by itself: of its seen classes, with the training clips of
the split, a quarter is left out at random, and clips of these are named among them by a ridge map
from texts to features that the others fitted. Printed are mean accuracies by class in % over
draws: the nearest expected feature wins, which is what the network's prior says, and after the
bar the least angle, which is what the rival says. Unseen classes and test clips are not looked at.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.data.class_splits import class_split
from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.models.recognizers.kinematics import Kinematics
from skelaug.skeleton.preparation import get_profile
from skelaug.text.descriptions import describe_classes
from skelaug.text.encoder import open_encoder
from skelaug.workflows.zeroshot_texts import pooled_texts
from skelaug.zeroshot.feature_scale import Standardise, fit_scale
from skelaug.zeroshot.ridge import fit_ridge
from skelaug.zeroshot.text_prior import fit_prior

SHARE_LEFT_OUT = 0.25


def main() -> None:
    """Print a table for each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", help="FILE[,SPLIT[,CLASSES]]")
    parser.add_argument("--draws", type=int, default=30, help="of classes that are left out")
    options = parser.parse_args()
    for told in options.data:
        path, split, classes = (*told.split(","), "", "")[:3]
        x, labels, names = _clips(Path(path), split, classes)
        texts = pooled_texts(open_encoder("minilm"), describe_classes(names), "mean")
        size = np.sqrt(((texts - texts.mean(axis=0)) ** 2).mean())
        asked = torch.from_numpy((texts - texts.mean(axis=0)) / size)
        kinds = _features(x)
        print(f"\n{Path(path).name}: {len(labels)} clips of {len(names)} classes\n")
        print(f"| features | one number | whitened |\n{3 * '|---'}|", flush=True)
        for kind, features in kinds.items():
            cells = [
                _accuracies(features, labels, asked, how, options.draws)
                for how in ("scale", "whiten")
            ]
            shown = (f"{100 * near:.1f} / {100 * turned:.1f}" for near, turned in cells)
            print(f"| {kind} | {' | '.join(shown)} |", flush=True)


def _clips(path: Path, split: str, classes: str) -> tuple[Tensor, NDArray[np.int64], list[str]]:
    """Prepared positions N C T V M of the training clips of seen classes, labels, and names."""
    profile = get_profile("heading")
    with SequenceFile(path) as file:
        seen = set(class_split(classes).seen if classes else file.classes)
        names = [name for name in file.classes if name in seen]
        rows = split_clips(file, split).train if split else np.arange(len(file))
        known = [row for row in rows.tolist() if file.labels[row] >= 0]
        rows = [row for row in known if file.classes[int(file.labels[row])] in seen]
        clips = [profile.fit(profile.place(file[row]), profile.frames) for row in rows]
        labels = [names.index(file.classes[int(file.labels[row])]) for row in rows]
    x = torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 3, 2)
    return x.float(), np.array(labels, dtype=np.int64), names


def _features(x: Tensor) -> dict[str, Tensor]:
    """N L D of several kinds."""
    parents = [-1, *range(x.shape[3] - 1)]
    measured = Kinematics(parents=parents, num_classes=2).features(x)
    spread, speed, trend = measured.chunk(3, dim=1)
    place = x.mean(dim=(2, 4)).transpose(1, 2).flatten(1)
    kinds = {
        "place and spread": (place, spread),
        "spread": (spread,),
        "spread and speed": (spread, speed),
        "spread, speed and trend (`kinematics`)": (spread, speed, trend),
        "all four": (place, spread, speed, trend),
    }
    return {kind: torch.cat(parts, dim=1)[:, None] for kind, parts in kinds.items()}


def _accuracies(
    features: Tensor, labels: NDArray[np.int64], texts: Tensor, how: Standardise, draws: int
) -> tuple[float, float]:
    """By the nearest expected feature, and by the least angle: means over draws."""
    classes, found = len(texts), []
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(classes)
        out = np.sort(order[: max(2, round(SHARE_LEFT_OUT * classes))])
        is_out = np.isin(labels, out)
        taught = torch.from_numpy(labels[~is_out])
        z = fit_scale(features[~is_out], taught, how).applied(features)
        prior = fit_prior(z[~is_out], labels[~is_out], texts)
        near = torch.cdist(z[is_out, 0], prior.expected(texts[out])[:, 0]).argmin(dim=1).numpy()
        ridge = fit_ridge(z[~is_out, 0].numpy(), labels[~is_out], texts.numpy())
        turned = ridge.scores(z[is_out, 0].numpy(), texts[out].numpy()).argmax(axis=1)
        true = labels[is_out]
        found.append(
            [np.mean([(out[said] == y)[true == y].mean() for y in out]) for said in (near, turned)]
        )
    near_mean, turned_mean = np.mean(found, axis=0)
    return float(near_mean), float(turned_mean)


if __name__ == "__main__":
    main()
