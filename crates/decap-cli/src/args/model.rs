//! `decap model`: what can be typed.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Encoder, decoder, memory, sizes and where it comes from.
    Info {
        /// Model or encoder folder, or `tiny` for the bundled one.
        #[arg(default_value = "tiny", value_name = "DIR|ID")]
        model: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Download an encoder or a model from the Hugging Face Hub, or `tiny` from decap's release, and
    /// print its folder.
    #[command(after_help = "Examples:\n  \
        decap model pull openai/clip-vit-base-patch32\n  \
        decap model pull laion/CLIP-ViT-H-14-laion2B-s32B-b79K@main\n\n\
        HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and the proxy variables are \
        followed; a download that broke off is taken up where it was.")]
    Pull {
        /// OWNER/NAME, OWNER/NAME@REVISION (a branch, a tag or a commit), or `tiny`.
        #[arg(value_name = "ID")]
        model: String,
    },
}
