//! The lengths and numbers within an ONNX file, checked before its parser believes them: of a number that does
//! not end, rten-onnx 0.27 reads for ever.

/// Deepest nesting of messages: a graph within an attribute of a node within a graph, a few times.
const MOST_DEPTH: usize = 64;

/// The messages of `onnx.proto` that hold others, as far as they are parsed
/// (<https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto>).
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Tensor,
    Value,
    Type,
    TensorType,
    SequenceType,
    Shape,
    /// One whose own parts are numbers and bytes alone.
    Leaf,
    /// No message, but numbers end to end.
    Numbers,
}

impl Message {
    /// What message field `number` holds, where it holds one.
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Model, 8 | 14) | (Self::Graph, 15) => Self::Leaf,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) => Self::Tensor,
            (Self::Graph, 11..=13) => Self::Value,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Attribute, 6 | 11) => Self::Graph,
            // Dimensions, data of int32, int64 and uint64; integers.
            (Self::Tensor, 1 | 5 | 7 | 11) | (Self::Attribute, 8) => Self::Numbers,
            (Self::Tensor, 13) | (Self::Shape, 1) => Self::Leaf,
            (Self::Value, 2) | (Self::SequenceType, 1) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::Type, 4) => Self::SequenceType,
            (Self::TensorType, 2) => Self::Shape,
            _ => return None,
        })
    }
}

/// Checks that every part of the ONNX file `bytes` lies within the part around it, and that every number in it
/// ends.
///
/// # Errors
/// What was expected and what was found, in words.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    check_message(bytes, Message::Model, 0)
}

/// The protobuf wire format (<https://protobuf.dev/programming-guides/encoding/>).
fn check_message(mut rest: &[u8], message: Message, depth: usize) -> Result<(), String> {
    let broken = |what: &str| Err(format!("not a network that can be loaded: {what}"));
    if depth > MOST_DEPTH {
        return broken("its parts are nested too deeply");
    }
    if let Message::Numbers = message {
        while !rest.is_empty() {
            if take_varint(&mut rest).is_none() {
                return broken("a number does not end");
            }
        }
        return Ok(());
    }
    while !rest.is_empty() {
        let Some(tag) = take_varint(&mut rest) else {
            return broken("it is cut short");
        };
        let (number, wire_type) = (tag >> 3, tag & 7);
        let length = match wire_type {
            0 => match take_varint(&mut rest) {
                Some(_) => continue,
                None => return broken("it is cut short"),
            },
            1 => 8,
            5 => 4,
            2 => match take_varint(&mut rest) {
                Some(length) => length,
                None => return broken("it is cut short"),
            },
            _ => return broken("it is no ONNX file"),
        };
        let part = usize::try_from(length)
            .ok()
            .and_then(|length| rest.split_at_checked(length));
        let Some((part, behind)) = part else {
            return Err(format!(
                "not a network that can be loaded: expected {length} bytes of a part, got {}",
                rest.len()
            ));
        };
        if let Some(inner) = message.field(number).filter(|_| wire_type == 2) {
            check_message(part, inner, depth + 1)?;
        }
        rest = behind;
    }
    Ok(())
}

/// A number of seven bits a byte, lowest first.
fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for place in 0..10 {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f).checked_shl(7 * place).unwrap_or(0);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_are_refused() {
        // A model whose graph has a node whose attribute claims 2^62 bytes.
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f];
        let attribute = [&[0x2a][..], &huge].concat();
        let node = [&[0x2a, attribute.len() as u8][..], &attribute].concat();
        let graph = [&[0x0a, node.len() as u8][..], &node].concat();
        let model = [&[0x3a, graph.len() as u8][..], &graph].concat();
        assert!(check(&model).unwrap_err().contains("bytes of a part"));
        for (bytes, message) in [
            (&b"\x3a\x05\x00"[..], "expected 5 bytes"),
            (b"\x08", "cut short"),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "cut short"),
            (b"\x0b", "no ONNX file"),
        ] {
            let error = check(bytes).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn networks_within_themselves_come_to_an_end() {
        let mut graph = Vec::new();
        for _ in 0..200 {
            // A node with an attribute with a graph.
            for tag in [0x32, 0x2a, 0x0a] {
                let mut length = graph.len();
                let mut outer = vec![tag];
                while length >= 0x80 {
                    outer.push((length & 0x7f) as u8 | 0x80);
                    length >>= 7;
                }
                outer.push(length as u8);
                outer.append(&mut graph);
                graph = outer;
            }
        }
        let error = check_message(&graph, Message::Graph, 0).unwrap_err();
        assert!(error.contains("too deeply"), "{error}");
    }

    /// Everywhere that the parser reads one; each would be read for ever.
    #[test]
    fn numbers_that_do_not_end_are_refused() {
        let endless = [0xff; 12];
        let within = |fields: &[u8], inner: &[u8]| {
            fields.iter().rev().fold(inner.to_vec(), |inner, field| {
                [&[field << 3 | 2, inner.len() as u8][..], &inner].concat()
            })
        };
        let number = [&[0x08][..], &endless].concat();
        let paths: [(&str, &[u8], &[u8]); 8] = [
            ("a tensor's dimensions, packed", &[7, 5, 1], &endless),
            ("a tensor's data of int64", &[7, 5, 7], &endless),
            ("a tensor's data of int32", &[7, 1, 5, 5, 5], &endless),
            ("an attribute's integers", &[7, 1, 5, 8], &endless),
            ("an input's dimension", &[7, 11, 2, 1, 2, 1], &number),
            ("an output's type", &[7, 12, 2, 1], &number),
            ("a sequence's type", &[7, 13, 2, 4, 1, 1], &number),
            ("a tensor's place", &[7, 5, 13], &number),
        ];
        for (name, path, inner) in paths {
            let error = check(&within(path, inner)).unwrap_err();
            assert!(
                error.contains("not end") || error.contains("cut short"),
                "{name}: {error}"
            );
            // The same with a number that ends.
            let good: &[u8] = if inner.len() == endless.len() {
                &[0x7f]
            } else {
                &[0x08, 0x7f]
            };
            assert_eq!(check(&within(path, good)), Ok(()), "{name}");
        }
    }
}
