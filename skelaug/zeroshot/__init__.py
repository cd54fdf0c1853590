"""Actions known by their descriptions alone: noise errors, curriculum, losses, rivals."""
