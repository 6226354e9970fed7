"""The settings of the reproduction, each defined once, by section; `whole` joins and checks them.

This package imports neither PyTorch nor xarray nor matplotlib, because the workflow reads it whenever it starts. A
stage depends on the section that it takes and on no other, because each section is a definition of its own.
"""
