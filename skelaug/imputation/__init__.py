"""Missing joints: a clip's windows in body frames, its gaps, fillers, and a model's filling."""
