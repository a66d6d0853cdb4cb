//! decap's own API.

pub mod caption;
pub mod embed;
pub mod memory;
pub mod operations;
pub mod score;
pub mod wishes;
