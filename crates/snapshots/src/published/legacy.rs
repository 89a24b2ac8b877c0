//! `.pth` before PyTorch 1.6: five pickles (magic, version, machine, tensors, keys), then the storages
//! one after the other, each after its length.

use std::collections::HashMap;

use super::pickle::{self, Pickle};
use super::{Fault, Tensors, damaged, storage};

/// The first pickle: the number 0x1950a86a20f9469cfc6c.
pub(super) const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

pub(super) fn parse(bytes: &[u8]) -> Result<Tensors, Fault> {
    let mut rest = &bytes[MAGIC.len()..];
    let mut next = || -> Result<Pickle, Fault> {
        let pickle = pickle::read(rest)?;
        rest = &rest[pickle.length..];
        Ok(pickle)
    };
    let (_version, _machine) = (next()?, next()?);
    let (description, keys) = (next()?, next()?);
    let described = description.tensors()?;
    let kinds: HashMap<&str, _> = described
        .iter()
        .map(|(_, tensor)| (tensor.storage.key.as_str(), tensor.storage.kind))
        .collect();
    let Some(keys) = keys.texts() else {
        return damaged("the list of its storages is broken");
    };
    let mut contents = HashMap::new();
    for key in keys {
        let Some(kind) = kinds.get(key.as_str()) else {
            return Err(Fault::Foreign(
                "it stores numbers that no named tensor uses".to_owned(),
            ));
        };
        let cut = || Fault::Damaged("its end is missing: the download was cut short".to_owned());
        let (length, after) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let size = usize::try_from(u64::from_le_bytes(*length)).ok();
        let size = size.and_then(|count| count.checked_mul(kind.size()));
        let content = size.and_then(|size| after.get(..size)).ok_or_else(cut)?;
        rest = &after[content.len()..];
        contents.insert(key, content);
    }
    drop(kinds);
    storage::collect(described, bytes.len(), |storage| {
        match contents.get(&storage.key) {
            Some(content) => Ok(*content),
            None => damaged(format!("it lacks the numbers of storage `{}`", storage.key)),
        }
    })
}
