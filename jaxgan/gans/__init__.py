"""One file a paper: the losses of the two players and the order of their turns."""
