//! `torch.save` of a state dict: a ZIP archive of stored members and a pickle of plain calls.

use std::io::{self, Write};

use flate2::Crc;

/// PyTorch aligns tensors so that they can be mapped.
const ALIGNMENT: usize = 64;

/// The folder that all members lie in.
const FOLDER: &str = "archive";

/// A named tensor to be written; two over the same memory share a storage.
#[derive(Debug, Clone, Copy)]
pub struct NewTensor<'a> {
    /// Its name in the state dict.
    pub name: &'a str,
    /// Extent of each axis.
    pub shape: &'a [usize],
    /// Row-major, f32.
    pub values: &'a [f32],
}

/// Writes a state dict that `torch.load(path, weights_only=True)` reads.
///
/// # Errors
/// What `file` says; [`io::ErrorKind::FileTooLarge`] where the archive would pass 4 GiB.
pub fn write(file: &mut dyn Write, tensors: &[NewTensor<'_>]) -> io::Result<()> {
    let total: usize = tensors.iter().map(|tensor| tensor.values.len() * 4).sum();
    to_u32(total)?;
    let mut storages: Vec<&[f32]> = Vec::new();
    let mut storage_of = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let same = |storage: &&[f32]| std::ptr::eq(*storage, tensor.values);
        let index = storages.iter().position(same).unwrap_or_else(|| {
            storages.push(tensor.values);
            storages.len() - 1
        });
        storage_of.push(index);
    }
    let pickle = state_dict_pickle(tensors, &storage_of);
    let mut archive = Archive {
        file,
        offset: 0,
        directory: Vec::new(),
        members: 0,
    };
    archive.member("data.pkl", &pickle)?;
    archive.member("byteorder", b"little")?;
    for (index, storage) in storages.iter().enumerate() {
        let bytes: Vec<u8> = storage
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        archive.member(&format!("data/{index}"), &bytes)?;
    }
    archive.member("version", b"3\n")?;
    archive.finish()
}

/// `OrderedDict({name: _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())})`.
fn state_dict_pickle(tensors: &[NewTensor<'_>], storage_of: &[usize]) -> Vec<u8> {
    let mut pickle = vec![0x80, 2];
    let ordered_dict = b"ccollections\nOrderedDict\n)R";
    pickle.extend_from_slice(ordered_dict);
    pickle.push(b'(');
    for (tensor, storage) in tensors.iter().zip(storage_of) {
        push_text(&mut pickle, tensor.name);
        pickle.extend_from_slice(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        push_text(&mut pickle, "storage");
        pickle.extend_from_slice(b"ctorch\nFloatStorage\n");
        push_text(&mut pickle, &storage.to_string());
        push_text(&mut pickle, "cpu");
        push_int(&mut pickle, tensor.values.len());
        pickle.extend_from_slice(b"tQ");
        push_int(&mut pickle, 0);
        push_sizes(&mut pickle, tensor.shape);
        push_sizes(&mut pickle, &strides(tensor.shape));
        pickle.push(0x89);
        pickle.extend_from_slice(ordered_dict);
        pickle.extend_from_slice(b"tR");
    }
    pickle.extend_from_slice(b"u.");
    pickle
}

fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len())
        .map(|axis| shape[axis + 1..].iter().product())
        .collect()
}

fn push_text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    // Names are short.
    pickle.extend_from_slice(&(text.len() as u32).to_le_bytes());
    pickle.extend_from_slice(text.as_bytes());
}

fn push_int(pickle: &mut Vec<u8>, value: usize) {
    pickle.extend_from_slice(&[0x8a, 8]);
    pickle.extend_from_slice(&(value as u64).to_le_bytes());
}

fn push_sizes(pickle: &mut Vec<u8>, sizes: &[usize]) {
    pickle.push(b'(');
    for &size in sizes {
        push_int(pickle, size);
    }
    pickle.push(b't');
}

struct Archive<'a> {
    file: &'a mut dyn Write,
    offset: usize,
    directory: Vec<u8>,
    members: u16,
}

impl Archive<'_> {
    fn member(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut crc = Crc::new();
        crc.update(content);
        let size = content.len();
        let name = format!("{FOLDER}/{name}");
        let at = to_u32(self.offset)?;
        // An extra field fills up to the alignment, as PyTorch's writer does.
        let unpadded = self.offset + 30 + name.len() + 4;
        let padding = unpadded.next_multiple_of(ALIGNMENT) - unpadded;
        let extra = 4 + padding;
        let mut common = Vec::new();
        for field in [0u16, 0, 0, 0x21] {
            // Flags, method 0 (stored), time, and 1 January 1980, the first date there is.
            common.extend_from_slice(&field.to_le_bytes());
        }
        for field in [crc.sum(), to_u32(size)?, to_u32(size)?] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        common.extend_from_slice(&(name.len() as u16).to_le_bytes());
        let mut header = b"PK\x03\x04\x14\x00".to_vec();
        header.extend_from_slice(&common);
        header.extend_from_slice(&(extra as u16).to_le_bytes());
        header.extend_from_slice(name.as_bytes());
        header.extend_from_slice(b"FB");
        header.extend_from_slice(&(padding as u16).to_le_bytes());
        header.resize(header.len() + padding, b'Z');
        self.write(&header)?;
        self.write(content)?;
        self.directory
            .extend_from_slice(b"PK\x01\x02\x14\x00\x14\x00");
        self.directory.extend_from_slice(&common);
        // No extra field, no comment, disk 0, no attributes.
        self.directory.extend_from_slice(&[0; 12]);
        self.directory.extend_from_slice(&at.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.members += 1;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let at = to_u32(self.offset)?;
        let directory = std::mem::take(&mut self.directory);
        self.write(&directory)?;
        let mut end = b"PK\x05\x06\x00\x00\x00\x00".to_vec();
        end.extend_from_slice(&self.members.to_le_bytes());
        end.extend_from_slice(&self.members.to_le_bytes());
        end.extend_from_slice(&to_u32(directory.len())?.to_le_bytes());
        end.extend_from_slice(&at.to_le_bytes());
        end.extend_from_slice(&[0, 0]);
        self.write(&end)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.offset += bytes.len();
        self.file.write_all(bytes)
    }
}

fn to_u32(value: usize) -> io::Result<u32> {
    u32::try_from(value).map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "over 4 GiB"))
}
