"""Laws of the kinematic head: its equation, its size, and that it learns labels."""

from __future__ import annotations

import pytest
import torch

from skelaug.models.kinematic_head import KinematicHead


def test_it_is_two_layers_on_the_text() -> None:
    head = KinematicHead(text_features=6, width=4).double()
    text = torch.randn(5, 6, dtype=torch.float64)
    first, _, second = head.layers
    hidden = (text @ first.weight.T + first.bias).clamp(min=0)
    torch.testing.assert_close(head(text), hidden @ second.weight[0] + second.bias)


def test_the_published_size() -> None:
    head = KinematicHead(text_features=1024)
    assert sum(p.numel() for p in head.parameters()) == 1024 * 256 + 256 + 256 + 1


def test_it_learns_which_classes_are_lively() -> None:
    torch.manual_seed(0)
    head = KinematicHead(text_features=32, width=16)
    texts, lively = torch.randn(12, 32), torch.arange(12) % 2
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(100):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(texts), lively.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal((head(texts).sigmoid() > 0.5).long(), lively)


def test_the_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"pooled: expected N E with E = 6, got 2 x 5"):
        KinematicHead(text_features=6)(torch.zeros(2, 5))
