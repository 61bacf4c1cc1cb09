//! Fuzz targets, run as tests.
