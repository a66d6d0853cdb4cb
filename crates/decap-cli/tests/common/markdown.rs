//! Blocks of commands in the project's pages.

/// The texts of the blocks of `page` that are marked as `language`, in order. Blocks within a list
/// are indented; their texts are not.
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(mark) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let within = lines.by_ref().take_while(|line| line.trim() != "```");
        let text: String = within
            .map(|line| format!("{}\n", line.get(indent..).unwrap_or("")))
            .collect();
        if mark.trim() == language {
            found.push(text);
        }
    }
    found
}
