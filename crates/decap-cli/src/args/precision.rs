//! What networks compute in, as it can be typed.

use clap::Args;
use decap::Precision;

#[derive(Debug, Clone, Copy, Args)]
pub struct PrecisionArgs {
    /// What networks compute in: f32 is the reference, auto the fastest that agrees with it.
    #[arg(long, default_value_t = Precision::Auto, value_name = "auto|f32|bf16|int8")]
    pub precision: Precision,
}
