"""Does synthetic data help? Draws of clips, arms, a grid of trainings, and the verdict."""
