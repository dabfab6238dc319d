"""Neural operators: maps of fields to fields. One paper, one file, one class."""
