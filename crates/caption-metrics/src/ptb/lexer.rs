//! Longest-match scanning with the rules.

use super::classes::ClassText;
use super::edit;
use super::lower_case::push_lower_case;
use super::rules::{Edit, RULES, expand};
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::hybrid::{CacheError, LazyStateID};
use regex_automata::nfa::thompson;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};
use std::sync::{Mutex, PoisonError};

/// How far past its last match a token is sought.
///
/// The reference has no limit and takes quadratic time on a text full of unclosed tags.
/// Nothing but a tag, a URL or an address of that length is read differently.
const MAX_LOOKAHEAD: usize = 8192;

/// Memory for automaton states that were met; beyond it they are built anew.
const MAX_STATES_BYTES: usize = 16 << 20;

/// All rules as one automaton, and the two halves of each rule with a context.
pub(crate) struct Lexer {
    rules: Automaton,
    halves: Vec<Option<(Automaton, Automaton)>>,
}

impl Lexer {
    pub(crate) fn new() -> Self {
        let whole: Vec<String> = RULES
            .iter()
            .map(|rule| match rule.context {
                Some(context) => format!("(?:{})(?:{})", expand(rule.pattern), expand(context)),
                None => expand(rule.pattern),
            })
            .collect();
        let halves = RULES
            .iter()
            .map(|rule| {
                let context = rule.context?;
                let half = |pattern| Automaton::new(&[expand(pattern)]);
                Some((half(rule.pattern), half(context)))
            })
            .collect();
        Self {
            rules: Automaton::new(&whole),
            halves,
        }
    }

    /// The tokens of a text in lower case, spaces between, with its line ends.
    pub(crate) fn lines(&self, text: &str, classes: &ClassText) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 8);
        let mut position = 0;
        let mut is_first = true;
        while position < classes.bytes.len() {
            let Some((rule, length)) = self.next(&classes.bytes[position..]) else {
                // Untokenizable: the reference drops the character.
                position += 1;
                continue;
            };
            let end = position + length;
            let matched = &text[classes.offsets[position]..classes.offsets[end]];
            let edit = RULES[rule].edit;
            match edit::token(edit, matched) {
                None => {}
                Some(_) if edit == Edit::Newline => {
                    out.push('\n');
                    is_first = true;
                }
                Some(token) => {
                    if !is_first {
                        out.push(' ');
                    }
                    is_first = false;
                    push_lower_case(&mut out, &token);
                }
            }
            let repeats = matches!(edit, Edit::RepeatLast | Edit::Acronym);
            position = end - usize::from(repeats);
        }
        out
    }

    /// The rule that matches at the start of the bytes, and the length of its token.
    fn next(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let (rule, length) = self.rules.longest(bytes)?;
        let length = match &self.halves[rule] {
            None => length - RULES[rule].push_back,
            Some((token, context)) => token
                .match_lengths(&bytes[..length])
                .into_iter()
                .rev()
                .find(|&split| context.matches(&bytes[split..length]))
                .unwrap_or(length),
        };
        Some((rule, length))
    }
}

/// A lazily built automaton over class bytes, and the states it has met.
struct Automaton {
    dfa: DFA,
    cache: Mutex<Cache>,
}

impl Automaton {
    fn new(patterns: &[String]) -> Self {
        let nfa = thompson::Compiler::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(thompson::Config::new().utf8(false))
            .build_many(patterns)
            .expect("the rules are valid: the tests build them");
        let config = Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(MAX_STATES_BYTES)
            .skip_cache_capacity_check(true);
        let dfa = DFA::builder()
            .configure(config)
            .build_from_nfa(nfa)
            .expect("a lazy automaton has no size limit");
        let cache = Mutex::new(dfa.create_cache());
        Self { dfa, cache }
    }

    /// The longest match at the start: its first rule and its length.
    fn longest(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let mut best = None;
        self.scan(bytes, |dfa, cache, state, length| {
            let count = dfa.match_len(cache, state);
            let first = (0..count).map(|index| dfa.match_pattern(cache, state, index).as_usize());
            best = first.min().map(|rule| (rule, length));
        });
        best.filter(|&(_, length)| length > 0)
    }

    /// The lengths of all matches at the start, ascending.
    fn match_lengths(&self, bytes: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        self.scan(bytes, |_, _, _, length| lengths.push(length));
        lengths
    }

    /// Whether all bytes together match.
    fn matches(&self, bytes: &[u8]) -> bool {
        self.match_lengths(bytes).last() == Some(&bytes.len())
    }

    /// Calls `found` with the state and length of each match at the start of the bytes.
    fn scan(&self, bytes: &[u8], found: impl FnMut(&DFA, &Cache, LazyStateID, usize)) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // The cache has no limit on how often it is cleared, so a scan cannot fail; were it to,
        // the matches so far stand.
        let _unlimited = self.try_scan(&mut cache, bytes, found);
    }

    fn try_scan(
        &self,
        cache: &mut Cache,
        bytes: &[u8],
        mut found: impl FnMut(&DFA, &Cache, LazyStateID, usize),
    ) -> Result<(), CacheError> {
        let dfa = &self.dfa;
        let config = start::Config::new().anchored(Anchored::Yes);
        let Ok(mut state) = dfa.start_state(cache, &config) else {
            return Ok(());
        };
        let mut last = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            state = dfa.next_state(cache, state, byte)?;
            if !state.is_tagged() {
                if index > last + MAX_LOOKAHEAD {
                    return Ok(());
                }
            } else if state.is_match() {
                // A lazy automaton reports a match one byte late.
                found(dfa, cache, state, index);
                last = index;
            } else if state.is_dead() {
                return Ok(());
            }
        }
        state = dfa.next_eoi_state(cache, state)?;
        if state.is_match() {
            found(dfa, cache, state, bytes.len());
        }
        Ok(())
    }
}
