"""Tables: each function takes Datasets and returns a pandas DataFrame.

Each function has its record as a decorator (`reproduction.records.table`). `reproduction.catalogue` finds it in any
module below this folder. `<quantity>_dissertation` is the dissertation's number, if it states one.
"""
