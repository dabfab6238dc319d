"""Neural fields: networks that are the solution of one equation, functions of space and time."""
