"""The dissertation's tables, from ours: a function takes a Dataset and returns a pandas DataFrame.

Each function carries its record (`reproduction.records.table`); `reproduction.catalogue` finds it wherever it stands
below this folder. `<quantity>_dissertation` is the dissertation's number, where it gives one.
"""
