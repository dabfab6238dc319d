"""Small trained networks, each with a card; `pdeops.load_correction(name)` reads them."""
