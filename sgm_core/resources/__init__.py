"""What cells are read with: gene sets, alias tables, the simulator's panel, downloads."""
