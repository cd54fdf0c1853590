"""skelaug: from a handful of labelled skeleton clips to a recognizer that works.

The command line (``skelaug --help``) is the front door. The library below it is layered; every
module imports only downwards:

- ``skelaug.skeleton``: layouts, sequences, geometry; ``skelaug.diffusion``: the mathematics.
- ``skelaug.data``, ``image``, ``models``, ``metrics``, ``augment``, ``plots``, ``zoo``: the parts.
- ``skelaug.training``, ``checkpoint``, ``config``: the machinery.
- ``skelaug.workflows``: where the parts meet; ``skelaug.cli``: the terminal.
"""

__version__ = "0.1.0"
