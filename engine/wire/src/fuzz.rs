//! Entry functions of the fuzz targets.
