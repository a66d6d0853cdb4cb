//! The search for the best alignment (`edu.cmu.meteor.aligner.Aligner` 1.5).

use super::MAX_WORDS;
use super::matches::Match;

/// How many partial alignments go on from each word.
const BEAM_SIZE: usize = 40;

/// Bits for the words of the longest caption.
type WordBits = [u64; MAX_WORDS.div_ceil(64)];

/// The chosen matches, by their start in the reference.
pub(crate) struct Alignment {
    pub(crate) matches: Vec<Match>,
    /// Runs of matches that are contiguous in both captions.
    pub(crate) num_chunks: u32,
}

/// Chooses non-overlapping matches: the most words, then the fewest chunks, then the least
/// distance.
///
/// `found` is `[reference words]`, the matches that start at each.
pub(crate) fn align(found: &[Vec<Match>], num_prediction_words: usize) -> Alignment {
    let fixed = fixed_matches(found, num_prediction_words);
    let mut paths = vec![Path::new(&fixed)];
    let mut steps: Vec<Step> = Vec::new();
    for (current, matches) in found.iter().enumerate() {
        if matches.is_empty() || fixed.covers_reference[current] {
            paths.retain_mut(|path| path.progress.pass(current, &fixed));
            paths.sort_by_key(|path| path.progress.rank());
            continue;
        }
        let mut candidates = advance(&paths, current, matches, &fixed);
        // The sort is stable: on a tie the path that was found first goes first.
        candidates.sort_by_key(|candidate| candidate.progress.rank());
        candidates.truncate(BEAM_SIZE);
        paths = candidates
            .iter()
            .map(|one| one.path(&paths[one.parent], &mut steps))
            .collect();
    }
    for path in &mut paths {
        path.progress.close_chunk();
    }
    paths.sort_by_key(|path| path.progress.rank());
    let mut matches: Vec<Match> = Vec::new();
    let mut step = paths.first().and_then(|path| path.last_step);
    while let Some(index) = step {
        matches.push(steps[index].chosen);
        step = steps[index].before;
    }
    matches.extend(fixed.at.iter().flatten());
    matches.sort_by_key(|one| one.reference_start);
    Alignment {
        num_chunks: count_chunks(&matches),
        matches,
    }
}

/// Matches that compete with no other: they are part of every alignment.
struct Fixed {
    /// `[reference words]`, where one starts.
    at: Vec<Option<Match>>,
    /// Whether one covers the word, `[reference words]`.
    covers_reference: Vec<bool>,
    /// Whether one covers the word, `[prediction words]`.
    covers_prediction: Vec<bool>,
}

fn fixed_matches(found: &[Vec<Match>], num_prediction_words: usize) -> Fixed {
    let mut reference_counts = vec![0_u32; found.len()];
    let mut prediction_counts = vec![0_u32; num_prediction_words];
    for one in found.iter().flatten() {
        reference_counts[one.reference_words()]
            .iter_mut()
            .for_each(|count| *count += 1);
        prediction_counts[one.prediction_words()]
            .iter_mut()
            .for_each(|count| *count += 1);
    }
    let mut fixed = Fixed {
        at: vec![None; found.len()],
        covers_reference: vec![false; found.len()],
        covers_prediction: vec![false; num_prediction_words],
    };
    for (start, matches) in found.iter().enumerate() {
        let [one] = matches.as_slice() else { continue };
        let is_alone = reference_counts[one.reference_words()]
            .iter()
            .all(|&count| count == 1)
            && prediction_counts[one.prediction_words()]
                .iter()
                .all(|&count| count == 1);
        if is_alone {
            fixed.at[start] = Some(*one);
            fixed.covers_reference[one.reference_words()].fill(true);
            fixed.covers_prediction[one.prediction_words()].fill(true);
        }
    }
    fixed
}

/// One choice of a path, and the one before it.
struct Step {
    chosen: Match,
    before: Option<usize>,
}

/// A partial alignment.
struct Path {
    progress: Progress,
    last_step: Option<usize>,
    /// One bit for each word of the prediction that is covered.
    covered: WordBits,
}

/// How far a path is, and how good.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Weighted words covered in both captions, rounded down match by match.
    num_matched: u32,
    num_chunks: u32,
    distance: u32,
    /// The first word of the reference that is not decided.
    next: usize,
    /// Where the last match ends in the prediction, while a chunk is open.
    chunk_end: Option<u32>,
}

/// A path to go on with, if it is among the best.
struct Candidate {
    progress: Progress,
    /// Index of the path it goes on from.
    parent: usize,
    /// The match it chooses, if any.
    chosen: Option<Match>,
}

impl Path {
    fn new(fixed: &Fixed) -> Self {
        let mut path = Self {
            progress: Progress::default(),
            last_step: None,
            covered: [0; _],
        };
        let covered = fixed.covers_prediction.iter().enumerate();
        for (word, _) in covered.filter(|(_, is)| **is) {
            path.cover(word);
        }
        path
    }

    fn cover(&mut self, word: usize) {
        self.covered[word / 64] |= 1 << (word % 64);
    }

