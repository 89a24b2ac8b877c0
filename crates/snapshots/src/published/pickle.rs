//! The pickles that PyTorch writes for named tensors (protocol 2 and, without its calls, 4).
//!
//! Objects live in one list and refer to each other by their places, so nothing that a file says can
//! nest deeper than this program's stack, and every instruction makes one object at most.

use super::storage::Kind;
use super::{Fault, damaged};

/// A tensor as the pickle describes it: a part of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// A row of numbers elsewhere in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage {
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) numbers: usize,
}

/// The place of an object.
type Place = usize;

#[derive(Clone, Debug, PartialEq)]
enum Object {
    Mark,
    None,
    Whole(i64),
    Text(String),
    /// Of any kind that is of no use here: floats, truth values, raw bytes.
    Other,
    Sequence(Vec<Place>),
    Dictionary(Vec<(Place, Place)>),
    Name(String, String),
    Storage(Storage),
    Tensor(Described),
}

/// The objects of one pickle.
pub(super) struct Pickle {
    objects: Vec<Object>,
    root: Place,
    /// Bytes that it took.
    pub(super) length: usize,
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Place>,
    memory: std::collections::HashMap<u32, Place>,
}

/// Reads one pickle from the start of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle, Fault> {
    let mut machine = Machine {
        bytes,
        at: 0,
        objects: Vec::new(),
        stack: Vec::new(),
        memory: std::collections::HashMap::new(),
    };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle {
        objects: machine.objects,
        root,
        length: machine.at,
    })
}

