"""Sizes that the loops and their plain twin share."""

CHANNELS = 8  # features of a node are padded to a multiple, which makes loops vector instructions
LONGEST = 256  # entries of a row of the factor; a longer one keeps its diagonal alone
WINDOW = 512  # rows that are sorted by their number of entries
LONGEST_SORTED = 255  # rows are sorted by at most this number of entries
