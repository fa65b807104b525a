"""Plans: what a target makes of a graph, as data that a small executor runs."""
