//! CPU kernels of the decap captioner behind safe functions.
