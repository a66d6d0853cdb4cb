//! A reader of pickles that builds plain values only and runs nothing.
//!
//! A pickle is a program for a stack machine that can call any Python function. Here the functions
//! that checkpoints need are known by name and mapped to plain values; any other name is refused.
//! Opcodes: <https://github.com/python/cpython/blob/3.11/Lib/pickletools.py>.

use std::collections::HashMap;

use super::globals::Global;
use super::object::{Object, Ref};
use super::reduce::{Reduced, reduce};

/// Most values that one pickle may build; the largest checkpoints have some ten thousand.
const MAX_OBJECTS: usize = 4 << 20;

/// Longest run of opcodes: a value may be pushed many times at one byte each.
const MAX_OPCODES: usize = 32 << 20;

/// The stack machine while it builds values.
pub(super) struct Machine<'a> {
    input: &'a [u8],
    position: usize,
    objects: Vec<Object>,
    stack: Vec<Ref>,
    /// Heights of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Ref>,
}

impl<'a> Machine<'a> {
    /// Reads the pickle at the start of `input`: its values, which of them it is, and its length.
    pub(super) fn run(input: &'a [u8]) -> Result<(Vec<Object>, Ref, usize), String> {
        let mut machine = Self {
            input,
            position: 0,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        for _ in 0..MAX_OPCODES {
            let opcode = machine.byte()?;
            if opcode == b'.' {
                let root = machine.pop()?;
                return Ok((machine.objects, root, machine.position));
            }
            machine.step(opcode)?;
        }
        Err(format!(
            "expected at most {MAX_OPCODES} opcodes of pickle, got more"
        ))
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            // Protocol and frame: nothing that a reader of a whole slice needs.
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.pop_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            b'N' => self.push(Object::None),
            0x88 => self.push(Object::Bool(true)),
            0x89 => self.push(Object::Bool(false)),
            b'I' | b'L' => self.decimal(),
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Object::Int(value.into()))
            }
            b'K' => {
                let value = self.byte()?;
                self.push(Object::Int(value.into()))
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Object::Int(value.into()))
            }
            0x8a => self.long(1),
            0x8b => self.long(4),
            b'F' => {
                let line = self.line()?;
                let value = line
                    .parse()
                    .map_err(|_| format!("expected a number, got {line:?}"))?;
                self.push(Object::Float(value))
            }
            b'G' => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Object::Float(value))
            }
            b'S' => {
                let line = self.line()?;
                self.push(Object::Text(line.trim_matches(['\'', '"']).to_owned()))
            }
            b'V' => {
                let line = self.line()?.to_owned();
                self.push(Object::Text(line))
            }
            b'U' | 0x8c => self.text(1),
            b'T' | b'X' => self.text(4),
            0x8d => self.text(8),
            b'C' => self.bytes(1),
            b'B' => self.bytes(4),
            0x8e | 0x96 => self.bytes(8),
            b']' => self.push(Object::List(Vec::new())),
            b')' => self.push(Object::Tuple(Vec::new())),
            b'}' => self.push(Object::Dict(Vec::new())),
            0x8f => self.push(Object::Set(Vec::new())),
            b'l' => self.collect(Object::List),
            b't' => self.collect(Object::Tuple),
            0x91 => self.collect(Object::Set),
            b'd' => {
                let items = self.pop_mark()?;
                let entries = pairs(&items)?;
                self.push(Object::Dict(entries))
            }
            0x85..=0x87 => self.short_tuple(usize::from(opcode - 0x84)),
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend_list(items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(&[key, value])
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.extend_dict(&items)
            }
            b'g' | b'p' => {
                let line = self.line()?;
                let key = line
                    .parse()
                    .map_err(|_| format!("expected a memo key, got {line:?}"))?;
                if opcode == b'g' {
                    self.recall(key)
                } else {
                    self.remember(key)
                }
            }
            b'h' => {
                let key = self.byte()?;
                self.recall(key.into())
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key.into())
            }
            b'q' => {
                let key = self.byte()?;
                self.remember(key.into())
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.remember(key.into())
            }
            0x94 => {
                let key = self.memo.len() as u64;
                self.remember(key)
            }
            b'c' => {
                let module = self.line()?.to_owned();
                let name = self.line()?;
                self.global(&module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.object(module), self.object(name)) {
                    (Object::Text(module), Object::Text(name)) => {
                        let (module, name) = (module.clone(), name.clone());
                        self.global(&module, &name)
                    }
                    _ => Err("expected the name of a global, got another value".to_owned()),
                }
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Persistent(id))
            }
            b'R' | 0x81 => self.call(),
            b'b' => self.build(),
            _ => Err(format!(
                "expected a pickle of plain values, got opcode 0x{opcode:02x} at byte {}",
                self.position - 1
            )),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = self.input.get(self.position..).unwrap_or_default();
        let taken = rest
            .get(..count)
            .ok_or_else(|| format!("expected {count} more bytes of pickle, got {}", rest.len()))?;
        self.position += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = self.input.get(self.position..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or_else(|| "expected a line of pickle, got none".to_owned())?;
        let line = self.take(length + 1)?;
        str::from_utf8(&line[..length]).map_err(|_| "expected UTF-8 in a line of pickle".to_owned())
    }

    /// A length of `size` little-endian bytes.
    fn length(&mut self, size: usize) -> Result<usize, String> {
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(self.take(size)?);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|error| error.to_string())
    }

    fn text(&mut self, size: usize) -> Result<(), String> {
        let length = self.length(size)?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.push(Object::Text(text))
    }

    fn bytes(&mut self, size: usize) -> Result<(), String> {
        let length = self.length(size)?;
        let bytes = self.take(length)?.to_vec();
        self.push(Object::Bytes(bytes))
    }

    fn long(&mut self, size: usize) -> Result<(), String> {
        let length = self.length(size)?;
        let digits = self.take(length)?;
        if digits.len() > 8 {
            return self.push(Object::BigInt(digits.to_vec()));
        }
        let is_negative = digits.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut bytes = if is_negative { [0xff; 8] } else { [0; 8] };
        bytes[..digits.len()].copy_from_slice(digits);
        self.push(Object::Int(i64::from_le_bytes(bytes)))
    }

    fn decimal(&mut self) -> Result<(), String> {
        let line = self.line()?;
        match line {
            "00" => self.push(Object::Bool(false)),
            "01" => self.push(Object::Bool(true)),
            _ => {
                let digits = line.trim_end_matches('L');
                let value = digits
                    .parse()
                    .map_err(|_| format!("expected a number, got {line:?}"))?;
                self.push(Object::Int(value))
            }
        }
    }

    fn push(&mut self, object: Object) -> Result<(), String> {
        if self.objects.len() >= MAX_OBJECTS {
            return Err(format!("expected at most {MAX_OBJECTS} values, got more"));
        }
        // No overflow: the limit is far below 2^32.
        self.stack.push(self.objects.len() as Ref);
        self.objects.push(object);
        Ok(())
    }

    fn object(&self, reference: Ref) -> &Object {
        self.objects
            .get(reference as usize)
            .unwrap_or(&Object::None)
    }

    fn pop(&mut self) -> Result<Ref, String> {
        // A mark is a floor: what lies below it belongs to an unfinished collection.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("expected a value on the stack, got none".to_owned());
        }
        self.stack
            .pop()
            .ok_or_else(|| "expected a value on the stack, got none".to_owned())
    }

    fn top(&self) -> Result<Ref, String> {
        self.stack
            .last()
            .copied()
            .ok_or_else(|| "expected a value on the stack, got none".to_owned())
    }

    fn pop_mark(&mut self) -> Result<Vec<Ref>, String> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| "expected a mark, got none".to_owned())?;
        if mark > self.stack.len() {
            return Err("expected a mark within the stack".to_owned());
        }
        Ok(self.stack.split_off(mark))
    }

    fn collect(&mut self, kind: fn(Vec<Ref>) -> Object) -> Result<(), String> {
        let items = self.pop_mark()?;
        self.push(kind(items))
    }

    fn short_tuple(&mut self, count: usize) -> Result<(), String> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Object::Tuple(items))
    }

    fn extend_list(&mut self, items: Vec<Ref>) -> Result<(), String> {
        let list = self.top()?;
        match self.objects.get_mut(list as usize) {
            Some(Object::List(list) | Object::Set(list)) => list.extend(items),
            _ => return Err("expected a list to append to, got another value".to_owned()),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Ref]) -> Result<(), String> {
        let entries = pairs(items)?;
        let dict = self.top()?;
        match self.objects.get_mut(dict as usize) {
            Some(Object::Dict(dict)) => dict.extend(entries),
            _ => return Err("expected a dict to fill, got another value".to_owned()),
        }
        Ok(())
    }

    fn remember(&mut self, key: u64) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), String> {
        let reference = self
            .memo
            .get(&key)
            .copied()
            .ok_or_else(|| format!("expected memo {key}, got none"))?;
        self.stack.push(reference);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let global = Global::allowed(module, name).ok_or_else(|| {
            format!(
                "refused to load the Python object `{module}.{name}`: only tensors and plain values \
                 are read, as in a state dict or a safetensors file"
            )
        })?;
        self.push(Object::Global(global))
    }

    /// `function(*arguments)`, for the functions that are plain values in disguise.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Object::Global(global) = self.object(function) else {
            return Err("expected a known function to call, got another value".to_owned());
        };
        let global = *global;
        let Object::Tuple(arguments) = self.object(arguments) else {
            return Err("expected a tuple of arguments, got another value".to_owned());
        };
        match reduce(global, arguments)? {
            Reduced::Argument(reference) => {
                self.stack.push(reference);
                Ok(())
            }
            Reduced::Value(object) => self.push(object),
        }
    }

    /// Sets the attributes of the object below: kept for TorchScript modules, else (the `_metadata`
    /// of a state dict) of no use here.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let target = self.top()?;
        if let Some(Object::Module(attributes)) = self.objects.get_mut(target as usize) {
            *attributes = Some(state);
        }
        Ok(())
    }
}

fn pairs(items: &[Ref]) -> Result<Vec<(Ref, Ref)>, String> {
    if !items.len().is_multiple_of(2) {
        return Err("expected keys and values in pairs, got an odd number".to_owned());
    }
    Ok(items
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect())
}
