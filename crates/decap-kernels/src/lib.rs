//! CPU kernels of the decap captioner behind safe functions.

pub mod mapped_file;
