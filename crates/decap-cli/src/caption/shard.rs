//! One part of the inputs, so that several processes or machines share them.

use std::str::FromStr;

/// Part `number` of `count`: every `count`-th input, from the `number`-th on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, count)| {
            Some((number.parse::<usize>().ok()?, count.parse::<usize>().ok()?))
        });
        match numbers {
            Some((number, count)) if (1..=count).contains(&number) => Ok(Self { number, count }),
            _ => Err(format!(
                "expected a part and the number of parts, such as 1/4, got `{text}`"
            )),
        }
    }
}

/// Tells which inputs belong to a shard, as they come.
pub struct ShardOf {
    shard: Shard,
    seen: usize,
}

impl ShardOf {
    /// All inputs where no shard was asked for.
    pub fn of(shard: Option<Shard>) -> Self {
        let all = Shard {
            number: 1,
            count: 1,
        };
        Self {
            shard: shard.unwrap_or(all),
            seen: 0,
        }
    }

    /// Whether the next input belongs to it.
    pub fn takes_next(&mut self) -> bool {
        let place = self.seen % self.shard.count;
        self.seen += 1;
        place == self.shard.number - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_input_belongs_to_one_shard() {
        let taken = |shard: &str| {
            let mut of = ShardOf::of(Some(shard.parse().unwrap()));
            (0..10).filter(|_| of.takes_next()).collect::<Vec<_>>()
        };
        assert_eq!(taken("1/3"), [0, 3, 6, 9]);
        assert_eq!(taken("2/3"), [1, 4, 7]);
        assert_eq!(taken("3/3"), [2, 5, 8]);
        assert!(ShardOf::of(None).takes_next());
    }

    #[test]
    fn no_shard_is_beyond_the_last() {
        for text in ["0/4", "5/4", "1", "a/b", "-1/2", "1/0", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
