//! `decap make`: what can be typed.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap make --list\n  \
    decap make clip-b32\n  \
    decap caption photo.jpg --model clip-b32\n  \
    decap make clip-b32 --captions my-captions.txt --name mine\n\n\
    Ctrl-C may end it at any time; the same command goes on from there.")]
pub struct MakeArgs {
    /// The captioner to make: clip-b32, clip-l14 or siglip-b16.
    #[arg(value_name = "NAME", required_unless_present = "list")]
    pub what: Option<String>,
    /// Print what can be made: name, encoder, download, licence, and whether it is made.
    #[arg(long, exclusive = true)]
    pub list: bool,
    /// Learn from these caption files instead of the captions of COCO that come with decap.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub captions: Vec<PathBuf>,
    /// Call it so; `--model` finds it by this name from anywhere.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Stop after this many steps.
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u64>,
}
