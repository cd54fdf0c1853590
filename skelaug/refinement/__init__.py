"""Refining noisy 3D poses (D3PRefiner): the model of their error, its diffusion, filters."""
