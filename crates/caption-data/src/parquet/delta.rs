//! Texts whose lengths, or lengths of what they share with the text before, are kept as differences.
//!
//! <https://parquet.apache.org/docs/file-format/data-pages/encodings/#DELTAENC>

use super::damaged;
use super::thrift::Thrift;
use crate::error::Fault;
use crate::source::Budget;

/// `count` values: their lengths, then all of their bytes.
pub(super) fn read_lengths(
    bytes: &[u8],
    count: usize,
    budget: &Budget,
    add: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut rest = bytes;
    let lengths = numbers(&mut rest, count, budget)?;
    for length in lengths {
        add(next(&mut rest, length)?)?;
    }
    Ok(())
}

/// `count` values: how much each shares with the one before, then the rest of each.
pub(super) fn read_prefixes(
    bytes: &[u8],
    count: usize,
    budget: &Budget,
    add: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut rest = bytes;
    let prefixes = numbers(&mut rest, count, budget)?;
    let suffixes = numbers(&mut rest, count, budget)?;
    let mut value = Vec::new();
    for (prefix, suffix) in prefixes.into_iter().zip(suffixes) {
        if prefix > value.len() {
            return Err(damaged("expected to share less than the text before has"));
        }
        value.truncate(prefix);
        value.extend_from_slice(next(&mut rest, suffix)?);
        add(&value)?;
    }
    Ok(())
}

fn next<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Fault> {
    let (value, after) = rest
        .split_at_checked(len)
        .ok_or_else(|| damaged("expected whole values, got an early end"))?;
    *rest = after;
    Ok(value)
}

/// The `expected` numbers that `rest` begins with, none of them negative; `rest` goes on behind
/// them.
fn numbers(rest: &mut &[u8], expected: usize, budget: &Budget) -> Result<Vec<usize>, Fault> {
    let mut thrift = Thrift::new(rest);
    let block = thrift.varint()?;
    let parts = thrift.varint()?;
    let total = thrift.varint()?;
    let mut value = thrift.integer()?;
    let per_part = block.checked_div(parts).unwrap_or(0);
    let is_whole = per_part > 0 && per_part.is_multiple_of(8) && per_part * parts == block;
    if !is_whole || total != expected as u64 {
        return Err(damaged(format!(
            "expected {expected} numbers in whole blocks, got {total}"
        )));
    }
    let per_part = usize::try_from(per_part).unwrap_or(usize::MAX);
    let mut numbers = Vec::new();
    let mut push = |value: i64| -> Result<usize, Fault> {
        budget.take(size_of::<usize>() as u64)?;
        let number = usize::try_from(value);
        numbers.push(number.map_err(|_| damaged("expected a length, got a negative number"))?);
        Ok(numbers.len())
    };
    let mut done = push(value)?;
    while done < expected {
        let smallest = thrift.integer()?;
        let widths = thrift.bytes(usize::try_from(parts).unwrap_or(usize::MAX))?;
        for &width in widths {
            if done >= expected {
                break;
            }
            let width = usize::from(width);
            let bytes = per_part
                .checked_mul(width)
                .map_or(usize::MAX, |bits| bits / 8);
            let packed = thrift.bytes(bytes)?;
            for index in 0..per_part.min(expected - done) {
                let difference = wide_number_at(packed, index, width)?;
                value = value.wrapping_add(smallest).wrapping_add(difference as i64);
                done = push(value)?;
            }
        }
    }
    *rest = thrift.rest();
    Ok(numbers)
}

/// The number of up to 64 bits at `index`, lowest bits first.
fn wide_number_at(bytes: &[u8], index: usize, width: usize) -> Result<u64, Fault> {
    let early_end = || damaged("expected more packed numbers, got an early end");
    if width > 64 {
        return Err(damaged(format!(
            "expected numbers of at most 64 bits, got {width}"
        )));
    }
    let first_bit = index.checked_mul(width).ok_or_else(early_end)?;
    let bytes = bytes
        .get(first_bit / 8..(first_bit + width).div_ceil(8))
        .ok_or_else(early_end)?;
    let number = bytes
        .iter()
        .rev()
        .fold(0u128, |number, &byte| number << 8 | u128::from(byte));
    let number = number >> (first_bit % 8);
    Ok((number & ((1u128 << width) - 1)) as u64)
}