impl Machine<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], Fault> {
        let end = self.at.checked_add(count);
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(bytes) => {
                self.at += count;
                Ok(bytes)
            }
            None => damaged("it ends in the middle of its description"),
        }
    }

    fn number<const BYTES: usize>(&mut self) -> Result<u64, Fault> {
        let bytes = self.take(BYTES)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn text(&mut self, count: u64) -> Result<String, Fault> {
        let bytes = self.take(usize::try_from(count).unwrap_or(usize::MAX))?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn line(&mut self) -> Result<String, Fault> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return damaged("it ends in the middle of a name");
        };
        let text = self.text(length as u64)?;
        self.at += 1;
        Ok(text)
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<Place, Fault> {
        match self.stack.pop() {
            Some(place) => Ok(place),
            None => damaged("its description takes what it never made"),
        }
    }

    /// Everything above the last mark.
    fn pop_marked(&mut self) -> Result<Vec<Place>, Fault> {
        let mark = self
            .stack
            .iter()
            .rposition(|&place| self.objects[place] == Object::Mark);
        let Some(mark) = mark else {
            return damaged("its description takes what it never marked");
        };
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn pop_last(&mut self, count: usize) -> Result<Vec<Place>, Fault> {
        match self.stack.len().checked_sub(count) {
            Some(rest) => Ok(self.stack.split_off(rest)),
            None => damaged("its description takes what it never made"),
        }
    }

    /// The object on top, to change.
    fn top(&mut self) -> Result<&mut Object, Fault> {
        match self.stack.last() {
            Some(&place) => Ok(&mut self.objects[place]),
            None => damaged("its description changes what it never made"),
        }
    }

    fn remember(&mut self, at: u32) -> Result<(), Fault> {
        let place = self.pop()?;
        self.stack.push(place);
        self.memory.insert(at, place);
        Ok(())
    }

    fn recall(&mut self, at: u32) -> Result<(), Fault> {
        match self.memory.get(&at) {
            Some(&place) => {
                self.stack.push(place);
                Ok(())
            }
            None => damaged("its description recalls what it never kept"),
        }
    }

    fn set_items(&mut self, items: &[Place]) -> Result<(), Fault> {
        let (pairs, _) = items.as_chunks::<2>();
        let pairs: Vec<_> = pairs.iter().map(|&[key, value]| (key, value)).collect();
        match self.top()? {
            Object::Dictionary(entries) => entries.extend(pairs),
            _ => return damaged("it sets entries of what is no dictionary"),
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Place>) -> Result<(), Fault> {
        match self.top()? {
            Object::Sequence(entries) => entries.extend(items),
            _ => return damaged("it appends to what is no list"),
        }
        Ok(())
    }

    /// One instruction; whether more follow.
    fn step(&mut self) -> Result<bool, Fault> {
        match self.number::<1>()? as u8 {
            b'.' => return Ok(false),
            0x80 => match self.number::<1>()? {
                2..=4 => {}
                other => {
                    let reason = format!("it is a pickle of protocol {other}");
                    return Err(Fault::Foreign(reason));
                }
            },
            0x95 => drop(self.take(8)?),
            b'(' => self.push(Object::Mark),
            b'N' => self.push(Object::None),
            0x88 | 0x89 => self.push(Object::Other),
            b'G' => {
                self.take(8)?;
                self.push(Object::Other);
            }
            b'J' => {
                let number = self.number::<4>()? as u32 as i32;
                self.push(Object::Whole(number.into()));
            }
            b'K' => {
                let number = self.number::<1>()?;
                self.push(Object::Whole(number as i64));
            }
            b'M' => {
                let number = self.number::<2>()?;
                self.push(Object::Whole(number as i64));
            }
            0x8a => self.long()?,
            b'X' => {
                let length = self.number::<4>()?;
                let text = self.text(length)?;
                self.push(Object::Text(text));
            }
            0x8c | b'U' => {
                let length = self.number::<1>()?;
                let text = self.text(length)?;
                self.push(Object::Text(text));
            }
            b'T' => {
                let length = self.number::<4>()?;
                let text = self.text(length)?;
                self.push(Object::Text(text));
            }
            b']' | b')' => self.push(Object::Sequence(Vec::new())),
            b'}' => self.push(Object::Dictionary(Vec::new())),
            b't' => {
                let items = self.pop_marked()?;
                self.push(Object::Sequence(items));
            }
            count @ 0x85..=0x87 => {
                let items = self.pop_last(usize::from(count - 0x84))?;
                self.push(Object::Sequence(items));
            }
            b'a' => {
                let items = self.pop_last(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.pop_marked()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_last(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_marked()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let at = self.number::<1>()? as u32;
                self.remember(at)?;
            }
            b'r' => {
                let at = self.number::<4>()? as u32;
                self.remember(at)?;
            }
            0x94 => self.remember(self.memory.len() as u32)?,
            b'h' => {
                let at = self.number::<1>()? as u32;
                self.recall(at)?;
            }
            b'j' => {
                let at = self.number::<4>()? as u32;
                self.recall(at)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Name(module, name));
            }
            0x93 => {
                let names = self.pop_last(2)?;
                match (&self.objects[names[0]], &self.objects[names[1]]) {
                    (Object::Text(module), Object::Text(name)) => {
                        let name = Object::Name(module.clone(), name.clone());
                        self.push(name);
                    }
                    _ => return damaged("it names something by what is no text"),
                }
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            // What is attached to an object (the `_metadata` of a dictionary) is of no use here.
            b'b' => drop(self.pop()?),
            other => {
                let reason = format!("its pickle has the instruction 0x{other:02x}");
                return Err(Fault::Foreign(reason));
            }
        }
        Ok(true)
    }

    /// A whole number of any length; longer ones than sizes are not used.
    fn long(&mut self) -> Result<(), Fault> {
        let length = self.number::<1>()? as usize;
        let bytes = self.take(length)?;
        let number = match bytes {
            [] => Object::Whole(0),
            bytes if bytes.len() <= 8 => {
                let negative = bytes.last().is_some_and(|&last| last >= 0x80);
                let mut wide = if negative { [0xff; 8] } else { [0; 8] };
                wide[..bytes.len()].copy_from_slice(bytes);
                Object::Whole(i64::from_le_bytes(wide))
            }
            _ => Object::Other,
        };
        self.push(number);
        Ok(())
    }

    /// A persistent id: `("storage", class, key, location, count)`.
    fn storage(&mut self) -> Result<(), Fault> {
        let id = self.pop()?;
        let storage = self.items(id).and_then(|items| {
            let (is_storage, class, key) = (items.first()?, items.get(1)?, items.get(2)?);
            let Object::Name(_, class) = &self.objects[*class] else {
                return None;
            };
            if self.objects[*is_storage] != Object::Text("storage".to_owned()) {
                return None;
            }
            Some(Storage {
                key: self.as_text(*key)?,
                kind: Kind::of_storage(class)?,
                numbers: self.as_size(*items.get(4)?)?,
            })
        });
        match storage {
            Some(storage) => self.push(Object::Storage(storage)),
            None => {
                let reason = "its numbers are stored in a way that is not known here";
                return Err(Fault::Foreign(reason.to_owned()));
            }
        }
        Ok(())
    }

    /// A call that PyTorch writes for tensors; no other is made.
    fn call(&mut self) -> Result<(), Fault> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Object::Name(module, name) = &self.objects[function] else {
            return damaged("it calls what is no function");
        };
        let arguments = self.items(arguments).map(<[_]>::to_vec).unwrap_or_default();
        let made = match (module.as_str(), name.as_str()) {
            ("collections", "OrderedDict") => self.dictionary(&arguments),
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => self.tensor(&arguments),
            ("torch._utils", "_rebuild_parameter") => {
                arguments.first().map(|&place| self.objects[place].clone())
            }
            _ => {
                let reason =
                    format!("it asks to run `{module}.{name}`, and nothing of a file is run here");
                return Err(Fault::Foreign(reason));
            }
        };
        match made {
            Some(object @ (Object::Dictionary(_) | Object::Tensor(_))) => {
                self.push(object);
                Ok(())
            }
            _ => damaged("a tensor or a dictionary is described without its parts"),
        }
    }

    /// Empty, or from a list of pairs: so Python 2 wrote it, in which the older files were made.
    fn dictionary(&self, arguments: &[Place]) -> Option<Object> {
        let Some(&list) = arguments.first() else {
            return Some(Object::Dictionary(Vec::new()));
        };
        let pairs = self
            .items(list)?
            .iter()
            .map(|&pair| match self.items(pair)? {
                &[key, value] => Some((key, value)),
                _ => None,
            });
        pairs.collect::<Option<_>>().map(Object::Dictionary)
    }

    /// From storage, offset, shape and strides.
    fn tensor(&self, arguments: &[Place]) -> Option<Object> {
        let [storage, offset, shape, strides, ..] = arguments else {
            return None;
        };
        let Object::Storage(storage) = &self.objects[*storage] else {
            return None;
        };
        let sizes = |place: Place| -> Option<Vec<usize>> {
            self.items(place)?
                .iter()
                .map(|&size| self.as_size(size))
                .collect()
        };
        Some(Object::Tensor(Described {
            storage: storage.clone(),
            offset: self.as_size(*offset)?,
            shape: sizes(*shape)?,
            strides: sizes(*strides)?,
        }))
    }

    fn items(&self, place: Place) -> Option<&[Place]> {
        match &self.objects[place] {
            Object::Sequence(items) => Some(items),
            _ => None,
        }
    }

    fn as_size(&self, place: Place) -> Option<usize> {
        match self.objects[place] {
            Object::Whole(number) => usize::try_from(number).ok(),
            _ => None,
        }
    }

    fn as_text(&self, place: Place) -> Option<String> {
        match &self.objects[place] {
            Object::Text(text) => Some(text.clone()),
            // Old files number their storages.
            Object::Whole(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

impl Pickle {
    /// The tensors of the dictionary, or of the dictionary `state_dict` in it.
    pub(super) fn tensors(&self) -> Result<Vec<(String, Described)>, Fault> {
        let none = || Fault::Foreign("it holds no named tensors".to_owned());
        let Object::Dictionary(mut entries) = self.objects[self.root].clone() else {
            return Err(none());
        };
        let inner = entries.iter().find_map(|&(key, value)| {
            match (&self.objects[key], &self.objects[value]) {
                (Object::Text(key), Object::Dictionary(inner)) if key == "state_dict" => {
                    Some(inner)
                }
                _ => None,
            }
        });
        if let Some(inner) = inner {
            entries = inner.clone();
        }
        let named = entries.iter().filter_map(|&(key, value)| {
            match (&self.objects[key], &self.objects[value]) {
                (Object::Text(name), Object::Tensor(tensor)) => {
                    Some((name.clone(), tensor.clone()))
                }
                _ => None,
            }
        });
        let named: Vec<_> = named.collect();
        if named.is_empty() {
            return Err(none());
        }
        Ok(named)
    }

    /// The texts of a list.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        let Object::Sequence(items) = &self.objects[self.root] else {
            return None;
        };
        let text = |&place: &Place| match &self.objects[place] {
            Object::Text(text) => Some(text.clone()),
            Object::Whole(number) => Some(number.to_string()),
            _ => None,
        };
        items.iter().map(text).collect()
    }
}
