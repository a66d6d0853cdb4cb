//! Photos of a list, of which those on the web are fetched, several at a time.

use std::path::Path;

use decap::{Input, Result};

use super::{Ended, Give, SourceOptions};
use crate::fetch::{AT_A_TIME, Done, Fetcher, is_url};

/// Rows that wait for the download of one before them.
const MOST_WAITING: usize = 256;

/// Gives the rows that are put in, in order: paths as they are, addresses as the bytes of their photos.
pub(super) struct Fetched<'f, 'g> {
    fetcher: Option<Fetcher>,
    options: SourceOptions,
    done: Done,
    waiting: Vec<Result<Input>>,
    /// Addresses among those that wait, and their places.
    addresses: Vec<(usize, String)>,
    give: &'f mut Give<'g>,
}

impl<'f, 'g> Fetched<'f, 'g> {
    pub(super) fn new(options: &SourceOptions, give: &'f mut Give<'g>) -> Self {
        Self {
            fetcher: None,
            options: options.clone(),
            done: options.done.clone(),
            waiting: Vec::new(),
            addresses: Vec::new(),
            give,
        }
    }

    pub(super) fn push(&mut self, row: Result<Input>) -> Result<(), Ended> {
        let address = match &row {
            Ok(input) => Some(input.name()).filter(|name| is_url(name)),
            Err(_) => None,
        };
        let address = address.and_then(Path::to_str).map(str::to_owned);
        if let Some(address) = address.filter(|address| !self.done.has(address)) {
            self.addresses.push((self.waiting.len(), address));
        } else if self.waiting.is_empty() {
            return (self.give)(row);
        }
        self.waiting.push(row);
        match self.addresses.len() >= AT_A_TIME || self.waiting.len() >= MOST_WAITING {
            true => self.finish(),
            false => Ok(()),
        }
    }

    /// Gives all that wait.
    pub(super) fn finish(&mut self) -> Result<(), Ended> {
        let (places, addresses): (Vec<_>, Vec<_>) = self.addresses.drain(..).unzip();
        if !addresses.is_empty() {
            let options = &self.options;
            let fetcher = self
                .fetcher
                .get_or_insert_with(|| Fetcher::new(options.reach, options.file_bytes));
            for (place, photo) in places.into_iter().zip(fetcher.fetch_all(&addresses)) {
                self.waiting[place] = photo;
            }
        }
        self.waiting.drain(..).try_for_each(|row| (self.give)(row))
    }
}
