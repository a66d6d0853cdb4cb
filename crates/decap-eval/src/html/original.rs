//! Links from the page to the photos it was made of.

use std::path::{Component, Path, PathBuf};

use super::escape::percent_encoded;

/// Finds originals near the report. One that lies elsewhere gets no link: its path would tell
/// the page's readers about this machine, and would lead nowhere on theirs.
pub(crate) struct Originals {
    /// The report's folder, without symbolic links.
    folder: PathBuf,
    /// The folder that originals are linked within; the report's folder is in it.
    within: PathBuf,
}

impl Originals {
    /// Originals for a report in `folder`, which exists: those within the folder that the report's
    /// folder is in or, where that is more, within the working folder.
    pub(crate) fn new(folder: &Path) -> Option<Self> {
        let here = std::env::current_dir().and_then(|here| here.canonicalize());
        Self::within(folder, here.ok().as_deref())
    }

    fn within(folder: &Path, here: Option<&Path>) -> Option<Self> {
        let folder = folder.canonicalize().ok()?;
        let here = here.filter(|here| folder.starts_with(here));
        let within = match (here, folder.parent()) {
            (Some(here), Some(parent)) if parent.starts_with(here) => here,
            (_, parent) => parent?,
        };
        // Everything is in the root, so that being in it means nothing.
        let within = within.parent().map(|_| within.to_path_buf())?;
        Some(Self { folder, within })
    }

    /// The link to `photo`: parts with `/` between them, as URLs are written.
    pub(crate) fn link(&self, photo: &Path) -> Option<String> {
        // A photo that is a symbolic link itself is linked by its own name.
        let parent = match photo.parent()? {
            parent if parent.as_os_str().is_empty() => Path::new("."),
            parent => parent,
        };
        let photo = parent.canonicalize().ok()?.join(photo.file_name()?);
        if !photo.starts_with(&self.within) {
            return None;
        }
        let shared = self
            .folder
            .components()
            .zip(photo.components())
            .take_while(|(ours, its)| ours == its)
            .count();
        let up = self
            .folder
            .components()
            .skip(shared)
            .map(|_| "..".to_owned());
        let down = photo.components().skip(shared).map(|part| match part {
            Component::Normal(name) => percent_encoded(name.as_encoded_bytes()),
            other => percent_encoded(other.as_os_str().as_encoded_bytes()),
        });
        Some(up.chain(down).collect::<Vec<_>>().join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_near_the_report_are_linked_and_no_others() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in [
            "work/reports/r1",
            "work/data/a b",
            "work/reports/photos",
            "other",
        ] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let report = root.join("work/reports/r1");
        let links = |here: &str| Originals::within(&report, Some(&root.join(here))).unwrap();
        let cases = [
            (
                "work",
                "work/data/a b/1#.jpg",
                Some("../../data/a%20b/1%23.jpg"),
            ),
            ("work", "work/reports/photos/1.jpg", Some("../photos/1.jpg")),
            ("work", "work/reports/r1/1.jpg", Some("1.jpg")),
            ("work", "other/1.jpg", None),
            // A report elsewhere: what lies beside it alone.
            (
                "other",
                "work/reports/photos/1.jpg",
                Some("../photos/1.jpg"),
            ),
            ("other", "work/data/a b/1.jpg", None),
            ("other", "other/1.jpg", None),
            // The report's own folder holds less than the one it is in.
            (
                "work/reports/r1",
                "work/reports/photos/1.jpg",
                Some("../photos/1.jpg"),
            ),
            ("work", "work/gone/1.jpg", None),
        ];
        for (here, photo, link) in cases {
            let found = links(here).link(&root.join(photo));
            assert_eq!(found.as_deref(), link, "{here} {photo}");
        }
        assert!(Originals::within(&root.join("none"), None).is_none());
    }
}
