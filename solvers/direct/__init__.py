"""Direct solution: sparse factorisation and fast transforms."""
