"""Graphs as data: values, nodes, a builder, a verifier and one text form."""
