//! Inputs loaded on other threads while the caller works on those before them.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;

use rayon::prelude::*;

/// Batches that wait, loaded, for the caller: one is in work, one is ready, one is being loaded.
const BATCHES_READY: usize = 1;

/// Calls `load` for each path on all cores, and `consume` with the results, `batch` at a time and
/// in order; the next batches are loaded meanwhile.
///
/// # Errors
/// What `consume` returns; loading then stops.
///
/// ```
/// use std::path::PathBuf;
///
/// let paths = vec![PathBuf::from("a"), PathBuf::from("bb"), PathBuf::from("ccc")];
/// let mut lengths = Vec::new();
/// decap::for_each_batch(paths, 2, |path| path.as_os_str().len(), |batch| {
///     lengths.push(batch.into_iter().map(|(_, length)| length).collect::<Vec<_>>());
///     Ok::<_, decap::Error>(())
/// })?;
/// assert_eq!(lengths, [vec![1, 2], vec![3]]);
/// # Ok::<_, decap::Error>(())
/// ```
pub fn for_each_batch<T: Send, E>(
    paths: Vec<PathBuf>,
    batch: usize,
    load: impl Fn(&std::path::Path) -> T + Sync,
    mut consume: impl FnMut(Vec<(PathBuf, T)>) -> Result<(), E>,
) -> Result<(), E> {
    let (sender, receiver) = sync_channel(BATCHES_READY);
    thread::scope(|scope| {
        let load = &load;
        scope.spawn(move || {
            let mut paths = paths.into_iter();
            loop {
                let chunk: Vec<PathBuf> = paths.by_ref().take(batch.max(1)).collect();
                if chunk.is_empty() {
                    break;
                }
                let loaded = chunk.into_par_iter().map(|path| {
                    let value = load(&path);
                    (path, value)
                });
                // The consumer hung up: it failed, and nothing more is wanted.
                if sender.send(loaded.collect::<Vec<_>>()).is_err() {
                    break;
                }
            }
        });
        // The receiver is moved in, so that it is dropped when `consume` fails.
        receiver.into_iter().try_for_each(&mut consume)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_consumer_stops_the_loading() {
        let paths = (0..10_000).map(|i| PathBuf::from(i.to_string())).collect();
        let mut batches = 0;
        let result = for_each_batch(
            paths,
            1,
            |_| (),
            |_| {
                batches += 1;
                if batches == 3 { Err("enough") } else { Ok(()) }
            },
        );
        assert_eq!((result, batches), (Err("enough"), 3));
    }
}
