"""One file per paper or network; a network takes plain arguments and a layout's sizes."""
