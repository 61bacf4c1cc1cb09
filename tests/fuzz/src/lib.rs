//! Fuzz targets, run as tests.

#![forbid(unsafe_code)]

pub mod torture;
