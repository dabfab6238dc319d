"""One stage of a low-storage implicit-explicit step."""
