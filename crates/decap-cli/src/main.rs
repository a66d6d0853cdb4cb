//! The `decap` command.

fn main() {}
