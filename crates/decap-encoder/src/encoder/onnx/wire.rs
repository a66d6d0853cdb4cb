//! The lengths within an ONNX file, checked before its parser believes them.

/// Deepest nesting of messages: a graph within an attribute of a node within a graph, a few times.
const MOST_DEPTH: usize = 64;

/// The messages of `onnx.proto` that hold others: those whose parts have lengths worth a check
/// (<https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto>).
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    /// One whose own parts are not looked into, but for whether they fit.
    Leaf,
}

impl Message {
    /// What message field `number` holds, where it holds one.
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Model, 8 | 14) | (Self::Graph, 5 | 11..=13 | 15) => Self::Leaf,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Attribute, 5 | 10) => Self::Leaf,
            _ => return None,
        })
    }
}

/// Checks that every part of the ONNX file `bytes` lies within the part around it.
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
}
