//! The recipe for Dask gives what one run gives.