    fn covers(&self, one: &Match) -> bool {
        one.prediction_words()
            .any(|word| self.covered[word / 64] & (1 << (word % 64)) != 0)
    }
}

impl Progress {
    /// The smaller, the better.
    fn rank(&self) -> (std::cmp::Reverse<u32>, u32, u32) {
        (
            std::cmp::Reverse(self.num_matched),
            self.num_chunks,
            self.distance,
        )
    }

    /// Counts the match, but for its distance.
    fn take(&mut self, one: &Match) {
        // Exact words count one, all others a half, rounded down for each side of a match.
        let weigh = |len: u32| if one.stage == 0 { len } else { len / 2 };
        self.num_matched += weigh(one.prediction_len) + weigh(one.reference_len);
        if self
            .chunk_end
            .is_some_and(|end| end != one.prediction_start)
        {
            self.num_chunks += 1;
        }
        self.next = one.reference_words().end;
        self.chunk_end = Some(one.prediction_words().end as u32);
    }

    /// Goes on over a word that leaves no choice; false where the path ends there.
    fn pass(&mut self, current: usize, fixed: &Fixed) -> bool {
        if current < self.next {
            return true;
        }
        if fixed.covers_reference[current] {
            let Some(one) = &fixed.at[current] else {
                return false;
            };
            self.take(one);
            self.distance += distance(one);
        } else {
            self.close_chunk();
            self.next += 1;
        }
        true
    }

    fn close_chunk(&mut self) {
        if self.chunk_end.take().is_some() {
            self.num_chunks += 1;
        }
    }
}

impl Candidate {
    fn path(&self, parent: &Path, steps: &mut Vec<Step>) -> Path {
        let mut path = Path {
            progress: self.progress,
            last_step: parent.last_step,
            covered: parent.covered,
        };
        if let Some(chosen) = self.chosen {
            chosen.prediction_words().for_each(|word| path.cover(word));
            steps.push(Step {
                chosen,
                before: parent.last_step,
            });
            path.last_step = Some(steps.len() - 1);
        }
        path
    }
}

fn distance(one: &Match) -> u32 {
    one.reference_start.abs_diff(one.prediction_start)
}

/// All ways to go on from the paths at the reference's word `current`, which no fixed match covers.
fn advance(paths: &[Path], current: usize, matches: &[Match], fixed: &Fixed) -> Vec<Candidate> {
    let mut candidates = Vec::with_capacity(paths.len() * (matches.len() + 1));
    for (parent, path) in paths.iter().enumerate() {
        let mut progress = path.progress;
        if current < progress.next {
            candidates.push(Candidate {
                progress,
                parent,
                chosen: None,
            });
            continue;
        }
        for one in matches {
            let is_taken = path.covers(one)
                || fixed.covers_reference[one.reference_words()]
                    .iter()
                    .any(|&is| is);
            if is_taken {
                continue;
            }
            let mut with = progress;
            with.take(one);
            // The reference implementation adds the distance to the path that is left, not to
            // the one that takes the match: ties are broken by that.
            progress.distance += distance(one);
            candidates.push(Candidate {
                progress: with,
                parent,
                chosen: Some(*one),
            });
        }
        progress.close_chunk();
        progress.next += 1;
        candidates.push(Candidate {
            progress,
            parent,
            chosen: None,
        });
    }
    candidates
}

fn count_chunks(matches: &[Match]) -> u32 {
    let continues = |pair: &[Match]| {
        pair[0].reference_words().end == pair[1].reference_words().start
            && pair[0].prediction_words().end == pair[1].prediction_words().start
    };
    let num_breaks = matches.windows(2).filter(|pair| !continues(pair)).count();
    if matches.is_empty() {
        0
    } else {
        num_breaks as u32 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exact matches of word lists.
    fn exact(prediction: &[u32], reference: &[u32]) -> Alignment {
        let found: Vec<Vec<Match>> = reference
            .iter()
            .enumerate()
            .map(|(j, b)| {
                let places = prediction.iter().enumerate().filter(|(_, a)| *a == b);
                places
                    .map(|(i, _)| Match {
                        stage: 0,
                        reference_start: j as u32,
                        reference_len: 1,
                        prediction_start: i as u32,
                        prediction_len: 1,
                    })
                    .collect()
            })
            .collect();
        align(&found, prediction.len())
    }

    #[test]
    fn the_fewest_chunks_win() {
        let cases: [(&[u32], &[u32], usize, u32); 6] = [
            (&[1, 2, 3], &[1, 2, 3], 3, 1),
            (&[1, 2, 3], &[3, 1, 2], 3, 2),
            // The second 1 continues the chunk.
            (&[1, 5, 1, 2, 3], &[1, 2, 3], 3, 1),
            (&[1, 2], &[3, 4], 0, 0),
            (&[], &[1], 0, 0),
            (&[1], &[], 0, 0),
        ];
        for (prediction, reference, num_matches, num_chunks) in cases {
            let found = exact(prediction, reference);
            let counts = (found.matches.len(), found.num_chunks);
            assert_eq!(
                counts,
                (num_matches, num_chunks),
                "{prediction:?} {reference:?}"
            );
        }
    }
}
