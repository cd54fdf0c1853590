"""The mathematics of diffusion: tensors and callables; no skeletons, no networks."""
