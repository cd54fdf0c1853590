"""Missing joints: windows of a clip in their body frames, gaps, fillers, and the model's filling."""
