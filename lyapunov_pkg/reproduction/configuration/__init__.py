"""The settings of the reproduction by section, each defined once. `whole` joins and checks them.

This package does not import PyTorch, xarray or matplotlib, because the workflow reads it at every start. Each section
is a separate definition, so that a stage depends only on the sections that it uses.
"""
