"""Time-dependent problems: steppers and the loop through time."""
