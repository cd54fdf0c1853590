"""The ST-Trans guide: published sizes, table of patches, folding, attention over places."""

import pytest
import torch

from skelaug.models.st_trans import MobileViTBlock, STTrans, TransformerLayer, fold, unfold
from skelaug.seeds import generator


def _guide(rows: int = 24, frames: int = 24, **arguments: object) -> STTrans:
    return STTrans(rows=rows, frames=frames, num_classes=5, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variant", "dropped", "num_classes", "thousands"),
    [
        ("xxs", True, 120, 979),
        ("xs", True, 120, 1903),
        ("s", True, 120, 4888),
        ("xxs", False, 120, 990),
        ("xs", False, 120, 1979),
        ("s", False, 120, 5015),
        ("xxs", False, 1000, 1272),
        ("xs", False, 1000, 2318),
        ("s", False, 1000, 5579),
    ],
)
def test_published_sizes(variant: str, dropped: bool, num_classes: int, thousands: int) -> None:
    with torch.device("meta"):
        guide = STTrans(
            rows=24, frames=24, num_classes=num_classes, variant=variant, dropped=dropped
        )
    assert round(sum(p.numel() for p in guide.parameters()) / 1e3) == thousands


@pytest.mark.parametrize(
    ("arguments", "rows", "sides", "patches"),
    [
        ({"dropped": False, "stem_stride": 2}, 24, [3, 2, 1], [4, 1, 1]),
        ({"stem_stride": 2}, 24, [6, 3, 2], [9, 4, 1]),
        ({}, 24, [12, 6, 3], [36, 9, 4]),
        ({}, 20, [10, 5, 3], [30, 9, 4]),
    ],
)
def test_table_of_patches(
    arguments: dict[str, int], rows: int, sides: list[int], patches: list[int]
) -> None:
    guide = _guide(rows, variant="xxs", **arguments).eval()
    maps, tokens = [], []
    for block in guide.modules():
        if isinstance(block, MobileViTBlock):
            block.register_forward_hook(lambda m, i, o: maps.append(i[0].shape[-2]))
            block.transformer.register_forward_hook(lambda m, i, o: tokens.append(i[0].shape))
    guide(torch.zeros(2, 3, rows, 24))
    assert maps == sides
    assert [shape[1] for shape in tokens] == patches
    assert all(shape[0] == 2 * 4 for shape in tokens)


def test_depths_and_heads() -> None:
    guide = _guide(variant="s")
    blocks = [m for m in guide.modules() if isinstance(m, MobileViTBlock)]
    layers = [[m for m in b.modules() if isinstance(m, TransformerLayer)] for b in blocks]
    assert [len(stack) for stack in layers] == [2, 4, 3]
    sizes = [stack[0].attention[1].qkv.in_features // 4 for stack in layers]
    assert sizes == [36, 48, 60]
    assert all(layer.attention[1].heads == 4 for stack in layers for layer in stack)


def test_fold_undoes_unfold() -> None:
    x = torch.randn(3, 5, 6, 8, generator=generator(0, 1))
    torch.testing.assert_close(fold(unfold(x), height=6, width=8), x)


def test_unfold_groups_pixels_by_their_place_in_the_patch() -> None:
    x = torch.randn(2, 3, 4, 6, generator=generator(0, 2))
    tokens = unfold(x)
    assert tokens.shape == (8, 6, 3)
    for n in range(2):
        for row in range(4):
            for column in range(6):
                place = 2 * (row % 2) + column % 2
                patch = 3 * (row // 2) + column // 2
                assert torch.equal(tokens[4 * n + place, patch], x[n, :, row, column])


def test_attention_joins_pixels_of_the_same_place_only() -> None:
    block = MobileViTBlock(channels=4, width=8, depth=2, dropout=0.0).eval()
    local = torch.randn(1, 8, 6, 6, generator=generator(0, 3))

    def mixed(x: torch.Tensor) -> torch.Tensor:
        return fold(block.transformer(unfold(x)), height=6, width=6)

    touched = local.clone()
    touched[0, :, 3, 2] *= -1.0
    changed = (mixed(touched) - mixed(local)).abs().amax(dim=(0, 1)) > 1e-6
    wanted = torch.zeros(6, 6, dtype=torch.bool)
    wanted[1::2, 0::2] = True
    assert torch.equal(changed, wanted)


def test_a_block_concatenates_its_input() -> None:
    block = MobileViTBlock(channels=4, width=8, depth=1, dropout=0.0).eval()
    x = torch.randn(1, 4, 6, 6, generator=generator(0, 4))
    seen = []
    block.fuse.register_forward_hook(lambda m, i, o: seen.append(i[0]))
    block(x)
    torch.testing.assert_close(seen[0][:, :4], x)
    assert seen[0].shape[1] == 8


def test_transformer_layer_is_pre_norm() -> None:
    layer = TransformerLayer(width=8, dropout=0.4).double().eval()
    tokens = torch.randn(2, 5, 8, dtype=torch.float64, generator=generator(0, 5))

    def normed(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, keepdim=True, correction=0) + 1e-5
        ).sqrt()

    wanted = tokens + layer.attention[1](normed(tokens))
    up, down = layer.mlp[1], layer.mlp[3]
    assert up.out_features == 16
    hidden = normed(wanted) @ up.weight.T + up.bias
    hidden = hidden / (1 + torch.exp(-hidden))
    torch.testing.assert_close(layer(tokens), wanted + hidden @ down.weight.T + down.bias)


@pytest.mark.parametrize("size", [(24, 24), (20, 24), (25, 17), (50, 48), (7, 5)])
def test_gradients_for_guidance_are_finite_for_any_size(size: tuple[int, int]) -> None:
    guide = _guide(*size, variant="xxs").eval()
    x = torch.randn(2, 3, *size, generator=generator(0, 6)).requires_grad_()
    logits = guide(x)
    assert logits.shape == (2, 5)
    (gradient,) = torch.autograd.grad(logits.log_softmax(-1)[:, 1].sum(), x)
    assert gradient.isfinite().all()
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"variant": "m"}, "expected one of"), ({"stem_stride": 3}, "expected 1 or 2, got 3")],
)
def test_impossible_arguments_are_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _guide(**wrong)
