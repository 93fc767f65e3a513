"""The command line, a file for each thing somebody wants to do.

Heavy things are imported by the command that needs them, so that `civicline --help` stays quick.
"""
