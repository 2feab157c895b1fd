"""Statistics of finished runs: scores and their intervals, masks, gene sets, maps. Tables in, tables out."""
