//! AMX, the matrix unit of newer x86-64 processors. Everything about it is in this folder.
//!
//! The unit multiplies tiles of bf16 or of bytes. The rest of the crate only
//! - asks whether it is there ([`is_supported`]),
//! - asks for the [`Operation`] of a product and packs the first operand the way it needs it ([`pack_line`]),
//! - runs the tasks of a product on it ([`UnitProduct`]), into f32, into the first operand of the next product or into
//!   exponentials of logits ([`Target`]),
//! - multiplies byte rows of a memory on it ([`dot_rows`], [`mix_rows`]).

mod byte_rows;
mod conversion;
#[cfg(all(test, target_os = "linux", not(miri)))]
mod emulator;
mod exponentials;
mod finish;
mod multiply;
mod operation;
mod registers;
mod task;

pub(crate) use byte_rows::{dot_rows, mix_rows};
pub(crate) use conversion::pack_line;
pub(crate) use exponentials::{ExponentialTiles, TileSums};
pub(crate) use operation::Operation;
pub(crate) use registers::is_supported;
pub(crate) use task::{Target, UnitProduct, blocks};
