"""``python -m skelaug`` is the command line; ``torchrun -m skelaug`` starts many of it."""

from skelaug.cli.app import main

if __name__ == "__main__":
    main()
