"""The kinds of job: one file says all about one kind."""
