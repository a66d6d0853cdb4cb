//! Matrices as products read and write them: views, outputs cut into blocks, panels of packed words.

mod output;
mod panels;
mod precision;
mod tile;
mod view;

pub use output::Accumulate;
pub use precision::Precision;
pub use view::{MatrixView, MatrixViewMut};

pub(crate) use output::{Output, OutputBlock, Pieces};
pub(crate) use panels::{BYTE_OFFSET, Format, Grouping, Layout, Order, TILE_STEPS};
pub(crate) use tile::{Operands, TILE_VECTORS, Task, Tile};
